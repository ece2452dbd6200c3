"""PSNR and SSIM between density maps.

CSRNet's tables 6 and 11 print both, but leave the peak, the window and the normaliser open, and two open
implementations differ. The definitions here are ours and fixed; they stand beside the printed values without a verdict.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.functional.image import structural_similarity_index_measure

MAX_PSNR = 100.0
WINDOW = 11

# of two maps [1, 1, H, W] in units of the true peak; None where it is not defined
Similarity = Callable[[Tensor, Tensor], Tensor | None]


def resize_density(density: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize ``[B, 1, h, w]`` heads per cell bilinearly to (height, width), dividing by the growth in cells.

    An integer factor keeps the mass exactly, any other one nearly.
    """
    height, width = density.shape[-2:]
    growth = size[0] * size[1] / (height * width)
    return F.interpolate(density, size, mode="bilinear", align_corners=False) / growth


def density_psnr(prediction: Tensor, target: Tensor, size: Tensor, stride: int) -> Tensor:
    r"""Return the peak signal-to-noise ratio of each predicted density map.

    :math:`10 \log_{10}(\mathrm{peak}^2 / \mathrm{MSE})`, where both maps are resized bilinearly to the picture and
    peak is the maximum of the true one. At most 100 dB, which stands for a perfect map as well: an error of 1e-5 of the
    peak.

    Args:
        prediction: ``[B, 1, h, w]``, predicted heads per cell; what lies beyond a picture is ignored.
        target: ``[B, 1, h, w]``, true heads per cell.
        size: ``[B, 2]`` int64, (height, width) of each picture in pixels, without padding.
        stride: Pixels per side of a cell.

    Returns:
        ``[B]`` float64, dB; NaN where the true map is empty and no peak exists.

    Raises:
        ValueError: The maps differ in shape.
    """
    return _measure(_psnr, prediction, target, size, stride)[0]


def density_ssim(prediction: Tensor, target: Tensor, size: Tensor, stride: int) -> Tensor:
    """Return the structural similarity of each predicted density map.

    Both maps are resized bilinearly to the picture and divided by the true one's maximum, so that the data range is 1;
    the window is the usual Gaussian of 11 x 11 pixels, sigma 1.5, with K1 = 0.01 and K2 = 0.03.

    Args:
        prediction: ``[B, 1, h, w]``, predicted heads per cell; what lies beyond a picture is ignored.
        target: ``[B, 1, h, w]``, true heads per cell.
        size: ``[B, 2]`` int64, (height, width) of each picture in pixels, without padding.
        stride: Pixels per side of a cell.

    Returns:
        ``[B]`` float64, at most 1; NaN where the true map is empty or the picture smaller than the window.

    Raises:
        ValueError: The maps differ in shape.
    """
    return _measure(_ssim, prediction, target, size, stride)[0]


def _measure(
    similarity: Similarity, prediction: Tensor, target: Tensor, size: Tensor, stride: int
) -> tuple[Tensor, Tensor]:
    """Return ``[B]`` float64 similarities, NaN where skipped, and ``[B]`` bool, which are skipped.

    The second is no function of the first, because a network that went NaN must not pass for an empty picture.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"the maps differ in shape: predicted {tuple(prediction.shape)}, true {tuple(target.shape)}; "
            "is the stride of the data that of the network?"
        )
    values = []
    for index, (height, width) in enumerate(size.tolist()):
        valid = (slice(index, index + 1), slice(None), slice(-(-height // stride)), slice(-(-width // stride)))
        predicted, true = (
            resize_density(density[valid].detach().double(), (height, width)) for density in (prediction, target)
        )
        peak = true.max()
        values.append(similarity(predicted / peak, true / peak) if peak > 0 else None)
    undefined = prediction.new_tensor(torch.nan, dtype=torch.float64)
    skipped = torch.tensor([value is None for value in values], device=prediction.device)
    return torch.stack([undefined if value is None else value for value in values]), skipped


def _psnr(predicted: Tensor, true: Tensor) -> Tensor:
    error = (predicted - true).square().mean()
    return (-10 * error.log10()).clamp(max=MAX_PSNR)


def _ssim(predicted: Tensor, true: Tensor) -> Tensor | None:
    if min(true.shape[-2:]) < WINDOW:
        return None
    value = structural_similarity_index_measure(predicted, true, kernel_size=WINDOW, sigma=1.5, data_range=1.0)
    assert isinstance(value, Tensor)
    return value


def _tally(values: Tensor, skipped: Tensor) -> Tensor:
    """Return ``[3]`` float64: sum of the values that were not skipped, their number, and how many were."""
    return torch.stack([values[~skipped].sum(), (~skipped).sum().double(), skipped.sum().double()])


def _figures(name: str, tally: Tensor) -> dict[str, Tensor]:
    total, defined, skipped = tally.unbind()
    if not defined + skipped:
        raise ValueError(f"{name.upper()} has seen no picture: call update(...) before compute()")
    figures = {f"{name}_skipped": skipped}  # a number of pictures, yet float64: Lightning warns of logged integers
    return figures | {name: total / defined} if defined else figures


class DensityPSNR(Metric):
    """Mean of ``density_psnr`` in dB over the pictures that have one, and how many were skipped."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    psnr: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("psnr", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, size: Tensor, stride: int) -> None:
        """Add a batch; the arguments are those of ``density_psnr``."""
        # not in place, which torch forbids for states reset while Lightning validated in inference mode
        self.psnr = self.psnr + _tally(*_measure(_psnr, prediction, target, size, stride))

    def compute(self) -> dict[str, Tensor]:
        """Return ``psnr`` (left out when every picture was skipped) and ``psnr_skipped``."""
        return _figures("psnr", self.psnr)


class DensitySSIM(Metric):
    """Mean of ``density_ssim`` over the pictures that have one, and how many were skipped."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    ssim: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("ssim", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, size: Tensor, stride: int) -> None:
        """Add a batch; the arguments are those of ``density_ssim``."""
        # not in place, which torch forbids for states reset while Lightning validated in inference mode
        self.ssim = self.ssim + _tally(*_measure(_ssim, prediction, target, size, stride))

    def compute(self) -> dict[str, Tensor]:
        """Return ``ssim`` (left out when every picture was skipped) and ``ssim_skipped``."""
        return _figures("ssim", self.ssim)
