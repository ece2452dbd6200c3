"""How far we are from each paper: every printed number that a network of ours could reach, over all tables."""

from collections.abc import Iterator, Mapping, Sequence

from dotally.experiment.figure import Figure
from dotally.experiment.render import RULES, label, ours, percent, printed, rules, seeds, verdict
from dotally.experiment.report import CellReport
from dotally.experiment.spec import Literature, Table

# the block of a Markdown file that holds it
BLOCK = "distance"
HEADS = ("table", "cell", "figure", "printed", "ours", "delta", "verdict", "seeds", "protocol", *RULES)


def distance(reports: Mapping[str, tuple[Table, Sequence[CellReport]]]) -> str:
    """Render what was reached, figure by figure, and below how many printed numbers nothing of ours stands beside.

    Args:
        reports: By ID of the table; tables without a printed number for a row of ours are left out.
    """
    lines = [_row(HEADS), _row(["---"] * 3 + ["---:"] * 3 + ["---"] * (len(HEADS) - 6))]
    open_lines = [_row(["table", "source", "numbers", "without a result"]), _row(["---", "---", "---:", "---:"])]
    for name, (table, cells) in sorted(reports.items()):
        held = list(_held(cells))
        lines += [_row([name, *_fields(cell, figure)]) for cell, figure in held if figure.values]
        missing = sum(not figure.values for _, figure in held)
        if held:
            open_lines.append(_row([name, table.source, str(len(held)), str(missing)]))
    return "\n".join([*lines, "", *open_lines]) + "\n"


def _held(cells: Sequence[CellReport]) -> Iterator[tuple[CellReport, Figure]]:
    """Yield the figures of rows of ours for which a number was found in print."""
    for cell in cells:
        if not isinstance(cell.cell, Literature):
            found = (figure for figure in cell.figures.values() if figure.paper and figure.paper.value is not None)
            yield from ((cell, figure) for figure in found)


def _fields(cell: CellReport, figure: Figure) -> list[str]:
    judged = verdict(figure) or "not judged"
    shown = [cell.cell.cell, label(figure.metric), printed(figure), ours(figure), percent(figure.delta), judged]
    return [*shown, seeds(cell), cell.protocol, *rules(cell, RULES)]


def _row(fields: Sequence[str]) -> str:
    return "| " + " | ".join(fields) + " |"
