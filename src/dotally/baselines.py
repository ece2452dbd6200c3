"""Predictors that do not look for heads: what every trained network has to beat.

Mean and median answer with a constant; ridge regresses the count on eight statistics of the whole picture.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Floats = NDArray[np.float64]
Kind = Literal["mean", "median", "ridge"]

STATISTICS = (
    "grey_mean",
    "grey_std",
    "gradient_mean",
    "gradient_std",
    "colourfulness",
    "high_frequency",
    "edge_density",
    "dark_share",
)
# statistics of texture compare only at one scale; the leave-one-out error on ShanghaiTech A's training pictures drops
# from 334 heads at their own sizes to 284 at this one
LONGEST_SIDE = 512
# from hardly any to hardly no regularisation of standardised statistics, in units of one picture
ALPHAS = np.logspace(-3, 5, 33)


def picture_statistics(image: Tensor) -> Floats:
    r"""Describe a picture, resized to a longest side of 512 pixels, by eight numbers.

    With the grey value g = 0.299 R + 0.587 G + 0.114 B in 0..1 and forward differences as its gradient: mean and
    standard deviation of g; mean and standard deviation of the gradient's length; colourfulness (Hasler and
    Süsstrunk, 2003); root mean square of :math:`g_{y,x} - g_{y,x+1} - g_{y+1,x} + g_{y+1,x+1}`, which
    answers to the finest texture only; share of gradients longer than 0.1; share of g below 0.25.

    Args:
        image: ``[3, H, W]`` uint8, RGB, at least 2 x 2 pixels.

    Returns:
        ``[8]`` float64, in the order of ``STATISTICS``.

    Raises:
        ValueError: The picture is of another shape or dtype.
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3 or min(image.shape[1:]) < 2:
        raise ValueError(
            f"a uint8 picture [3, H, W] of at least 2 x 2 pixels is expected, got {image.dtype} {list(image.shape)}"
        )
    red, green, blue = _resized(image.cpu()).numpy().astype(np.float32) / 255
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    across, down = grey[:-1, 1:] - grey[:-1, :-1], grey[1:, :-1] - grey[:-1, :-1]
    gradient = np.sqrt(across**2 + down**2)
    texture = grey[1:, 1:] - grey[1:, :-1] - across
    opponents = red - green, (red + green) / 2 - blue
    colourfulness = np.hypot(*(channel.std() for channel in opponents)) + 0.3 * np.hypot(
        *(channel.mean() for channel in opponents)
    )
    return np.array(
        [
            grey.mean(),
            grey.std(),
            gradient.mean(),
            gradient.std(),
            colourfulness,
            np.sqrt((texture**2).mean()),
            (gradient > 0.1).mean(),
            (grey < 0.25).mean(),
        ],
        dtype=np.float64,
    )


def _resized(image: Tensor) -> Tensor:
    growth = LONGEST_SIDE / max(image.shape[1:])
    size = [max(2, round(side * growth)) for side in image.shape[1:]]
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def ridge_loo(statistics: Floats, counts: Floats, alphas: Floats) -> tuple[Floats, float]:
    """Fit ridge regression for the alpha of the least squared leave-one-out error.

    Args:
        statistics: ``[N, F]``, standardised: every column has mean 0.
        counts: ``[N]``.
        alphas: ``[A]``, weights of the squared coefficients, all positive. The intercept carries none.

    Returns:
        Coefficients ``[F]`` and the chosen alpha; the intercept is the mean of the counts.
    """
    u, singular, vt = np.linalg.svd(statistics, full_matrices=False)
    centred = counts - counts.mean()
    best = (np.inf, np.zeros(statistics.shape[1]), float(alphas[0]))
    for alpha in alphas:
        shrink = singular**2 / (singular**2 + alpha)
        residual = centred - u @ (shrink * (u.T @ centred))
        # leaving a picture out divides its residual by 1 minus its leverage; 1 / N is the intercept's share
        leverage = 1 / len(counts) + (u**2) @ shrink
        error = float(np.square(residual / np.maximum(1 - leverage, 1e-9)).mean())
        if error < best[0]:
            best = (error, vt.T @ (shrink / np.maximum(singular, 1e-12) * (u.T @ centred)), float(alpha))
    return best[1:]


@dataclass(frozen=True, kw_only=True)
class TrivialPredictors:
    """Mean, median and ridge predictor of one training set.

    Attributes:
        mean: Mean count of the training pictures; also the intercept of the ridge.
        median: Their median count.
        centre: ``[8]``, mean of each statistic over the training pictures.
        spread: ``[8]``, its standard deviation, 1 where it does not vary.
        coefficients: ``[8]``, heads per spread.
        alpha: Weight of the squared coefficients, chosen from ``ALPHAS`` by leave-one-out.
    """

    mean: float
    median: float
    centre: Floats
    spread: Floats
    coefficients: Floats
    alpha: float

    @classmethod
    def fit(cls, images: Iterable[Tensor], counts: Tensor | Sequence[float]) -> "TrivialPredictors":
        """Learn from training pictures.

        Args:
            images: ``[3, H, W]`` uint8 each; a generator is read once, a picture at a time.
            counts: ``[N]``, annotated heads in each picture.

        Raises:
            ValueError: There is no picture, or not one count for each.
        """
        truth = np.asarray(counts, dtype=np.float64)
        statistics = np.array([picture_statistics(image) for image in images])
        if not len(statistics) or truth.shape != (len(statistics),):
            raise ValueError(f"one count for each picture is expected, got {len(statistics)} pictures, {truth.shape}")
        centre, spread = statistics.mean(0), statistics.std(0)
        spread[spread == 0] = 1
        coefficients, alpha = ridge_loo((statistics - centre) / spread, truth, ALPHAS)
        return cls(
            mean=float(truth.mean()),
            median=float(np.median(truth)),
            centre=centre,
            spread=spread,
            coefficients=coefficients,
            alpha=alpha,
        )

    def predict(self, kind: Kind, images: Iterable[Tensor]) -> Tensor:
        """Predict the count of each picture.

        Args:
            kind: "mean", "median" or "ridge".
            images: ``[3, H, W]`` uint8 each.

        Returns:
            ``[N]`` float64, heads; the ridge's negative answers become 0, as no picture holds fewer.

        Raises:
            ValueError: There is no such kind.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"unknown predictor {kind!r}; there are: {', '.join(get_args(Kind))}")
        return torch.tensor([self._predict_one(kind, image) for image in images], dtype=torch.float64)

    def _predict_one(self, kind: Kind, image: Tensor) -> float:
        if kind != "ridge":
            return self.mean if kind == "mean" else self.median
        standardised = (picture_statistics(image) - self.centre) / self.spread
        return max(0.0, self.mean + float(standardised @ self.coefficients))
