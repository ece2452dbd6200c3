"""A report on the terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from dotally.experiment.render import LABELS, number, ours
from dotally.experiment.report import CellReport
from dotally.experiment.spec import Literature, Table

STYLES = {"match": "green", "better": "cyan", "near": "yellow", "off": "red", "stale": "magenta"}


def show(table: Table, cells: Sequence[CellReport]) -> None:
    """Print the table on standard output, one grid per column of the report."""
    console = Console()
    console.print(f"\n[bold]{table.title}[/]  ({table.source})", highlight=False)
    for column in table.columns:
        mine = [cell for cell in cells if cell.cell.column == column]
        console.print(_grid(table, column, mine))
    for cell in cells:
        for remark in cell.remarks:
            console.print(f"{cell.cell.cell}: {remark}", markup=False, highlight=False)


def _grid(table: Table, column: str, cells: Sequence[CellReport]) -> Grid:
    printed = [name for name in table.metrics if any(cell.figures[name].paper for cell in cells)]
    grid = Grid(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    grid.add_column(column, no_wrap=True)
    for name in table.metrics:
        if name in printed:
            grid.add_column("printed", justify="right", style="dim")
        grid.add_column(LABELS[name], justify="right", no_wrap=True)
        if name in printed:
            grid.add_column("", no_wrap=True)
    for cell in cells:
        style = "dim" if isinstance(cell.cell, Literature) else None
        grid.add_row(*_fields(cell, table.metrics, printed), style=style)
    return grid


def _fields(cell: CellReport, metrics: Sequence[str], printed: Sequence[str]) -> list[str]:
    fields = [cell.cell.row]
    for name in metrics:
        figure = cell.figures[name]
        if name in printed:
            fields.append(number(figure.paper.value if figure.paper else None, name))
        fields.append(ours(figure))
        if name in printed:
            delta = f" {figure.delta:+.1%}" if figure.delta is not None else ""
            style = STYLES.get(figure.verdict, "dim")
            fields.append(f"[{style}]{figure.verdict}[/]{delta}" if figure.verdict else "")
    return fields
