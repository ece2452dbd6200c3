"""A report as Markdown, LaTeX, CSV and JSON. The same report always gives the same bytes."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from dotally.experiment.report import CellReport, Figure
from dotally.experiment.spec import Literature, Run, Table

LABELS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "nae": "NAE",
    "bias": "bias",
    "slope": "slope",
    "psnr": "PSNR",
    "ssim": "SSIM",
    **{f"game{level}": f"GAME({level})" for level in range(4)},
}
DIGITS = {"slope": 2, "nae": 3, "ssim": 3}


def number(value: float | None, metric: str) -> str:
    """Format a figure; a missing one is a dash."""
    return "-" if value is None else f"{value:.{DIGITS.get(metric, 1)}f}"


def ours(figure: Figure) -> str:
    """Format our mean, spread and number of seeds."""
    if figure.mean is None:
        return "-"
    text = number(figure.mean, figure.metric)
    return f"{text} ± {number(figure.sd, figure.metric)} (n={len(figure.values)})" if figure.sd is not None else text


def markdown(table: Table, cells: Sequence[CellReport]) -> str:
    """Render one Markdown table per column of the report."""
    parts = []
    for column in table.columns:
        mine = [cell for cell in cells if cell.cell.column == column]
        parts.append("\n".join(_block(table, column, mine)))
    notes = [f"- {note}" for note in [*table.notes, *_remarks(cells)]]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def _block(table: Table, column: str, cells: Sequence[CellReport]) -> list[str]:
    printed = [name for name in table.metrics if any(cell.figures[name].paper for cell in cells)]
    heads = [f"**{column}**"]
    for name in table.metrics:
        heads += [f"{LABELS[name]} printed", f"{LABELS[name]} ours"] if name in printed else [LABELS[name]]
        heads += ["delta", "verdict"] if name in printed else []
    lines = [_row(heads), _row(["---"] * len(heads))]
    return [*lines, *(_row(_line(cell, table, printed)) for cell in cells)]


def _line(cell: CellReport, table: Table, printed: Sequence[str]) -> list[str]:
    fields = [_row_name(cell)]
    for name in table.metrics:
        figure = cell.figures[name]
        if name in printed:
            delta = "" if figure.delta is None else f"{figure.delta:+.1%}"
            fields += [number(figure.paper.value if figure.paper else None, name), ours(figure), delta, figure.verdict]
        else:
            fields.append(ours(figure))
    return fields


def _row_name(cell: CellReport) -> str:
    """Literature stands in italics; how a checkpoint was chosen is said wherever it is not on validation."""
    if isinstance(cell.cell, Literature):
        return f"*{cell.cell.row}*"
    protocol = cell.cell.protocol if isinstance(cell.cell, Run) else "val"
    return cell.cell.row if protocol == "val" else f"{cell.cell.row} ({protocol})"


def _row(fields: Sequence[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def _remarks(cells: Sequence[CellReport]) -> list[str]:
    return [f"{cell.cell.cell}: {remark}" for cell in cells for remark in cell.remarks]


def latex(table: Table, cells: Sequence[CellReport]) -> str:
    r"""Render a booktabs table: printed numbers, then ours with ``\pm``."""
    metrics = [name for name in table.metrics if name in ("mae", "rmse", "psnr", "ssim") or name.startswith("game")]
    lines = [rf"% {table.title}: {table.source}", rf"\begin{{tabular}}{{ll{'rr' * len(metrics)}}}", r"\toprule"]
    heads = [rf"{LABELS[name]} & ours" for name in metrics]
    lines += [" & ".join(["data", "method", *heads]) + r" \\", r"\midrule"]
    for cell in cells:
        fields = [_escape(cell.cell.column), _escape(cell.cell.row)]
        for name in metrics:
            figure = cell.figures[name]
            fields += [number(figure.paper.value if figure.paper else None, name), _latex_ours(figure)]
        lines.append(" & ".join(fields) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_ours(figure: Figure) -> str:
    if figure.mean is None:
        return "--"
    spread = "" if figure.sd is None else rf" \pm {number(figure.sd, figure.metric)}"
    return f"${number(figure.mean, figure.metric)}{spread}$"


def _escape(text: str) -> str:
    return text.replace("\\", r"\textbackslash{}").replace("_", r"\_").replace("%", r"\%").replace("&", r"\&")


def long_csv(cells: Sequence[CellReport]) -> str:
    """Render one line per row, column, figure and seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "column", "metric", "seed", "value", "printed", "source", "key"])
    for cell in cells:
        for name, figure in cell.figures.items():
            printed = [figure.paper.value, figure.paper.source] if figure.paper else ["", ""]
            values: list[list[object]] = [[r.seed, r.metrics.get(name, ""), r.key[:8]] for r in cell.results]
            for seed, value, key in values or [["", "", ""]]:
                writer.writerow([cell.cell.row, cell.cell.column, name, seed, value, *printed, key])
    return text.getvalue()


def records(table: Table, cells: Sequence[CellReport]) -> str:
    """Render the report as JSON, one record per cell, with the identity of every run behind it."""
    return (
        json.dumps({"table": table.id, "source": table.source, "cells": [_record(c) for c in cells]}, indent=2) + "\n"
    )


def _record(cell: CellReport) -> dict[str, Any]:
    figures = {
        name: {
            "printed": figure.paper.value if figure.paper else None,
            "source": figure.paper.source if figure.paper else None,
            "certainty": figure.paper.certainty if figure.paper else None,
            "mean": figure.mean,
            "sd": figure.sd,
            "n": len(figure.values),
            "verdict": figure.verdict,
        }
        for name, figure in cell.figures.items()
    }
    runs = [{"seed": result.seed, "key": result.key} for result in cell.results]
    return {"row": cell.cell.row, "column": cell.cell.column, "runs": runs, "figures": figures}
