"""From results to statements: mean and spread over seeds, distance from the printed number, verdict."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scipy.special import stdtrit

from dotally.experiment.figure import Figure, Verdict, judge
from dotally.experiment.identity import deciding_modules, differences, digest, resolved_spec
from dotally.experiment.localization import Localization, results_of, rows_of
from dotally.experiment.results import Result
from dotally.experiment.rules import choice, release, resizing
from dotally.experiment.source import code_hash
from dotally.experiment.spec import Cell, Literature, Mean, Run, Table, Tolerance, Trivial, Value


@dataclass(frozen=True, kw_only=True)
class CellReport:
    """One cell: what it is, what was found, and what to know about it.

    Attributes:
        cell: The specification.
        results: Ours, one per seed, in the order of the seeds.
        figures: By metric name.
        planned: How many seeds belong in the cell.
        committed: The committed values of the first of the table's figures that it has, with the verdict of the local
            ones against them; None where nothing is committed or nothing differs from it.
        remarks: Anything that qualifies the numbers, such as a changed specification.
        protocol: How the checkpoint behind the numbers was chosen: ours, or for literature theirs.
        checkpoint: The same in words; empty where nothing is chosen.
        release: Which release of the data, where several go round.
        resize: The rules for the size of the pictures; empty for literature.
        stale: Whether the code that decides the results has changed since.
    """

    cell: Cell
    results: tuple[Result, ...]
    figures: Mapping[str, Figure]
    planned: int = 0
    committed: Figure | None = None
    remarks: tuple[str, ...] = ()
    protocol: str = "val"
    checkpoint: str = ""
    release: str = ""
    resize: str = ""
    stale: bool = False

    def failings(self) -> list[str]:
        """Return what ``--check`` objects to, one ``cell: figure is verdict`` each.

        Fewer seeds than planned are no objection in themselves, only what they say so far.
        """
        judged = [(figure.metric, figure.verdict, self._so_far(figure)) for figure in self.figures.values()]
        if self.committed:
            judged.append((f"{self.committed.metric} against the committed values", self.committed.verdict, ""))
        return [
            f"{self.cell.cell}: {name} is {verdict}{' and so far off' if verdict == 'incomplete' else ''}"
            for name, verdict, so_far in judged
            if verdict in ("off", "stale", "missing") or (verdict == "incomplete" and so_far == "off")
        ]

    def _so_far(self, figure: Figure) -> Verdict:
        if isinstance(self.cell, Literature) or self.protocol == "test-best":
            return ""
        return judge(figure, self.cell.tolerance)


def seeds_of(cell: Run | Trivial, seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds a cell needs: one where nothing is drawn at random."""
    return tuple(seeds) if _draws(cell) else tuple(seeds[:1])


def _draws(cell: Run | Trivial) -> bool:
    return isinstance(cell, Run) and cell.max_epochs > 0


def report(
    table: Table,
    results: Sequence[Result],
    seeds: Sequence[int],
    *,
    committed: Sequence[Result] = (),
    age: Literal["judged", "ignored"] = "judged",
) -> list[CellReport]:
    """Report every cell of a table from the results at hand.

    Args:
        table: What is reported.
        results: Those to report; of two with one specification and seed the later in the list counts.
        seeds: Those that belong in the table.
        committed: Published results: they stand in for seeds without another, and the others are held against them.
        age: Whether results of older code are "stale", or judged as if nothing had changed.
    """
    results, committed = ([row for result in found for row in results_of(result)] for found in (results, committed))
    rows = [row for cell in table.cells for row in rows_of(cell)]
    shown: dict[str, CellReport] = {}
    for row in rows:
        if isinstance(row, Literature):
            shown[row.cell] = _literature(row, table)
        elif not isinstance(row, Mean):
            shown[row.cell] = _cell(row, table, results, seeds, committed, judge_age=age == "judged")
    # whose parts may stand anywhere in the table
    shown |= {row.cell: _mean(row, table, [shown[part] for part in row.parts]) for row in rows if isinstance(row, Mean)}
    return [shown[row.cell] for row in rows]


def _literature(cell: Literature, table: Table) -> CellReport:
    figures = {name: Figure(metric=name, paper=cell.paper.get(name), values=()) for name in table.metrics}
    return CellReport(cell=cell, results=(), figures=figures, protocol=cell.protocol)


def _mean(cell: Mean, table: Table, parts: Sequence[CellReport]) -> CellReport:
    """Average a row's cells over their columns; a seed counts that all of them have."""
    by_seed = [{result.seed: result for result in part.results} for part in parts]
    seeds = sorted(set.intersection(*(set(found) for found in by_seed)))
    results = tuple(_averaged(cell, table, [found[seed] for found in by_seed]) for seed in seeds)
    planned = max(part.planned for part in parts)
    protocol = next((part.protocol for part in parts if part.protocol != "val"), "val")
    stale = any(part.stale for part in parts)
    figures = {}
    for name in table.metrics:
        values = tuple(result.metrics[name] for result in results if name in result.metrics)
        drawn = any(part.figures[name].drawn for part in parts)
        figure = Figure(metric=name, paper=cell.paper.get(name), values=values, drawn=drawn)
        complete = len(results) == planned
        verdict = _verdict(figure, cell.tolerance, table, protocol=protocol, complete=complete, stale=stale)
        some = not values and any(part.results for part in parts)
        figures[name] = replace(figure, verdict="incomplete" if verdict == "missing" and some else verdict)
    return CellReport(
        cell=cell,
        results=results,
        figures=figures,
        planned=planned,
        remarks=tuple(cell.note and [cell.note]),
        protocol=protocol,
        checkpoint=_together(part.checkpoint for part in parts),
        release=_together(part.release for part in parts),
        resize=_together(part.resize for part in parts),
        stale=stale,
    )


def _together(rules: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(rules))


def _averaged(cell: Mean, table: Table, results: Sequence[Result]) -> Result:
    names = set.intersection(*(set(result.metrics) for result in results))
    return Result(
        table=table.id,
        row=cell.row,
        column=cell.column,
        seed=results[0].seed,
        key=digest([result.key for result in results]),
        spec={},
        data=digest([result.data for result in results]),
        code="",
        metrics={name: sum(result.metrics[name] for result in results) / len(results) for name in sorted(names)},
    )


def _cell(
    cell: Run | Trivial,
    table: Table,
    results: Sequence[Result],
    seeds: Sequence[int],
    committed: Sequence[Result],
    *,
    judge_age: bool,
) -> CellReport:
    spec = resolved_spec(cell)
    ours = _of(cell, table, [*committed, *results])
    same = [result for result in ours if result.spec == spec]
    current = {result.seed: result for result in same}
    planned = seeds_of(cell, seeds)
    chosen = tuple(current[seed] for seed in planned if seed in current)
    complete, stale = len(chosen) == len(planned), judge_age and is_stale(cell, chosen)
    remarks = [*(cell.note and [cell.note]), *_several(same, planned), *_confirmed(chosen)]
    remarks += _standing_in(chosen, {result.seed for result in _of(cell, table, results) if result.spec == spec})
    first = next((name for name in table.metrics if chosen and name in chosen[0].metrics), table.metrics[0])
    if ours and not same:
        remarks.append("spec changed: " + "; ".join(differences(ours[-1].spec, spec)))
    if stale:
        remarks.append(
            "stale: the code that decides it has changed since; see --replay, or delete its runs to run them again"
        )
    published = [result for result in _of(cell, table, committed) if result.spec == spec]
    return CellReport(
        cell=cell,
        results=chosen,
        figures={name: _figure(name, cell, table, chosen, complete=complete, stale=stale) for name in table.metrics},
        planned=len(planned),
        committed=_against_committed(cell, first, chosen, published),
        # a method's row says what it is; what befell its run stands beside the run
        remarks=tuple([cell.note] if isinstance(cell, Localization) and cell.method else remarks),
        protocol=cell.protocol,
        checkpoint=choice(spec),
        release=release(spec),
        resize=resizing(spec),
        stale=stale,
    )


def _of(cell: Cell, table: Table, results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.table == table.id and result.cell == cell.cell]


def _figure(
    name: str, cell: Run | Trivial, table: Table, chosen: Sequence[Result], *, complete: bool, stale: bool
) -> Figure:
    values = tuple(result.metrics[name] for result in chosen if name in result.metrics)
    figure = Figure(metric=name, paper=cell.paper.get(name), values=values, drawn=_draws(cell))
    verdict = _verdict(figure, cell.tolerance, table, protocol=cell.protocol, complete=complete, stale=stale)
    return replace(figure, verdict=verdict)


def is_stale(cell: Run | Trivial, results: Sequence[Result]) -> bool:
    """Tell whether any of a cell's results was made by code that has changed since, and no replay confirms it."""
    return bool(results) and any(code_hash(deciding_modules(cell)) not in result.codes for result in results)


def _confirmed(results: Sequence[Result]) -> list[str]:
    """Remark on seeds that stand by a replay with later code, each with its latest."""
    told: dict[str, list[str]] = {}
    for result in results:
        for last in result.confirmed[-1:]:
            told.setdefault(f"confirmed by replay on {last.date}: {last.how}", []).append(str(result.seed))
    return [f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)} {text}" for text, seeds in told.items()]


def _standing_in(chosen: Sequence[Result], here: set[int]) -> list[str]:
    """Remark on seeds that were not run here."""
    seeds = [str(result.seed) for result in chosen if result.seed not in here]
    return [f"not run here, committed results stand in: seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}"] * bool(seeds)


def _several(same: Sequence[Result], seeds: Sequence[int]) -> list[str]:
    """Remark on seeds that were run more than once, which only other data can bring about."""
    keys = {seed: {result.key for result in same if result.seed == seed} for seed in seeds}
    return [
        f"seed {seed}: {len(found)} results on different data, the newest is shown"
        for seed, found in keys.items()
        if len(found) > 1
    ]


def _against_committed(
    cell: Run | Trivial, metric: str, chosen: Sequence[Result], published: Sequence[Result]
) -> Figure | None:
    """Hold local results against the committed ones; seeds on another machine stray as far as seeds do."""
    local = [result.metrics[metric] for result in chosen if result not in published and metric in result.metrics]
    values = tuple(result.metrics[metric] for result in published if metric in result.metrics)
    figure = Figure(metric=metric, paper=None, values=values, drawn=_draws(cell))
    if not local or not figure.mean:
        return None
    reference = Value(value=figure.mean, source="committed", certainty="own")
    ours = Figure(metric=metric, paper=reference, values=tuple(local))
    return replace(figure, verdict=judge(ours, _as_far_as_seeds(figure, cell.tolerance, runs=len(local))))


def _as_far_as_seeds(figure: Figure, tolerance: Tolerance, *, runs: int) -> Tolerance:
    """Widen a tolerance to where the mean of so many further runs lies in 95 % and 99 % of cases.

    That is Student's prediction interval, for the spread of a few seeds is itself known badly.
    """
    seeds = len(figure.values)
    if not figure.mean or not figure.sd:
        return tolerance
    error = figure.sd / abs(figure.mean) * math.sqrt(1 / seeds + 1 / runs)
    match, near = (float(stdtrit(seeds - 1, (1 + share) / 2)) * error for share in (0.95, 0.99))
    return replace(tolerance, match=max(tolerance.match, match), near=max(tolerance.near, near))


def _verdict(
    figure: Figure, tolerance: Tolerance, table: Table, *, protocol: str, complete: bool, stale: bool
) -> Verdict:
    if figure.paper is None or figure.paper.value is None or figure.metric in table.unjudged:
        return ""
    if not figure.values:
        return "missing"
    if stale:
        return "stale"
    if not complete:
        return "incomplete"
    return "protocol" if protocol == "test-best" else judge(figure, tolerance)
