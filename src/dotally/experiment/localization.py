"""A localization run in a table: one training of a classifier, and a row for each way to localize with it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from dotally.data.localization import LocalizationDataModule
from dotally.experiment.localization_methods import Method
from dotally.experiment.results import Result
from dotally.experiment.spec import Cell, Run, Task
from dotally.stnet import BoxRule
from dotally.tasks import LocalizationTask

V = TypeVar("V")


@dataclass(frozen=True, kw_only=True)
class Localization(Run):
    """A classifier that is trained once a seed, or published, and every method judged with it on the same boxes.

    Its figures are percentages: ``label_accuracy`` is its own, ``<method>/gt_known_50`` and the like are its methods'.
    In a report it becomes a row of its own and one for each method; to everything else it is one run.

    Attributes:
        task: Builds the task, all hyperparameters bound.
        data: Builds the data module; called with the operational arguments of the machine at hand.
        methods: Ways to localize, by the names of their rows, slugs.
        monitor: As in :class:`Run`; the share of validation pictures whose label is not predicted.
        paper: Figure -> printed number; a method's with its name, ``{"stnet/gt_known_50": Value(...)}``.
        method: Which method's row this is, in a report; empty for the run itself.
    """

    task: Callable[[], LocalizationTask]
    data: Callable[..., LocalizationDataModule]
    methods: Mapping[str, Method] = field(default_factory=dict)
    monitor: str = "val/error"
    method: str = ""

    @property
    def judged(self) -> dict[str, Method]:
        """Methods that can be judged here; the rows of others stay empty, and the run says why."""
        return {name: method for name, method in self.methods.items() if method.available}

    @property
    def tuned(self) -> tuple[str, ...]:
        """Those of them whose boxes depend on a threshold."""
        return tuple(name for name, method in self.judged.items() if method.tuned)

    @property
    def run(self) -> str:
        """Name of the cell that is run, whichever of its rows this is."""
        return f"{self.row.removesuffix(f'/{self.method}')}.{self.column}"


def build(run: Run) -> Task:
    """Build a run's task, with its methods if it localizes."""
    task = run.task()
    if isinstance(run, Localization):
        assert isinstance(task, LocalizationTask)
        task.methods = dict(run.judged)
    return task


def untuned_methods() -> dict[str, Method]:
    """Return STNet by the release's rule and, to hold it against, the whole picture: neither needs validation boxes."""
    return {"stnet": Method(kind="stnet", rule=BoxRule()), "whole": Method(kind="whole")}


def methods_spec(methods: Mapping[str, Method]) -> dict[str, Any]:
    """Return methods as plain JSON values, in the order of their names."""
    return {name: asdict(methods[name]) for name in sorted(methods)}


def rows_of(cell: Cell) -> list[Cell]:
    """Return the rows of a report that a cell fills: itself, and those of its methods."""
    if not isinstance(cell, Localization):
        return [cell]
    own = {name: value for name, value in cell.paper.items() if "/" not in name}
    return [
        replace(cell, paper=own),
        *(
            replace(cell, row=f"{cell.row}/{name}", method=name, paper=_of(name, cell.paper), note=method.describe())
            for name, method in cell.methods.items()
        ),
    ]


def is_row_of(row: Cell, cell: Cell) -> bool:
    """Tell whether a row of a report shows a cell, or one of its methods."""
    name = row.run if isinstance(row, Localization) else row.cell
    return name == cell.cell


def results_of(result: Result) -> list[Result]:
    """Return a result as its rows show it; all share its key, by which its files are found."""
    return [
        result,
        *(
            replace(result, row=f"{result.row}/{name}", metrics=_of(name, result.metrics))
            for name in result.spec.get("methods", {})
        ),
    ]


def _of(method: str, figures: Mapping[str, V]) -> dict[str, V]:
    return {name.removeprefix(f"{method}/"): value for name, value in figures.items() if name.startswith(f"{method}/")}
