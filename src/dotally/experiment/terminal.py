"""Reports and plans on the terminal: results on standard output, everything else on the error output."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from dotally.experiment.figure import Figure
from dotally.experiment.probe import Cost, Outlook
from dotally.experiment.render import (
    RULES,
    by_column,
    differing,
    label,
    number,
    ours,
    percent,
    printed,
    remarks,
    seeds,
    shared,
    verdict,
    where,
    with_printed,
)
from dotally.experiment.report import CellReport
from dotally.experiment.spec import Cell, Literature, Table

STYLES = {"match": "green", "better": "cyan", "near": "yellow", "off": "red", "stale": "magenta"}
STATES = {"done": "green", "running": "cyan", "failed": "red", "interrupted": "yellow", "stale": "magenta"}
# what is piped or kept has no width of its own: nothing is folded
WIDE = 200
# what is told of how a number was made; attributes of a cell's report
ALL_RULES = ("protocol", *RULES)


def notice(text: str, *, style: str | None = None) -> None:
    """Print a line on the error output, whole and as it is."""
    Console(stderr=True).print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a line on standard output, whole and as it is."""
    Console().print(text, markup=False, highlight=False, soft_wrap=True)


def show(table: Table, cells: Sequence[CellReport]) -> None:
    """Print a report, one grid per column of the table, and the rules behind it: shared ones once, others by letter."""
    console, columns = _heading(table), by_column(table, cells)
    letters: dict[str, str] = {}
    for column, mine in columns.items():
        console.print(_grid(table, column, mine, letters))
        console.print()
    computed = {name: mine for name, mine in columns.items() if any(cell.planned for cell in mine)}
    for line in [*_legend(letters), *shared(computed, ALL_RULES), *remarks(cells)]:
        say(line)


def _heading(table: Table) -> Console:
    console = Console()
    console = console if console.is_terminal else Console(width=WIDE)
    console.print(f"\n{table.title}  ({table.source})", style="bold", highlight=False, markup=False)
    return console


def _grid(table: Table, column: str, cells: Sequence[CellReport], letters: dict[str, str]) -> Grid:
    """Return the grid of a column; ``letters`` gets one for every set of rules that is new and not shared by all."""
    compared, names = with_printed(table, cells), differing(cells, ALL_RULES)
    # two figures with verdicts, and what stands beside them, have to go into a hundred characters
    grid = Grid(box=SIMPLE_HEAD, padding=0, show_edge=False)
    grid.add_column(column, no_wrap=True)
    for name in table.metrics:
        if name in compared:
            grid.add_column("paper", justify="right", style="dim")
        grid.add_column(label(name), justify="right")
        if name in compared:
            grid.add_column("")
    grid.add_column("seeds", justify="right")
    if names:
        grid.add_column("rules")
    for cell in cells:
        style = "dim" if isinstance(cell.cell, Literature) else None
        by = [_letter(_told(cell, names), letters)] if names else []
        grid.add_row(cell.cell.row, *_fields(cell, table.metrics, compared), _seeds(cell), *by, style=style)
    return grid


def _told(cell: CellReport, names: Sequence[str]) -> str:
    """Return a cell's rules in words, but those that it does not have."""
    return "; ".join(f"{name}: {value}" for name in names if (value := getattr(cell, name)))


def _letter(told: str, letters: dict[str, str]) -> str:
    index = len(letters)
    return letters.setdefault(told, ascii_lowercase[index : index + 1] or str(index)) if told else "-"


def _legend(letters: Mapping[str, str]) -> list[str]:
    return [f"rules {letter}: {told}" for told, letter in letters.items()]


def _seeds(cell: CellReport) -> str:
    return seeds(cell).replace(" of ", "/").removesuffix(" seed")


def _fields(cell: CellReport, metrics: Sequence[str], compared: Sequence[str]) -> list[str]:
    fields = []
    for name in metrics:
        figure = cell.figures[name]
        if name in compared:
            fields += [printed(figure), _narrow(ours(figure)), _judged(figure)]
        else:
            fields.append(_narrow(ours(figure)))
    return fields


def _judged(figure: Figure) -> str:
    if not figure.verdict:
        return ""
    style = "dim" if figure.single else STYLES.get(figure.verdict, "dim")
    return f"[{style}]{verdict(figure)}[/] {_narrow(percent(figure.delta))}".rstrip()


def _narrow(text: str) -> str:
    return text.replace(" ± ", "±").replace(" %", "%")


def show_plan(table: Table, outlooks: Sequence[Outlook], costs: Mapping[str, Cost | str]) -> None:
    """Print what is done, what is left, and what that will cost.

    Args:
        table: The table.
        outlooks: One per cell.
        costs: By name of the cell: what a seed costs, or why nobody knows.
    """
    console = _heading(table)
    grid = Grid(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    metric = table.metrics[0]
    for name in ("cell", "state", f"{label(metric)} printed", "source", "network", "seeds", "a seed takes"):
        grid.add_column(name, no_wrap=name == "cell", justify="right" if name == "seeds" else "left")
    for outlook in outlooks:
        done = f"{len(outlook.states) - outlook.open}/{len(outlook.states)}"
        cost = costs[outlook.cell.cell]
        price = cost if isinstance(cost, str) else about(cost)
        paper, source = _source(outlook.cell, metric)
        told = (escape(source), escape(outlook.network), done, escape(price))
        grid.add_row(outlook.cell.cell, _state(outlook), paper, *told)
    console.print(grid)
    for line in dict.fromkeys(_reasons(outlooks)):
        say(line)
    say(_total(outlooks, costs))


def _source(cell: Cell, metric: str) -> tuple[str, str]:
    value = cell.paper.get(metric)
    if value is None:
        return "-", ""
    sources = dict.fromkeys(where(told) for told in (value, *value.also))
    return printed(Figure(metric=metric, paper=value, values=())), "; ".join(sources)


def _state(outlook: Outlook) -> str:
    states = list(dict.fromkeys(state for state, _ in outlook.states))
    return ", ".join(f"[{STATES[state]}]{state}[/]" if state in STATES else state for state in states)


def _reasons(outlooks: Sequence[Outlook]) -> list[str]:
    told = [
        f"{outlook.cell.cell}: {state}: {reason}" for outlook in outlooks for state, reason in outlook.states if reason
    ]
    return [*told, *(f"cannot run here: {outlook.trouble}" for outlook in outlooks if outlook.trouble)]


def _total(outlooks: Sequence[Outlook], costs: Mapping[str, Cost | str]) -> str:
    left, unknown = 0.0, 0
    for outlook in outlooks:
        cost = costs[outlook.cell.cell]
        if isinstance(cost, Cost):
            left += outlook.open * cost.seconds
        else:
            unknown += outlook.open
    parts = [f"about {duration(left)} one after the other"] if left or not unknown else []
    parts += [f"{unknown} run{'s' * (unknown > 1)} that cannot be timed here"] if unknown else []
    return f"left to do: {', and '.join(parts)}"


def about(cost: Cost) -> str:
    """Say what a seed costs and how sure that is."""
    if cost.basis == "probe":
        return f"about {duration(cost.seconds)} (±30 %)"
    own = "" if cost.cpu is None else f" ({duration(cost.cpu)} of CPU time)"
    return f"{duration(cost.seconds)}, {cost.basis}{own}"


def duration(seconds: float) -> str:
    """Format a duration with two digits: seconds, minutes, hours or days."""
    for unit, size, enough in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < enough * size:
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"


def summary(metrics: Mapping[str, float]) -> str:
    """Format the figures of one run in a line."""
    names = [name for name in ("mae", "rmse", "bias", "slope", "label_accuracy") if name in metrics]
    localized = [
        f"{name.split('/')[0]} {number(metrics[name], name)}" for name in metrics if name.endswith("/gt_known_50")
    ]
    told = [f"{label(name)} {number(metrics[name], name)}" for name in names]
    return "  ".join([*told, *([f"{label('gt_known_50')}:"] if localized else []), *localized])
