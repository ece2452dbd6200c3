r"""A report as a booktabs table for a paper: printed numbers, ours, seeds, and the rules behind them."""

from collections.abc import Mapping, Sequence

from dotally.experiment.figure import Figure, is_higher
from dotally.experiment.render import by_column, differing, label, number, printed, rules, seeds, shared
from dotally.experiment.report import CellReport
from dotally.experiment.spec import Literature, Table

# what LaTeX would read as something else
ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
ESCAPED |= {character: f"\\{character}" for character in "_%&#${}"}


def latex(table: Table, cells: Sequence[CellReport]) -> str:
    r"""Render ours with ``\pm``, the best in bold, the second underlined; literature stands in grey.

    Rules that not all rows share have columns of their own, the others stand in a comment.
    """
    metrics = [name for name in table.metrics if name not in ("bias", "slope")]
    columns, ruled = by_column(table, cells), differing(cells)
    heads = ["data", "method", *(rf"{_escape(label(name))} & ours" for name in metrics), "seeds", "protocol", *ruled]
    lines = [
        *(f"% {line}" for line in [f"{table.title}: {table.source}".replace("\n", " "), *shared({"all": cells})]),
        r"% needs \usepackage{booktabs,xcolor}",
        rf"\begin{{tabular}}{{ll{'rr' * len(metrics)}r{'l' * (1 + len(ruled))}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
    ]
    for mine in columns.values():
        ranked = [cell for cell in mine if cell.protocol != "test-best"]  # which flatters, so it competes with nobody
        ranks = {name: _ranks([cell.figures[name] for cell in ranked]) for name in metrics}
        lines += [r"\midrule", *(_line(cell, metrics, ranks, ruled) for cell in mine)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _line(cell: CellReport, metrics: Sequence[str], ranks: Mapping[str, Sequence[float]], ruled: Sequence[str]) -> str:
    fields = [_escape(cell.cell.column), _escape(cell.cell.row)]
    for name in metrics:
        figure = cell.figures[name]
        fields += [printed(figure), _ours(figure, ranks[name])]
    fields += [seeds(cell), *map(_escape, [cell.protocol, *rules(cell, ruled)])]
    fields = ["--" if field == "-" else field for field in fields]
    if isinstance(cell.cell, Literature):
        fields = [rf"\textcolor{{gray}}{{{field}}}" for field in fields]
    return " & ".join(fields) + r" \\"


def _ranks(figures: Sequence[Figure]) -> list[float]:
    """Return the best mean and, of three or more different ones, the second; none where nobody is compared."""
    means = {figure.mean for figure in figures if figure.mean is not None}
    if len(means) < 2 or figures[0].metric == "threshold":
        return []
    return sorted(means, reverse=is_higher(figures[0].metric))[: 2 if len(means) > 2 else 1]


def _ours(figure: Figure, ranks: Sequence[float]) -> str:
    if figure.mean is None:
        return "--"
    spread = "" if figure.sd is None else rf" \pm {number(figure.sd, figure.metric)}"
    mean = number(figure.mean, figure.metric)
    if figure.mean in ranks:
        mean = (r"\mathbf", r"\underline")[ranks.index(figure.mean)] + f"{{{mean}}}"
    return f"${mean}{spread}$"


def _escape(text: str) -> str:
    return "".join(ESCAPED.get(character, character) for character in text)
