"""From a gating to a box: collapse, prune, tight box, growth to the picture (the release's protocol)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dotally.stnet.geometry import Geometry

Collapse = Literal["sum", "max", "intact"]
Threshold = Literal["new_mean", "old_mean", "percentile", "energy"]

_THRESHOLDS = ("new_mean", "old_mean", "percentile", "energy")
_COLLAPSES = ("sum", "max", "intact")


@dataclass(frozen=True, kw_only=True)
class BoxRule:
    """How a map becomes a box; the defaults are the release's.

    Attributes:
        collapse: "sum" or "max" over channels, or "intact": every channel's cells count for themselves.
        prune: Keep only cells at or above the threshold; else every cell that is not zero.
        threshold: "new_mean": ``mean_multiplier * mean + std_multiplier * std`` of the cells that are not zero;
            "old_mean": of all cells; "percentile": the value at place ``int(percentage * n)`` of the n ascending
            values that are not zero; "energy": the value at which the ascending sum passes ``energy`` of the total.
        mean_multiplier: See ``threshold``.
        std_multiplier: See ``threshold``; the deviation is that of the population.
        percentage: 0 to 1.
        energy: 0 to 1.

    Raises:
        ValueError: An unknown word, or a share outside 0..1.
    """

    collapse: Collapse = "sum"
    prune: bool = True
    threshold: Threshold = "new_mean"
    mean_multiplier: float = 1.0
    std_multiplier: float = 0.0
    percentage: float = 0.30
    energy: float = 0.05

    def __post_init__(self) -> None:
        if self.collapse not in _COLLAPSES:
            raise ValueError(f"collapse must be one of {', '.join(_COLLAPSES)}; got {self.collapse!r}")
        if self.threshold not in _THRESHOLDS:
            raise ValueError(f"threshold must be one of {', '.join(_THRESHOLDS)}; got {self.threshold!r}")
        if not (0 <= self.percentage <= 1 and 0 <= self.energy <= 1):
            raise ValueError(f"percentage and energy are shares of 1; got {self.percentage} and {self.energy}")

    def describe(self) -> str:
        """Return the rule in a few words, to print beside its numbers."""
        rules = {
            "new_mean": f"{self.mean_multiplier:g} mean + {self.std_multiplier:g} sd of non-zero cells",
            "old_mean": f"{self.mean_multiplier:g} mean + {self.std_multiplier:g} sd of all cells",
            "percentile": f"percentile {self.percentage:g} of non-zero cells",
            "energy": f"energy above {self.energy:g}",
        }
        return f"{self.collapse} over channels, {rules[self.threshold] if self.prune else 'non-zero cells'}"


def collapse_channels(gating: Tensor, how: Collapse) -> Tensor:
    """Return ``[B, 1, h, w]`` for "sum" and "max", the gating ``[B, C, h, w]`` itself for "intact"."""
    if how == "intact":
        return gating
    return gating.sum(1, keepdim=True) if how == "sum" else gating.amax(1, keepdim=True)


def kept_cells(gating: Tensor, rule: BoxRule) -> Tensor:
    """Say which cells of a gating survive the rule.

    Args:
        gating: ``[B, C, h, w]``.
        rule: Collapse and threshold.

    Returns:
        ``[B, 1, h, w]`` bool, ``[B, C, h, w]`` for ``collapse="intact"``; a cell of zero never survives.
    """
    collapsed = collapse_channels(gating, rule.collapse)
    alive = collapsed != 0
    if not rule.prune:
        return alive
    # in float64 the mean of equal values is that value, and never cuts them all
    values = collapsed.flatten(1).double()
    return alive & (values >= _lower_bound(values, rule)[:, None]).view_as(alive)


def boxes_of(gating: Tensor, rule: BoxRule, geometry: Geometry, image_size: tuple[int, int]) -> Tensor:
    """Draw the tight box around all surviving cells of each picture, grown to their receptive fields.

    Args:
        gating: ``[B, C, h, w]`` at any layer.
        rule: Collapse and threshold.
        geometry: Where that layer's cells lie.
        image_size: (height, width) of the picture in pixels.

    Returns:
        ``[B, 4]`` float32 (x0, y0, x1, y1) in pixels of the picture, whole and inclusive, within 0..width and
        0..height; (0, 0, 1, 1) where nothing survives.
    """
    kept = kept_cells(gating, rule).any(1)
    x0, x1 = _extent(kept.any(1))
    y0, y1 = _extent(kept.any(2))
    sides = []
    for (low, high), axis, limit in (((x0, x1), geometry.x, image_size[1]), ((y0, y1), geometry.y, image_size[0])):
        reach = axis.field // 2
        sides.append((axis.stride * low + axis.start - reach).clamp(0, limit))
        sides.append((axis.stride * high + axis.start + reach).clamp(0, limit))
    boxes = torch.stack([sides[0], sides[2], sides[1], sides[3]], dim=1).float()
    return torch.where(kept.flatten(1).any(1)[:, None], boxes, boxes.new_tensor([0.0, 0.0, 1.0, 1.0]))


def _extent(line: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and last True of each row."""
    marks = line.long()
    return marks.argmax(1), line.shape[1] - 1 - marks.flip(1).argmax(1)


def _lower_bound(values: Tensor, rule: BoxRule) -> Tensor:
    alive = values != 0
    if rule.threshold == "new_mean":
        return _mean_cut(values, alive, rule)
    if rule.threshold == "old_mean":
        return _mean_cut(values, torch.ones_like(alive), rule)
    ascending = values.where(alive, torch.inf).sort(1).values
    count = alive.sum(1)
    if rule.threshold == "percentile":
        place = (rule.percentage * count.double()).long()
    else:
        spent = ascending.where(ascending.isfinite(), 0.0).cumsum(1)
        place = (spent <= rule.energy * values.sum(1, keepdim=True)).sum(1)
    place = torch.minimum(place, (count - 1).clamp(min=0))
    return ascending.gather(1, place[:, None])[:, 0]


def _mean_cut(values: Tensor, counted: Tensor, rule: BoxRule) -> Tensor:
    number = counted.sum(1).clamp(min=1)
    mean = values.sum(1) / number
    variance = (values - mean[:, None]).square().where(counted, 0.0).sum(1) / number
    return rule.mean_multiplier * mean + rule.std_multiplier * variance.sqrt()
