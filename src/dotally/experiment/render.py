"""A report as Markdown, LaTeX, CSV and JSON. The same report always gives the same bytes."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dotally.experiment.report import CellReport, Figure, is_higher
from dotally.experiment.spec import Cell, Literature, Table, Value

LABELS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "nae": "NAE",
    "bias": "bias",
    "slope": "slope",
    "corrected_mae": "MAE / slope",
    "psnr": "PSNR",
    "ssim": "SSIM",
    **{f"game{level}": f"GAME({level})" for level in range(4)},
    "label_accuracy": "label %",
    "max_box_acc": "MaxBoxAcc %",
    "max_box_acc_v2": "MaxBoxAccV2 %",
    "pointing": "pointing %",
    **{f"gt_known_{iou}": f"GT-known % at 0.{iou}" for iou in (25, 30, 50, 70, 75)},
}
DIGITS = {"slope": 2, "nae": 3, "ssim": 3, "threshold": 2}
# what LaTeX would read as something else
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {character: f"\\{character}" for character in "_%&#${}"}


def label(metric: str) -> str:
    """Return the heading of a figure."""
    return LABELS.get(metric, metric)


def number(value: float | None, metric: str) -> str:
    """Format a figure; a missing one is a dash, and what rounds to nothing has no sign."""
    digits = DIGITS.get(metric, 1)
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def printed(figure: Figure) -> str:
    """Format the number it is held against with all the digits that were printed, and those that contradict it."""
    if figure.paper is None:
        return "-"
    return " / ".join(_as_printed(value.value, figure.metric) for value in (figure.paper, *figure.paper.also))


def _as_printed(value: float | None, metric: str) -> str:
    if value is None:
        return "not found"
    usual = number(value, metric)
    return usual if float(usual) == value else f"{value:.10g}"


def ours(figure: Figure) -> str:
    """Format our mean and spread over seeds."""
    text = number(figure.mean, figure.metric)
    return text if figure.sd is None else f"{text} ± {number(figure.sd, figure.metric)}"


def percent(delta: float | None) -> str:
    """Format a relative distance; nothing where there is none."""
    return "" if delta is None else f"{round(100 * delta, 1) + 0.0:+.1f} %".replace("+0.0", "0.0")


def seeds(cell: CellReport) -> str:
    """Say how many seeds stand behind a row; a dash where nothing is drawn at random or nothing is ours."""
    found = len(cell.results)
    if not any(figure.drawn for figure in cell.figures.values()):
        return "-"
    if found < cell.planned:
        return f"{found} of {cell.planned}"
    return "1 seed" if found == 1 else str(found)


def verdict(figure: Figure) -> str:
    """Say how a figure compares; that of a single seed is marked."""
    return f"{figure.verdict} (1 seed)" if figure.verdict and figure.single else figure.verdict


def remarks(cells: Sequence[CellReport]) -> list[str]:
    """Return what qualifies the numbers, one ``cell: remark`` each."""
    return [
        f"{cell.cell.cell}: {remark}"
        for cell in cells
        for remark in [*cell.remarks, *_hearsay(cell), *([_committed(cell.committed)] if cell.committed else [])]
    ]


def _hearsay(cell: CellReport) -> list[str]:
    """Say where numbers come from that were not read in the table's own source, or that are contradicted."""
    told: dict[str, list[str]] = {}
    for name, figure in cell.figures.items():
        values = (figure.paper, *figure.paper.also) if figure.paper else ()
        for value in values if len(values) > 1 else [value for value in values if value.certainty != "printed"]:
            text = f"{label(name)} {_as_printed(value.value, name)}"
            told.setdefault(where(value), []).append(text)
    return ["; ".join(f"{', '.join(numbers)} ({source})" for source, numbers in told.items())] if told else []


def where(value: Value) -> str:
    """Say where a number comes from, and how sure it is unless it was read there."""
    if value.certainty == "printed" or value.value is None:
        return value.source
    return ", ".join([value.source, value.certainty, *([value.sure] if value.sure else [])])


def _committed(figure: Figure) -> str:
    count = len(figure.values)
    behind = f" ({count} seed{'s' if count > 1 else ''})" if figure.drawn else ""
    return f"committed values: {label(figure.metric)} {ours(figure)}{behind} -> {figure.verdict}"


def with_printed(table: Table, cells: Sequence[CellReport]) -> list[str]:
    """Return the figures for which any cell has a printed number."""
    return [name for name in table.metrics if any(cell.figures[name].paper for cell in cells)]


def markdown(table: Table, cells: Sequence[CellReport]) -> str:
    """Render one Markdown table per column of the report."""
    parts = [f"**{table.title}** ({table.source})"]
    for column in table.columns:
        mine = [cell for cell in cells if cell.cell.column == column]
        parts.append("\n".join(_block(table, column, mine)))
    notes = [f"- {note}" for note in [*table.notes, *remarks(cells)]]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def _block(table: Table, column: str, cells: Sequence[CellReport]) -> list[str]:
    compared = with_printed(table, cells)
    heads = [column]
    for name in table.metrics:
        heads += [f"{label(name)} printed", f"{label(name)} ours"] if name in compared else [label(name)]
        heads += ["delta", "verdict"] if name in compared and name not in table.unjudged else []
    heads += ["seeds", "protocol", *(["resize"] if any(cell.resize for cell in cells) else [])]
    lines = [_row(heads), _row(["---", *["---:"] * (len(heads) - 1)])]
    return [*lines, *(_row(_line(cell, table, compared)[: len(heads)]) for cell in cells)]


def _line(cell: CellReport, table: Table, compared: Sequence[str]) -> list[str]:
    # literature stands in italics
    fields = [f"*{cell.cell.row}*" if isinstance(cell.cell, Literature) else cell.cell.row]
    for name in table.metrics:
        figure = cell.figures[name]
        fields += [printed(figure), ours(figure)] if name in compared else [ours(figure)]
        fields += [percent(figure.delta), verdict(figure)] if name in compared and name not in table.unjudged else []
    return [*fields, seeds(cell), cell.protocol, cell.resize or ("-" if isinstance(cell.cell, Literature) else "none")]


def _row(fields: Sequence[str]) -> str:
    return "| " + " | ".join(field.replace("|", r"\|") for field in fields) + " |"


def latex(table: Table, cells: Sequence[CellReport]) -> str:
    r"""Render a booktabs table: printed numbers, ours with ``\pm``, the best in bold, the second underlined, seeds."""
    metrics = [name for name in table.metrics if name not in ("bias", "slope")]
    title = f"{table.title}: {table.source}".replace("\n", " ")
    lines = [
        f"% {title}; needs \\usepackage{{booktabs}}",
        rf"\begin{{tabular}}{{ll{'rr' * len(metrics)}r}}",
        r"\toprule",
    ]
    heads = [rf"{_escape(label(name))} & ours" for name in metrics]
    lines += [" & ".join(["data", "method", *heads, "seeds"]) + r" \\"]
    for column in table.columns:
        mine = [cell for cell in cells if cell.cell.column == column]
        ranks = {name: _ranks([cell.figures[name] for cell in mine]) for name in metrics}
        lines += [r"\midrule", *(_latex_line(cell, metrics, ranks) for cell in mine)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_line(cell: CellReport, metrics: Sequence[str], ranks: Mapping[str, Sequence[float]]) -> str:
    fields = [_escape(cell.cell.column), _escape(cell.cell.row)]
    for name in metrics:
        figure = cell.figures[name]
        fields += [printed(figure), _latex_ours(figure, ranks[name])]
    return " & ".join("--" if field == "-" else field for field in [*fields, seeds(cell)]) + r" \\"


def _ranks(figures: Sequence[Figure]) -> list[float]:
    """Return the best mean and, of three or more different ones, the second; none where nobody is compared."""
    means = {figure.mean for figure in figures if figure.mean is not None}
    if len(means) < 2 or figures[0].metric == "threshold":
        return []
    return sorted(means, reverse=is_higher(figures[0].metric))[: 2 if len(means) > 2 else 1]


def _latex_ours(figure: Figure, ranks: Sequence[float]) -> str:
    if figure.mean is None:
        return "--"
    spread = "" if figure.sd is None else rf" \pm {number(figure.sd, figure.metric)}"
    mean = number(figure.mean, figure.metric)
    if figure.mean in ranks:
        mean = (r"\mathbf", r"\underline")[ranks.index(figure.mean)] + f"{{{mean}}}"
    return f"${mean}{spread}$"


def _escape(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def long_csv(cells: Sequence[CellReport]) -> str:
    """Render one line per row, column, figure and seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "column", "metric", "seed", "value", "printed", "source", "key"])
    for cell in cells:
        for name, figure in cell.figures.items():
            paper = [_blank(figure.paper.value), figure.paper.source] if figure.paper else ["", ""]
            values: list[list[object]] = [[r.seed, r.metrics.get(name, ""), r.key[:8]] for r in cell.results]
            for seed, value, key in values or [["", "", ""]]:
                writer.writerow([cell.cell.row, cell.cell.column, name, seed, value, *paper, key])
    return text.getvalue()


def _blank(value: float | None) -> float | str:
    return "" if value is None else value


def records(table: Table, cells: Sequence[CellReport]) -> str:
    """Render the report as JSON, one record per cell, with the identity of every run behind it."""
    value = {"table": table.id, "source": table.source, "cells": [_record(cell) for cell in cells]}
    return json.dumps(value, indent=2) + "\n"


def _record(cell: CellReport) -> dict[str, Any]:
    return {
        "row": cell.cell.row,
        "column": cell.cell.column,
        "seeds": {"done": len(cell.results), "planned": cell.planned},
        "protocol": cell.protocol,
        "tolerance": _tolerance(cell.cell),
        "runs": [{"seed": result.seed, "key": result.key} for result in cell.results],
        "figures": {name: _figure_record(figure) for name, figure in cell.figures.items()},
        "remarks": list(cell.remarks),
    }


def _tolerance(cell: Cell) -> dict[str, Any] | None:
    return None if isinstance(cell, Literature) else asdict(cell.tolerance)


def _figure_record(figure: Figure) -> dict[str, Any]:
    return {
        "printed": figure.paper.value if figure.paper else None,
        "source": figure.paper.source if figure.paper else None,
        "certainty": figure.paper.certainty if figure.paper else None,
        "also": [asdict(value) for value in figure.paper.also] if figure.paper else [],
        "mean": figure.mean,
        "sd": figure.sd,
        "n": len(figure.values),
        "delta": figure.delta,
        "verdict": figure.verdict,
    }
