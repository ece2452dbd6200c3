"""What a table says of two of its rows in words, made of its numbers alone.

Errors that shrink or grow with the scale of the counts are not to be taken for robustness, so a statement needs the
mean absolute error and the slope-corrected one to agree; and it needs seeds enough to know their spread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dotally.errors import DataError
from dotally.experiment.compare import (
    Comparison,
    Contrast,
    compare_cells,
    contrast_bootstrap,
    paired_errors,
    predictions_of,
)
from dotally.experiment.report import CellReport
from dotally.experiment.spec import Contest, Table

# fewer tell nothing of the spread over seeds
ENOUGH_SEEDS = 3


def with_statements(table: Table, cells: Sequence[CellReport], folders: Sequence[Path]) -> list[CellReport]:
    """Return the report with a remark on every cell of the challenger: is it better, and does it bear noise better?

    Args:
        table: What is reported; without a contest the report stays as it is.
        cells: The report.
        folders: Of the table's results; the later one counts where both hold a run.
    """
    contest = table.contest
    if contest is None:
        return list(cells)
    named = {cell.cell.cell: cell for cell in cells}
    return [
        replace(cell, remarks=(*cell.remarks, *_said(contest, cell.cell.column, named, folders)))
        if cell.cell.row == contest.challenger
        else cell
        for cell in cells
    ]


def _said(contest: Contest, column: str, named: Mapping[str, CellReport], folders: Sequence[Path]) -> list[str]:
    def pair(column: str) -> list[CellReport]:
        rows = (contest.challenger, contest.baseline)
        return [named[name] for name in (f"{row}.{column}" for row in rows) if name in named]

    here = pair(column)
    if len(here) < 2:
        return []
    if lacking := missing_seeds(here):
        return [f"no statement against {contest.baseline}: {lacking}"]
    since = contest.since.get(column)
    try:
        files = [predictions_of(cell, folders) for cell in here]
        lines = [
            verdict(contest.baseline, compare_cells(*files), compare_cells(*files, corrected=True)),
        ]
        before = pair(since) if since else []
        if since and len(before) == 2 and not missing_seeds(before):
            files += [predictions_of(cell, folders) for cell in before]
            moved = [
                contrast_bootstrap(list(zip((1, -1, -1, 1), paired_errors(*files, corrected=corrected), strict=True)))
                for corrected in (False, True)
            ]
            lines.append(cost_of_noise(contest.baseline, since, moved[0], moved[1]))
    except DataError:  # whose message names files of this machine
        return [f"no statement against {contest.baseline}: their predictions cannot be compared, see --compare"]
    return lines


def missing_seeds(cells: Sequence[CellReport]) -> str:
    """Say what keeps cells from being compared: seeds not run yet, or too few for their spread; nothing if they can."""
    for cell in cells:
        found = len(cell.results)
        if found < max(cell.planned, ENOUGH_SEEDS):
            return f"incomplete, {cell.cell.cell} has {found} of {max(cell.planned, ENOUGH_SEEDS)} seeds"
    return ""


def verdict(baseline: str, plain: Comparison, corrected: Comparison) -> str:
    """Say whether a row is better or worse than another, or neither.

    Args:
        baseline: Name of the other.
        plain: Their mean absolute errors, the row's first.
        corrected: Their slope-corrected ones.
    """
    words = {-1: f"better than {baseline}", 0: f"no difference from {baseline}", 1: f"worse than {baseline}"}
    figures = [
        f"{name} {found.mae[0]:.2f} against {found.mae[1]:.2f}, difference {_spread(found)}"
        for name, found in (("MAE", plain), ("slope-corrected MAE", corrected))
    ]
    if plain.sign == corrected.sign:
        return f"{words[plain.sign]} beyond seed noise: {'; '.join(figures)}"
    by = f"{words[plain.sign]} by MAE, {words[corrected.sign]} once both are divided by their slopes"
    return f"no clear difference: {by}: {'; '.join(figures)}"


def cost_of_noise(baseline: str, since: str, plain: Contrast, corrected: Contrast) -> str:
    """Say whether noise costs a row more or less than another, whichever of them is better.

    Args:
        baseline: Name of the other.
        since: Column without noise.
        plain: How far the difference of mean absolute errors, row minus other, moved from that column to this one.
        corrected: The same for slope-corrected ones.
    """
    words = {-1: f"less than {baseline}", 0: f"as much as {baseline}", 1: f"more than {baseline}"}
    figures = f"from {since} the difference in MAE moves by {_spread(plain)}, in slope-corrected MAE by "
    figures += _spread(corrected)
    if plain.sign == corrected.sign:
        beyond = "within seed noise" if plain.sign == 0 else "beyond seed noise"
        return f"noise costs it {words[plain.sign]}, {beyond}: {figures}"
    by = f"{words[plain.sign]} by MAE, {words[corrected.sign]} once divided by the slopes"
    return f"what noise costs is not clear: {by}: {figures}"


def _spread(found: Contrast) -> str:
    low, high = found.interval
    return f"{found.difference:+.2f} (95 %: {low:+.2f} to {high:+.2f})"
