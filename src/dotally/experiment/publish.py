"""What is published of a table: small files of its runs beside the script, and blocks in Markdown files."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from dotally.errors import DataError
from dotally.experiment.report import CellReport
from dotally.experiment.results import Result, find_results
from dotally.files import atomic_path

ROOT = Path(__file__).parents[3]
# the result comes last: where it is, the others are
FILES = ("predictions.csv", "metrics.csv", "run.json")
OPENING = re.compile(r"^<!-- table:([\w.-]+) -->[ \t]*$", re.MULTILINE)


def committed(table: str, root: Path | None = None) -> Path:
    """Return the folder of a table's committed results, below the checkout if no root is named."""
    return (root or ROOT) / "experiments" / "results" / table


def publish(table: str, cells: Sequence[CellReport], runs: Path) -> list[Result]:
    """Copy the small files of the reported local runs; checkpoints and pictures stay where they are.

    Args:
        table: Name of the table.
        cells: What to publish, as reported.
        runs: Folder of all runs.

    Returns:
        The results that were copied, to ``committed(table)/<row>.<column>/seed<k>``.
    """
    keys = {result.key for cell in cells for result in cell.results}
    found = [(path.parent, result) for path, result in find_results(runs / table) if result.key in keys]
    for source, result in found:
        target = committed(table) / result.cell / f"seed{result.seed}"
        for name in FILES:
            if (source / name).exists():
                with atomic_path(target / name) as temporary:
                    shutil.copyfile(source / name, temporary)
            else:
                (target / name).unlink(missing_ok=True)
    return [result for _, result in found]


def fill_blocks(text: str, render: Callable[[str], str | None], where: str) -> str:
    """Return a Markdown text with every block of a table replaced.

    A block lies between ``<!-- table:ID -->`` and ``<!-- /table:ID -->``, each on a line of its own.

    Args:
        text: The Markdown.
        render: Returns a table's Markdown by its ID, or None to leave the block as it is.
        where: Name of the file, for messages.

    Raises:
        DataError: If a block is not closed.
    """
    parts, position = [], 0
    while opening := OPENING.search(text, position):
        table = opening[1]
        closing = text.find(f"<!-- /table:{table} -->", opening.end())
        if closing < 0:
            raise DataError(f"{where}: <!-- table:{table} --> is never closed by <!-- /table:{table} -->")
        rendered = render(table)
        inside = text[opening.end() : closing] if rendered is None else f"\n{rendered}"
        parts += [text[position : opening.end()], inside]
        position = closing
    return "".join([*parts, text[position:]])


def shown_tables(text: str) -> list[str]:
    """Return the IDs of the tables that a Markdown text has blocks of."""
    return OPENING.findall(text)
