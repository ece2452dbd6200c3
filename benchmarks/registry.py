"""What is measured: a case is one operator on one shape, with its peers in the same run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operator on one shape.

    Attributes:
        name: A slug.
        about: One line for the table.
        ours: Name of our implementation among ``implementations``.
        implementations: Name -> what to time; all get the same inputs, bound already.
        gate: Raises AssertionError unless every implementation computes the same; no time is taken before it passes.
        repeats: How often each implementation runs; slow peers run once.
        facts: Sizes and whatever else explains the row.
        work: By implementation, what a model counts: operations (two per multiply-add) and bytes moved, 0 for unknown.
        device: "cpu", measured in CPU seconds, "cuda", measured by events on the device, or "wall": on the CPU by the
            clock on the wall, where other processes help.
    """

    name: str
    about: str
    ours: str
    implementations: Mapping[str, Callable[[], Any]]
    gate: Callable[[], None]
    repeats: Mapping[str, int]
    facts: Mapping[str, Any]
    work: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    device: str = "cpu"


class Skipped(NamedTuple):
    """A case that cannot be measured here, and why."""

    name: str
    reason: str
