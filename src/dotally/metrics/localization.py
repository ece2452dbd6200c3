"""How well one box a picture fits what is annotated, with the label known or predicted; shares from 0 to 1."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from dotally.metrics.boxes import Compat, best_iou


def gt_known_loc(
    predicted: Tensor, boxes: Tensor, count: Tensor, *, iou: float = 0.5, compat: Compat = "fixed"
) -> Tensor:
    """Tell which pictures are localized: the predicted box reaches ``iou`` with any annotated one.

    The box was made for the annotated label (GT-known localization, also called CorLoc).

    Args:
        predicted: ``[B, 4]`` (x0, y0, x1, y1) in pixels, first and last included.
        boxes: ``[sum N, 4]``, the annotated boxes of all pictures in a row.
        count: ``[B]`` int64, how many of these belong to each picture, at least one.
        iou: Threshold.
        compat: See ``dotally.metrics.boxes.box_iou``.

    Returns:
        ``[B]`` bool.

    Raises:
        ValueError: If shapes and counts disagree, or a picture has no annotated box.
    """
    return best_iou(predicted, boxes, count, compat=compat) >= iou


def top1_loc(
    predicted: Tensor,
    boxes: Tensor,
    count: Tensor,
    *,
    scores: Tensor,
    label: Tensor,
    iou: float = 0.5,
    compat: Compat = "fixed",
) -> Tensor:
    """Tell which pictures are localized, as :func:`gt_known_loc` does, and have their label predicted.

    Args:
        predicted: ``[B, 4]``.
        boxes: ``[sum N, 4]``.
        count: ``[B]`` int64.
        scores: ``[B, C]``, the network's.
        label: ``[B]`` int64, annotated.
        iou: Threshold.
        compat: See ``dotally.metrics.boxes.box_iou``.

    Returns:
        ``[B]`` bool.
    """
    return gt_known_loc(predicted, boxes, count, iou=iou, compat=compat) & label_correct(scores, label)


def label_correct(scores: Tensor, label: Tensor) -> Tensor:
    """Tell ``[B]`` bool in which pictures the class with the highest of ``[B, C]`` scores is ``label`` ``[B]``."""
    return scores.argmax(dim=1) == label


class LabelAccuracy(Metric):
    """Share of pictures with the label predicted, over all batches and processes."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    right: Tensor
    pictures: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("right", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("pictures", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, label: Tensor) -> None:
        """Add ``[B, C]`` scores and ``[B]`` annotated labels."""
        # not in place: a state that was reset in inference mode must not be written to outside of it
        self.right = self.right + label_correct(scores, label).sum()
        self.pictures = self.pictures + len(label)

    def compute(self) -> Tensor:
        """Return the float64 share; ValueError when there was no picture."""
        check_seen(self, self.pictures)
        return self.right.double() / self.pictures


class GTKnownLoc(Metric):
    """Share of pictures localized at several IoUs, the label being known, over all batches and processes.

    Averaged over pictures; the release averages batches and leaves the last one out.

    Args:
        ious: Thresholds.
        compat: See ``dotally.metrics.boxes.box_iou``.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ValueError: If there is no threshold, or one is not within 0 and 1.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    hits: Tensor
    pictures: Tensor
    settings: Tensor
    prefix = "gt_known"

    def __init__(self, ious: Sequence[float] = (0.25, 0.5, 0.75), *, compat: Compat = "fixed", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ious, self.compat = check_ious(ious), compat
        self.add_state("hits", torch.zeros(len(ious), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("pictures", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        # a MetricCollection takes metrics of equal states for one and the same
        told_apart = [self.prefix == "top1", compat == "release", *ious]
        self.add_state("settings", torch.tensor(told_apart, dtype=torch.float64), dist_reduce_fx="max")

    def update(self, predicted: Tensor, boxes: Tensor, count: Tensor) -> None:
        """Add a batch; the arguments are those of :func:`gt_known_loc`."""
        self._add(best_iou(predicted, boxes, count, compat=self.compat))

    def compute(self) -> dict[str, Tensor]:
        """Return the float64 shares by name, such as ``gt_known_50``; ValueError when there was no picture."""
        check_seen(self, self.pictures)
        shares = self.hits.double() / self.pictures
        return {f"{self.prefix}_{percent(iou)}": share for iou, share in zip(self.ious, shares, strict=True)}

    def _add(self, overlap: Tensor) -> None:
        self.hits = self.hits + (overlap[:, None] >= overlap.new_tensor(self.ious)).sum(0)
        self.pictures = self.pictures + len(overlap)


class Top1Loc(GTKnownLoc):
    """Share of pictures localized at several IoUs whose label is predicted too; arguments of :class:`GTKnownLoc`."""

    prefix = "top1"

    def update(  # type: ignore[override]  # it needs the labels as well
        self, predicted: Tensor, boxes: Tensor, count: Tensor, scores: Tensor, label: Tensor
    ) -> None:
        """Add a batch; the arguments are those of :func:`top1_loc`."""
        overlap = best_iou(predicted, boxes, count, compat=self.compat)
        self._add(overlap.where(label_correct(scores, label), -1))


def check_ious(ious: Sequence[float]) -> tuple[float, ...]:
    """Return IoU thresholds, or ValueError if there are none or one is not above 0 and at most 1."""
    if not ious or not all(0 < iou <= 1 for iou in ious):
        raise ValueError(f"IoU thresholds must be above 0 and at most 1, got {tuple(ious)}")
    return tuple(ious)


def check_seen(metric: Metric, pictures: Tensor) -> None:
    """Raise ValueError if there was no picture."""
    if not pictures.sum():
        raise ValueError(f"{type(metric).__name__} has seen no picture: call update(...) before compute()")


def percent(share: float) -> str:
    """Write 0.5 as "50"."""
    return f"{100 * share:g}"
