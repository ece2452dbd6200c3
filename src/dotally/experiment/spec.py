"""What a published table is: rows, columns, runs, and the numbers printed elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dotally.baselines import Kind
from dotally.data.crowd import CrowdDataModule
from dotally.data.localization import LocalizationDataModule
from dotally.errors import DotallyError
from dotally.tasks import CountingTask, LocalizationTask

# How a checkpoint was chosen: on a validation split carved from train (ours), on the test split (what many
# published codes did), or nobody says.
Protocol = Literal["val", "test-best", "unknown"]
# a run counts, or it localizes
Task = CountingTask | LocalizationTask
Data = CrowdDataModule | LocalizationDataModule


@dataclass(frozen=True, kw_only=True)
class Value:
    """A number printed elsewhere.

    Attributes:
        value: The number; None was looked for and not found, where ``source`` says.
        source: Where it is printed: "Table 5", "README of ...".
        certainty: "printed" was read in the source itself, "claimed" was read about it, "own" is ours.
        sure: How sure a claim is; empty where nobody has judged it.
        also: What other sources print for the same: shown beside it, never judged by.
    """

    value: float | None
    source: str
    certainty: Literal["printed", "claimed", "own"] = "printed"
    sure: Literal["", "high", "medium-high", "medium", "conflicting"] = ""
    also: tuple["Value", ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far from a printed number still counts as reproduced, relative to that number.

    The defaults come from published re-runs of CSRNet: on ShanghaiTech A 65.9, 66.0, 66.4, 68.2 (paper), 69, 69.3,
    72, 73.3 and 75.4, a standard deviation of 4.9 %; on B 2.9 %. Released weights allow a tighter one.
    """

    match: float = 0.05
    near: float = 0.10
    reason: str = "spread of published re-runs: sd 4.9 % on ShanghaiTech A, 2.9 % on B"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One cell of a table, trained and tested by us; everything in it is part of its identity.

    Attributes:
        row: Name of the method, a slug.
        column: Name of the data set, a slug.
        task: Builds the task, all hyperparameters bound.
        data: Builds the data module; called with the operational arguments of the machine at hand.
        max_epochs: Passes over the training split; 0 evaluates the weights that ``weights`` names.
        weights: Published weights to load, relative to one of the data roots; its protocol is theirs.
        trainer: Further arguments of Lightning's Trainer that change the result, such as ``precision``.
        monitor: Validation figure, the smaller the better, that chooses the checkpoint.
        protocol: How the checkpoint is chosen; "test-best" trains on all training pictures and validates on the test
            split, see ``on_test``.
        paper: Figure -> printed number, for instance ``{"mae": Value(...)}``.
        tolerance: What counts as reproduced.
        note: One line under the table.
        groups: Name -> beginning of the names of test pictures, whose own mean absolute error becomes the figure
            ``mae_<name>``: scenes, say.
    """

    row: str
    column: str
    task: Callable[[], Task]
    data: Callable[..., Data]
    max_epochs: int
    weights: str | None = None
    trainer: Mapping[str, Any] = field(default_factory=dict)
    monitor: str = "val/mae"
    protocol: Protocol = "val"
    paper: Mapping[str, Value] = field(default_factory=dict)
    tolerance: Tolerance = field(default_factory=Tolerance)
    note: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def cell(self) -> str:
        """Name of the cell, ``row.column``."""
        return f"{self.row}.{self.column}"

    def chosen_on_test(self) -> "Run":
        """Return the same run as the papers' codes did it: test pictures choose the epoch."""
        note = "test pictures choose the epoch"
        return replace(self, row=f"{self.row}-test-best", protocol="test-best", note=note)


@dataclass(frozen=True, kw_only=True)
class Trivial:
    """A row that has learnt nothing of crowds: what every table needs beside its networks.

    Attributes:
        row: Name of the row, a slug.
        column: Name of the data set.
        kind: "mean" or "median" of the training counts, or "ridge" on global picture statistics.
        data: As in :class:`Run`.
        paper: As in :class:`Run`.
        tolerance: As in :class:`Run`.
    """

    row: str
    column: str
    kind: Kind
    data: Callable[..., CrowdDataModule]
    paper: Mapping[str, Value] = field(default_factory=dict)
    tolerance: Tolerance = field(default_factory=Tolerance)
    protocol: Protocol = "val"
    note: str = ""

    @property
    def cell(self) -> str:
        """Name of the cell, ``row.column``."""
        return f"{self.row}.{self.column}"


@dataclass(frozen=True, kw_only=True)
class Literature:
    """A cell that is given, never run: nobody reads a table of two rows."""

    row: str
    column: str
    paper: Mapping[str, Value]
    protocol: Protocol = "unknown"

    @property
    def cell(self) -> str:
        """Name of the cell, ``row.column``."""
        return f"{self.row}.{self.column}"


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A cell whose figures are means of its row's in other columns, seed by seed: those of five folds, say.

    Attributes:
        row: Name of the row, a slug.
        column: Name of the column that holds the mean.
        over: The columns it is a mean of; one that has no result makes it incomplete.
        paper: As in :class:`Run`.
        tolerance: As in :class:`Run`.
        note: One line under the table.
    """

    row: str
    column: str
    over: Sequence[str]
    paper: Mapping[str, Value] = field(default_factory=dict)
    tolerance: Tolerance = field(default_factory=Tolerance)
    note: str = ""

    @property
    def cell(self) -> str:
        """Name of the cell, ``row.column``."""
        return f"{self.row}.{self.column}"

    @property
    def parts(self) -> list[str]:
        """Names of the cells it is a mean of."""
        return [f"{self.row}.{column}" for column in self.over]


Cell = Run | Trivial | Literature | Mean


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Two rows whose difference is put into words below the table, from its numbers alone; see ``statement``.

    Attributes:
        challenger: Row of trained networks that something is claimed of.
        baseline: Row of trained networks it is held against, column by column.
        since: Column -> the column without what the challenger is said to bear better; empty where nothing is varied.
    """

    challenger: str
    baseline: str
    since: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a paper, or of ours.

    Attributes:
        id: Name of the script without its suffix.
        title: One line.
        source: Which table of which paper.
        cells: Rows in their order.
        metrics: Figures that are shown, in this order.
        unjudged: Those of them whose printed numbers are only shown, because nobody knows how they were computed.
        seeds: Seeds of the full table.
        notes: Lines under the table.
        next: What to type next, told after a run.
        contest: Two rows that are compared in words.
    """

    id: str
    title: str
    source: str
    cells: Sequence[Cell]
    metrics: Sequence[str] = ("mae", "rmse", "bias", "slope")
    unjudged: Sequence[str] = ()
    seeds: Sequence[int] = (0, 1, 2)
    notes: Sequence[str] = ()
    next: Sequence[str] = ()
    contest: Contest | None = None

    def check(self) -> None:
        """See that results can be told apart; called before a script does anything.

        Raises:
            DotallyError: Two cells have one name, or a contest or a mean names what is not there.
        """
        names = [cell.cell for cell in self.cells]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DotallyError(f"{self.id}: two cells are named {', '.join(twice)}: give each a row of its own")
        lacking = [part for cell in self.cells if isinstance(cell, Mean) for part in cell.parts if part not in names]
        if lacking:
            raise DotallyError(f"{self.id}: a mean is over {', '.join(lacking)}, of which there is no cell")
        if self.contest and not {self.contest.challenger, self.contest.baseline} <= set(self.rows):
            raise DotallyError(f"{self.id}: {self.contest.challenger} or {self.contest.baseline} is no row of it")

    @property
    def rows(self) -> list[str]:
        """Row names in their order."""
        return list(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> list[str]:
        """Column names in their order."""
        return list(dict.fromkeys(cell.column for cell in self.cells))

    def runnable(self) -> list[Run | Trivial]:
        """The cells that we compute."""
        return [cell for cell in self.cells if isinstance(cell, Run | Trivial)]
