"""What is measured: a case is one operator or one way through the program, with its peers in the same run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

# modules of this package; each has ``cases()``, cheap to call, and a docstring whose first line heads its table
SUITES = (
    "density",
    "gaussian_conv",
    "topdown",
    "training_gpu",  # before what needs no GPU, where the time on one is short
    "gaunet_gpu",
    "loop_gpu",
    "compiled_gpu",
    "loading",
    "training",
    "evaluation",
    "latency",
    "processes",
    "demo",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operator on one shape.

    Attributes:
        name: A slug.
        about: One line for the table.
        ours: Name of our implementation among ``implementations``.
        implementations: Name -> what to time; all get the same inputs, bound already.
        gate: Raises AssertionError unless every implementation computes the same; no time is taken before it passes.
        repeats: How often each implementation runs at most; slow peers run once, without a warm-up.
        least: How often each runs however long that takes, where single runs stray far.
        facts: Sizes and whatever else explains the row; "pictures" in one call gives pictures a second.
        work: By implementation, what a model counts: operations (two per multiply-add) and bytes moved, 0 for unknown.
        rate: Which measured matrix rate bounds the operations: "fp32", "tf32" or "bf16".
        device: "cpu", measured in CPU seconds, "cuda", measured by events on the device, or "wall": on the CPU by the
            clock on the wall, where other processes help.
        long: Whether a turn takes minutes, so that ``--quick`` leaves the case out.
    """

    name: str
    about: str
    ours: str
    implementations: Mapping[str, Callable[[], Any]]
    gate: Callable[[], None]
    repeats: Mapping[str, int]
    facts: Mapping[str, Any]
    least: int = 1
    work: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    rate: str = "fp32"
    device: str = "cpu"
    long: bool = False


class Skipped(NamedTuple):
    """A case that cannot be measured here, and why."""

    name: str
    reason: str


class Suite(NamedTuple):
    """The cases of one module.

    Attributes:
        name: The module's.
        about: First line of its docstring.
        cases: What it yields.
    """

    name: str
    about: str
    cases: list[Case | Skipped]


def suites() -> Iterator[Suite | tuple[str, str]]:
    """Yield every suite, or its name and why it cannot be listed: one broken module does not stop the others."""
    for name in SUITES:
        try:
            module = import_module(f"benchmarks.{name}")
            yield Suite(name, (module.__doc__ or name).splitlines()[0], list(module.cases()))
        except Exception as error:
            yield name, f"{type(error).__name__}: {error}".splitlines()[0]
