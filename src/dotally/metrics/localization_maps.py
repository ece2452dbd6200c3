"""How well maps localize, whatever threshold is laid on them: MaxBoxAcc and the pointing game; shares from 0 to 1."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from dotally.metrics.boxes import Contours, box_iou, component_boxes, normalise_maps
from dotally.metrics.localization import check_ious, check_seen, percent


def threshold_ious(
    maps: Tensor, boxes: Tensor, count: Tensor, thresholds: Sequence[float], *, contours: Contours = "largest"
) -> Tensor:
    """Return how well each map's boxes fit, at every threshold: the best IoU of any of them with any annotated one.

    Maps are normalised (``normalise_maps``) and boxes drawn around 8-connected groups of cells above the threshold,
    around all of them or the one with the most cells. Annotated boxes are truncated to whole pixels.

    Args:
        maps: ``[B, H, W]`` of the pictures' size, any scale.
        boxes: ``[sum N, 4]`` (x0, y0, x1, y1) in pixels of the maps, of all pictures in a row.
        count: ``[B]`` int64, how many belong to each picture, at least one.
        thresholds: ``[T]`` shares of the maximum, ascending.
        contours: "largest" (MaxBoxAcc) or "all" (MaxBoxAccV2).

    Returns:
        ``[B, T]`` float64 on the CPU.

    Raises:
        ValueError: If shapes and counts disagree, a picture has no annotated box, or ``contours`` is unknown.
    """
    if contours not in ("largest", "all"):
        raise ValueError(f"contours must be 'largest' or 'all', got {contours!r}")
    _check_shapes(maps, boxes, count)
    scores = normalise_maps(maps).cpu().numpy()
    true = torch.split(boxes.trunc().double().cpu(), count.tolist())
    cuts = np.array(thresholds, dtype=np.float32)
    return torch.stack([_ious(one, t, cuts, contours) for one, t in zip(scores, true, strict=True)])


def _check_shapes(maps: Tensor, boxes: Tensor, count: Tensor) -> None:
    if maps.ndim != 3 or len(maps) != len(count) or len(boxes) != count.sum() or (count < 1).any():
        raise ValueError(
            f"expected {len(count)} maps [B, H, W] and {int(count.sum())} annotated boxes, at least one a picture, "
            f"got {list(maps.shape)} and {len(boxes)}"
        )


def _ious(scores: NDArray[np.float32], true: Tensor, cuts: NDArray[np.float32], contours: Contours) -> Tensor:
    """Return ``[T]`` best IoUs of one map."""
    # most thresholds cut a map at the very same cells as their neighbour does
    above = np.searchsorted(np.sort(scores, axis=None), cuts, side="right")
    _, first, same = np.unique(above, return_index=True, return_inverse=True)
    drawn = [component_boxes(scores > cut, contours) for cut in cuts[first]]
    overlap = box_iou(torch.from_numpy(np.concatenate(drawn))[:, None], true[None]).amax(1)
    best = torch.stack([part.amax() for part in torch.split(overlap, [len(boxes) for boxes in drawn])])
    return best[torch.from_numpy(same)]


class MaxBoxAcc(Metric):
    """Share of pictures localized by the threshold that suits the whole data set best (Choe et al., CVPR 2020).

    For each threshold tau, the box around the largest group of cells above tau times the map's maximum is judged by its
    IoU with any annotated box; the best tau is chosen once for all pictures. The evaluator of Choe et al. calls the
    group with the longest contour's area the largest; here it is the one with the most cells.

    Args:
        ious: IoUs to reach; the figure is the mean over these, each with its own best threshold.
        contours: "largest" or "all": then the group that fits best counts.
        step: Between thresholds, of which the first is 0.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ValueError: If an argument is out of range.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    hits: Tensor
    pictures: Tensor
    settings: Tensor
    prefix = "max_box_acc"

    def __init__(
        self, ious: Sequence[float] = (0.5,), *, contours: Contours = "largest", step: float = 0.01, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < step < 1:
            raise ValueError(f"step must lie within 0 and 1, got {step}")
        self.ious, self.contours = check_ious(ious), contours
        self.thresholds = [round(k * step, 12) for k in range(round(1 / step)) if k * step < 1]
        self.add_state("hits", torch.zeros(len(ious), len(self.thresholds), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("pictures", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        # a MetricCollection takes metrics of equal states for one and the same
        told_apart = torch.tensor([contours == "all", *ious], dtype=torch.float64)
        self.add_state("settings", told_apart, dist_reduce_fx="max")

    def update(self, maps: Tensor, boxes: Tensor, count: Tensor) -> None:
        """Add a batch; the arguments are those of :func:`threshold_ious`."""
        overlap = threshold_ious(maps, boxes, count, self.thresholds, contours=self.contours)
        reached = overlap[None] >= overlap.new_tensor(self.ious)[:, None, None]  # [ious, B, T]
        self.hits = self.hits + reached.sum(1).to(self.hits.device)
        self.pictures = self.pictures + len(maps)

    def compute(self) -> dict[str, Tensor]:
        """Return float64 figures: ``max_box_acc``, and with a suffix such as ``_50`` those of each IoU.

        ``max_box_acc_threshold_50`` is the threshold that was best at an IoU of 0.5, the lowest of equals.

        Raises:
            ValueError: When there was no picture.
        """
        check_seen(self, self.pictures)
        shares = self.hits.double() / self.pictures
        place = (shares == shares.amax(1, keepdim=True)).int().argmax(1)
        best = shares.gather(1, place[:, None])[:, 0]
        tau = shares.new_tensor(self.thresholds)[place]
        figures = {self.prefix: best.mean()}
        for iou, share, threshold in zip(self.ious, best, tau, strict=True):
            figures[f"{self.prefix}_{percent(iou)}"] = share
            figures[f"{self.prefix}_threshold_{percent(iou)}"] = threshold
        return figures


class MaxBoxAccV2(MaxBoxAcc):
    """:class:`MaxBoxAcc` over all groups of cells, mean over the IoUs 0.3, 0.5 and 0.7 (Choe et al., TPAMI 2022).

    Args:
        step: Between thresholds.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    prefix = "max_box_acc_v2"

    def __init__(self, *, step: float = 0.01, **kwargs: Any) -> None:
        super().__init__((0.3, 0.5, 0.7), contours="all", step=step, **kwargs)


def points_at(maps: Tensor, boxes: Tensor, count: Tensor, *, tolerance: float = 15.0) -> Tensor:
    """Tell which maps point at their object: a disc around the highest cell touches an annotated box.

    The highest cell of equals is the first in raster order; maps that are constant or hold NaN point at the first.

    Args:
        maps: ``[B, H, W]`` of the pictures' size.
        boxes: ``[sum N, 4]`` (x0, y0, x1, y1) in pixels of the maps, first and last included.
        count: ``[B]`` int64, how many belong to each picture, at least one.
        tolerance: Radius of the disc in pixels; 15 is meant for photographs of some 500 pixels.

    Returns:
        ``[B]`` bool.

    Raises:
        ValueError: If shapes and counts disagree, or a picture has no annotated box.
    """
    _check_shapes(maps, boxes, count)
    highest = normalise_maps(maps).flatten(1).argmax(1)
    width = maps.shape[2]
    points = torch.stack([highest % width, highest // width], dim=1).double()  # [B, 2] (x, y)
    picture = torch.arange(len(count), device=count.device).repeat_interleave(count)
    beside = torch.maximum(boxes[:, :2] - points[picture], points[picture] - boxes[:, 2:]).clamp(min=0)
    touched = beside.square().sum(1) <= tolerance**2
    return touched.new_zeros(len(count), dtype=torch.int64).index_add(0, picture, touched.long()) > 0


class PointingGame(Metric):
    """Share of maps that point at their object, by class and then averaged (Zhang et al., ECCV 2016, section 4.1).

    Args:
        num_classes: Number of classes; those without a picture do not count.
        tolerance: See :func:`points_at`.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ValueError: If an argument is out of range.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    hits: Tensor
    pictures: Tensor
    settings: Tensor

    def __init__(self, num_classes: int, *, tolerance: float = 15.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 1 or not tolerance >= 0:
            raise ValueError(f"need at least one class and a tolerance of 0 or more, got {num_classes}, {tolerance}")
        self.num_classes, self.tolerance = num_classes, tolerance
        self.add_state("hits", torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("pictures", torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("settings", torch.tensor(tolerance, dtype=torch.float64), dist_reduce_fx="max")

    def update(self, maps: Tensor, boxes: Tensor, count: Tensor, label: Tensor) -> None:
        """Add a batch: the arguments of :func:`points_at`, and ``[B]`` int64 annotated labels."""
        hit = points_at(maps, boxes, count, tolerance=self.tolerance)
        self.hits = self.hits + label[hit].bincount(minlength=self.num_classes)
        self.pictures = self.pictures + label.bincount(minlength=self.num_classes)

    def compute(self) -> dict[str, Tensor]:
        """Return ``pointing`` (mean over classes) and ``pointing_all`` (over pictures), float64.

        Raises:
            ValueError: When there was no picture.
        """
        check_seen(self, self.pictures)
        seen = self.pictures > 0
        shares = self.hits[seen].double() / self.pictures[seen]
        return {"pointing": shares.mean(), "pointing_all": self.hits.sum().double() / self.pictures.sum()}
