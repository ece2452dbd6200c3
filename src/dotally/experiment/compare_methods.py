"""Two ways to localize, picture by picture: whose boxes fit better, and could it be chance?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dotally.errors import DataError, DotallyError
from dotally.experiment.compare import Comparison, Floats, paired_bootstrap, predictions_of
from dotally.experiment.localization import Localization, rows_of
from dotally.experiment.localization_answers import overlaps, read_answers
from dotally.experiment.report import CellReport
from dotally.experiment.spec import Table


def named_row(table: Table, name: str) -> Localization | None:
    """Return the row of a method that a name means, None where it means no localization.

    Raises:
        DotallyError: If it means a network, whose methods are many.
    """
    rows = [row for cell in table.cells for row in rows_of(cell)]
    found = [row for row in rows if isinstance(row, Localization) and name in (row.row, row.cell)]
    if len(found) != 1:
        return None
    if not found[0].method:
        names = ", ".join(f"{found[0].row}/{method}" for method in found[0].methods)
        raise DotallyError(f"{name} of {table.id} localizes: compare its methods, {names}")
    return found[0]


def compare_methods(first: CellReport, second: CellReport, folders: Sequence[Path]) -> str:
    """Compare the boxes of two rows by their IoU, in three or four lines.

    Args:
        first: A row of a method.
        second: Likewise, of the same network or another one that was tested on the same pictures.
        folders: Of the table's results; the later one counts where both hold a run.

    Raises:
        DotallyError: If a row has no result.
        DataError: If they were tested on different pictures.
    """
    pictures, missed = _missed(first, folders)
    others, missed_too = _missed(second, folders)
    if pictures != others:
        odd = sorted(set(pictures) ^ set(others))
        raise DataError(f"{first.cell.cell} and {second.cell.cell} were tested on different pictures, such as {odd[0]}")
    return _told(first.cell.cell, second.cell.cell, paired_bootstrap(missed, missed_too))


def _missed(cell: CellReport, folders: Sequence[Path]) -> tuple[list[str], Floats]:
    """Return the pictures, and ``[S, N]`` what each seed's boxes lack of an IoU of 100 %."""
    assert isinstance(cell.cell, Localization)
    tables = []
    for path in predictions_of(cell, folders):
        answers = sorted(read_answers(path), key=lambda answer: answer.name)
        lacking = 100 * (1 - overlaps(answers, cell.cell.method))
        tables.append(([f"{answer.name} ({answer.label})" for answer in answers], lacking.numpy()))
    pictures = tables[0][0]
    if any(names != pictures for names, _ in tables):
        raise DataError(f"{cell.cell.cell}: its seeds were tested on different pictures")
    return pictures, np.stack([lacking for _, lacking in tables])


def _told(a: str, b: str, found: Comparison) -> str:
    low, high = found.interval
    lines = [
        f"{a} against {b}: {found.pictures} pictures, {found.seeds[0]} and {found.seeds[1]} seeds",
        f"mean IoU {100 - found.mae[0]:.1f} % against {100 - found.mae[1]:.1f} %: "
        f"difference {-found.difference:+.1f}, 95 % interval {-high:+.1f} to {-low:+.1f}",
        f"{a} is better with probability {found.probability:.3f}, and fits better on {found.wins:.0%} of the pictures",
    ]
    if min(found.seeds) == 1:
        lines.append("one seed of a network: the interval knows nothing of its spread over seeds")
    return "\n".join(lines)
