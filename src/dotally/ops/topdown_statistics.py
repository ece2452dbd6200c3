"""Stage 2 for linear layers and pools: of the winners, keep those that stand out from their mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dotally.ops.topdown_threshold import Bools, Doubles, Floats, Ints, sums

Mode = Literal["stat", "all", "top1"]
Compat = Literal["fixed", "release"]
Table = Sequence[tuple[float, float]]

# rows (m, s) of the cut m * mean + s * std, from strict to lenient
DEFAULT_TABLE: Table = ((1.0, 3.0), (1.0, 2.0), (1.0, 1.0), (1.0, 0.0), (0.5, 0.0), (0.2, 0.0))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How the survivors are chosen among the winners.

    Attributes:
        mode: ``"stat"`` cuts by mean and standard deviation, ``"all"`` keeps every winner, ``"top1"`` the largest.
        offset: Rows to go down in the table from the first that keeps anybody; more keeps more.
        table: Rows (m, s) of the cut ``m * mean + s * std``.
        release: Of equal largest winners keep all, as published, not the first.
        zeros_spread: Whether the zeros of the population enter the standard deviation, as they do in pools; in
            linear layers they only enter its divisor.
    """

    mode: str
    offset: int
    table: Table
    release: bool
    zeros_spread: bool = False


def spread(unit: Ints, value: Floats, population: Ints, rule: Rule) -> tuple[Bools, Doubles, Doubles]:
    """Choose the survivors of every unit and divide the unit among them.

    Mean and (population) standard deviation are taken over ``population`` values; those that are not listed are zero.

    Args:
        unit: ``[W]`` ascending index of the unit a winner belongs to.
        value: ``[W]`` the winners' products.
        population: ``[A]`` how many values the statistics of a unit count.
        rule: The rule.

    Returns:
        ``[W]`` whether a winner survives; the share of each survivor; ``[A]`` the sum over the survivors. A sum of
        zero, which only the published rules allow, gives shares that are NaN or infinite.
    """
    keep = value >= _cut(unit, value, population, rule)[unit]
    if rule.mode == "top1" and not rule.release:
        place = np.flatnonzero(keep)
        keep[place[np.diff(unit[place], prepend=-1) == 0]] = False
    total = sums(unit[keep], value[keep], len(population))
    if rule.mode == "top1":
        return keep, np.ones(int(keep.sum())), total
    with np.errstate(divide="ignore", invalid="ignore"):
        return keep, value[keep] / total[unit[keep]], total


def _cut(unit: Ints, value: Floats, population: Ints, rule: Rule) -> Doubles:
    """Return ``[A]`` the least value that survives; it never excludes a unit's largest."""
    cut = np.full(len(population), -np.inf)
    if rule.mode == "all" or not len(unit):
        return cut
    starts = np.flatnonzero(np.diff(unit, prepend=-1))
    listed = unit[starts]
    largest = np.maximum.reduceat(value, starts).astype(np.float64)
    if rule.mode == "top1":
        cut[listed] = largest
        return cut
    mean, std = _moments(unit, value, population, rule.zeros_spread)
    m, s = np.asarray(rule.table, np.float64).T
    cuts = m * mean[listed, None] + s * std[listed, None]  # [listed, rows]
    reached = largest[:, None] >= cuts
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), len(m) - 1)
    cut[listed] = np.minimum(cuts[np.arange(len(listed)), np.minimum(first + rule.offset, len(m) - 1)], largest)
    return cut


def _moments(unit: Ints, value: Floats, population: Ints, zeros_spread: bool) -> tuple[Doubles, Doubles]:
    count, units = np.maximum(population, 1), len(population)
    mean = sums(unit, value, units) / count
    square = sums(unit, np.where(value == 0, 0.0, np.square(value - mean[unit])), units)
    if zeros_spread:
        square += np.square(mean) * (population - sums(unit, value != 0, units))
    return mean, np.sqrt(square / count)
