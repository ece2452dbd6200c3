"""One figure of a table: ours over seeds, the number it is held against, and how far the two are apart."""

import math
from dataclasses import dataclass
from typing import Literal

from dotally.experiment.spec import Tolerance, Value

Verdict = Literal["match", "near", "off", "better", "missing", "incomplete", "stale", "protocol", ""]
# figures of which more is better, besides shares of pictures that are localized; of all others less is
HIGHER = frozenset({"psnr", "ssim", "label_accuracy", "max_box_acc", "max_box_acc_v2", "pointing", "pointing_all"})


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of one cell.

    Attributes:
        metric: Its name, such as "mae".
        paper: The number it is held against, if there is one.
        values: Ours, one per seed.
        verdict: How the two compare; empty where there is nothing to compare with.
        drawn: Whether another seed would give another value.
    """

    metric: str
    paper: Value | None
    values: tuple[float, ...]
    verdict: Verdict = ""
    drawn: bool = False

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None without any."""
        return sum(self.values) / len(self.values) if self.values else None

    @property
    def sd(self) -> float | None:
        """Sample standard deviation (n - 1); None below two seeds."""
        if len(self.values) < 2 or self.mean is None:
            return None
        return math.sqrt(sum((value - self.mean) ** 2 for value in self.values) / (len(self.values) - 1))

    @property
    def delta(self) -> float | None:
        """Relative distance of our mean from the printed number; None where that is 0, or was not found."""
        if self.mean is None or self.paper is None or not self.paper.value:
            return None
        return self.mean / self.paper.value - 1

    @property
    def single(self) -> bool:
        """Whether one seed speaks for a figure that needs several."""
        return self.drawn and len(self.values) == 1


def judge(figure: Figure, tolerance: Tolerance) -> Verdict:
    """Judge a figure by its distance from the number beside it, whatever else speaks against it."""
    return "" if figure.delta is None else compare(figure.delta, tolerance, higher=is_higher(figure.metric))


def is_higher(metric: str) -> bool:
    """Tell whether more of a figure is better."""
    return metric in HIGHER or metric.startswith(("gt_known_", "top1_"))


def compare(delta: float, tolerance: Tolerance, *, higher: bool = False) -> Verdict:
    """Judge a relative distance: better by more than ``match`` is worth a second look as well.

    Args:
        delta: Ours by theirs, minus 1.
        tolerance: What counts as reproduced.
        higher: Whether more is better.
    """
    worse = -delta if higher else delta
    if abs(worse) <= tolerance.match:
        return "match"
    if worse < 0:
        return "better"
    return "near" if worse <= tolerance.near else "off"
