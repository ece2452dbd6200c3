"""From results to statements: mean and spread over seeds, distance from the printed number, verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dotally.experiment.identity import deciding_modules, differences, resolved_spec
from dotally.experiment.results import Result
from dotally.experiment.source import code_hash
from dotally.experiment.spec import Cell, Literature, Run, Table, Tolerance, Trivial, Value

Verdict = Literal["match", "near", "off", "better", "missing", "incomplete", "stale", "protocol", ""]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of one cell.

    Attributes:
        metric: Its name, such as "mae".
        paper: The printed number, if there is one.
        values: Ours, one per seed.
        verdict: How the two compare; empty where nothing is printed.
    """

    metric: str
    paper: Value | None
    values: tuple[float, ...]
    verdict: Verdict

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
        """Relative distance of our mean from the printed number."""
        if self.mean is None or self.paper is None:
            return None
        return self.mean / self.paper.value - 1


@dataclass(frozen=True, kw_only=True)
class CellReport:
    """One cell: what it is, what was found, and what to know about it.

    Attributes:
        cell: The specification.
        results: Ours, one per seed, in the order of the seeds.
        figures: By metric name.
        remarks: Anything that qualifies the numbers, such as a changed specification.
    """

    cell: Cell
    results: tuple[Result, ...]
    figures: Mapping[str, Figure]
    remarks: tuple[str, ...] = ()


def seeds_of(cell: Run | Trivial, seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds a cell needs: one where nothing is drawn at random."""
    draws = isinstance(cell, Run) and cell.max_epochs > 0
    return tuple(seeds) if draws else tuple(seeds[:1])


def report(table: Table, results: Sequence[Result], seeds: Sequence[int]) -> list[CellReport]:
    """Report every cell of a table from the results at hand; later results replace earlier ones of equal seed."""
    return [
        _literature(cell, table) if isinstance(cell, Literature) else _cell(cell, table, results, seeds)
        for cell in table.cells
    ]


def _literature(cell: Literature, table: Table) -> CellReport:
    figures = {name: Figure(metric=name, paper=cell.paper.get(name), values=(), verdict="") for name in table.metrics}
    return CellReport(cell=cell, results=(), figures=figures)


def _cell(cell: Run | Trivial, table: Table, results: Sequence[Result], seeds: Sequence[int]) -> CellReport:
    spec = resolved_spec(cell)
    ours = [result for result in results if result.table == table.id and result.cell == cell.cell]
    current = {result.seed: result for result in ours if result.spec == spec}
    planned = seeds_of(cell, seeds)
    chosen = tuple(current[seed] for seed in planned if seed in current)
    remarks = list(cell.note and [cell.note])
    if ours and not chosen:
        remarks.append("spec changed: " + "; ".join(differences(ours[-1].spec, spec)))
    code = code_hash(deciding_modules(cell))
    stale = any(result.code != code for result in chosen)
    figures = {}
    for name in table.metrics:
        values = tuple(result.metrics[name] for result in chosen if name in result.metrics)
        figure = Figure(metric=name, paper=cell.paper.get(name), values=values, verdict="")
        verdict = _verdict(figure, cell, complete=len(chosen) == len(planned), stale=stale)
        figures[name] = Figure(metric=name, paper=figure.paper, values=values, verdict=verdict)
    return CellReport(cell=cell, results=chosen, figures=figures, remarks=tuple(remarks))


def _verdict(figure: Figure, cell: Run | Trivial, *, complete: bool, stale: bool) -> Verdict:
    if figure.paper is None:
        return ""
    if not figure.values:
        return "missing"
    if stale:
        return "stale"
    if not complete:
        return "incomplete"
    if cell.protocol == "test-best":
        return "protocol"
    assert figure.delta is not None
    return compare(figure.delta, cell.tolerance)


def compare(delta: float, tolerance: Tolerance) -> Verdict:
    """Judge a relative distance: below the printed number by more than ``match`` is better, and worth a second look."""
    if abs(delta) <= tolerance.match:
        return "match"
    if delta < 0:
        return "better"
    return "near" if delta <= tolerance.near else "off"
