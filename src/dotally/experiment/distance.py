"""How far we are from each paper: every printed number that a network of ours could reach, over all tables."""

from collections.abc import Iterator, Mapping, Sequence

from dotally.experiment.figure import Figure
from dotally.experiment.render import RULES, label, ours, percent, printed, rules, seeds, verdict, where
from dotally.experiment.report import CellReport
from dotally.experiment.spec import Literature, Table

# the block of a Markdown file that holds it
BLOCK = "distance"
HEADS = ("table", "cell", "figure", "printed", "ours", "delta", "verdict", "seeds", "protocol", *RULES)
COUNTED = ("table", "source", "numbers", "without a result")
OPEN = ("table", "cell", "printed", "source", "protocol")


def distance(reports: Mapping[str, tuple[Table, Sequence[CellReport]]]) -> str:
    """Render what was reached, figure by figure; how many numbers each table has; and those that wait for a result.

    Args:
        reports: By ID of the table; tables without a printed number for a row of ours are left out.
    """
    lines = [_row(HEADS), _row(["---"] * 3 + ["---:"] * 3 + ["---"] * (len(HEADS) - 6))]
    counted = [_row(COUNTED), _row(["---", "---", "---:", "---:"])]
    waiting = [_row(OPEN), _row(["---"] * len(OPEN))]
    for name, (table, cells) in sorted(reports.items()):
        held = list(_held(cells))
        lines += [_row([name, *_fields(cell, figure)]) for cell, figure in held if figure.values]
        waiting += [_row([name, *fields]) for fields in _waiting(cells)]
        missing = sum(not figure.values for _, figure in held)
        if held:
            counted.append(_row([name, table.source, str(len(held)), str(missing)]))
    return "\n".join([*lines, "", *counted, "", *waiting]) + "\n"


def _held(cells: Sequence[CellReport]) -> Iterator[tuple[CellReport, Figure]]:
    """Yield the figures of rows of ours for which a number was found in print."""
    for cell in cells:
        if not isinstance(cell.cell, Literature):
            found = (figure for figure in cell.figures.values() if figure.paper and figure.paper.value is not None)
            yield from ((cell, figure) for figure in found)


def _waiting(cells: Sequence[CellReport]) -> Iterator[list[str]]:
    """Yield, cell by cell of ours, the numbers that nothing stands beside yet, and those that were not found."""
    for cell in cells:
        figures = [figure for figure in cell.figures.values() if figure.paper and not figure.values]
        if figures and not isinstance(cell.cell, Literature):
            values = [value for figure in figures if figure.paper for value in (figure.paper, *figure.paper.also)]
            numbers = ", ".join(f"{label(figure.metric)} {printed(figure)}" for figure in figures)
            yield [cell.cell.cell, numbers, "; ".join(dict.fromkeys(map(where, values))), cell.protocol]


def _fields(cell: CellReport, figure: Figure) -> list[str]:
    judged = verdict(figure) or "not judged"
    shown = [cell.cell.cell, label(figure.metric), printed(figure), ours(figure), percent(figure.delta), judged]
    return [*shown, seeds(cell), cell.protocol, *rules(cell, RULES)]


def _row(fields: Sequence[str]) -> str:
    return "| " + " | ".join(fields) + " |"
