"""Localized heads: precision, recall and F1 of predicted points, as NWPU-Crowd's server computes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import cKDTree
from torch import Tensor
from torchmetrics import Metric


def matched_heads(predicted: Tensor, points: Tensor, sigma: Tensor | float) -> int:
    """Return the size of the largest matching of predictions to heads.

    A prediction may stand for a head that is at most ``sigma`` away, and each of both is used once. The size of the
    largest matching is unique, the matching is not: recall by the size of the head, which the server prints as well,
    depends on the one that happens to be found and is left out here.

    Args:
        predicted: ``[M, 2]`` (x, y) in pixels.
        points: ``[N, 2]`` annotated heads.
        sigma: ``[N]`` pixels, or one number for all.

    Returns:
        True positives, at most M and N.

    Raises:
        ValueError: Shapes do not fit, or a number is not finite or a sigma negative.
    """
    found, heads, reach = _numbers(predicted), _numbers(points), _numbers(sigma)
    if found.shape != (len(found), 2) or heads.shape != (len(heads), 2) or reach.shape not in ((), (len(heads),)):
        raise ValueError(
            f"predicted [M, 2], points [N, 2] and sigma [N] are expected, got {list(found.shape)}, "
            f"{list(heads.shape)} and {list(reach.shape)}"
        )
    if not (np.isfinite(found).all() and np.isfinite(heads).all() and np.isfinite(reach).all() and (reach >= 0).all()):
        raise ValueError("points and sigma must be finite, and sigma not negative")
    if not len(heads) or not len(found):
        return 0
    near = cKDTree(found).query_ball_point(heads, reach)
    ends = np.cumsum([0, *map(len, near)])
    columns = np.concatenate([np.asarray(some, dtype=np.int32) for some in near])
    graph = csr_array((np.ones(len(columns), dtype=np.uint8), columns, ends), shape=(len(heads), len(found)))
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


class HeadF1(Metric):
    """Precision, recall and F1 of all heads of all pictures together, over all batches and processes.

    NWPU-Crowd (TPAMI 2020): true positives are summed before dividing, so that crowded pictures weigh more. Its two
    figures, for half the shorter side of a head's box and half its diagonal, are two of these metrics.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    sums: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("sums", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Sequence[Tensor], points: Sequence[Tensor], sigma: Sequence[Tensor | float]) -> None:
        """Add pictures: of each ``[M, 2]`` predicted and ``[N, 2]`` annotated (x, y), and ``[N]`` sigma, in pixels.

        Raises:
            ValueError: As :func:`matched_heads`, or if the pictures are not equally many.
        """
        pairs = zip(predicted, points, sigma, strict=True)
        sums = [(matched_heads(found, heads, reach), len(found), len(heads)) for found, heads, reach in pairs]
        # not in place, which torch forbids for states reset while Lightning validated in inference mode
        self.sums = self.sums + torch.tensor(sums, dtype=torch.int64, device=self.sums.device).reshape(-1, 3).sum(dim=0)

    def compute(self) -> dict[str, Tensor]:
        """Return ``precision``, ``recall`` and ``f1``, float64 shares of 1.

        What is not defined is left out: precision without a prediction, recall without a head, f1 without either.
        """
        matched, found, heads = self.sums.double().unbind()
        figures = {}
        if found:
            figures["precision"] = matched / found
        if heads:
            figures["recall"] = matched / heads
        if found or heads:
            figures["f1"] = 2 * matched / (found + heads)
        return figures


def _numbers(values: Tensor | float) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().double().numpy()
