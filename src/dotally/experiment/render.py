"""A report as Markdown, CSV and JSON, and its parts in words. The same report always gives the same bytes."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dotally.experiment.figure import Figure
from dotally.experiment.report import CellReport
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
# under which a number of ours was made, besides the protocol; attributes of a cell's report
RULES = ("checkpoint", "release", "resize")


def label(metric: str) -> str:
    """Return the heading of a figure."""
    return LABELS.get(metric, f"MAE {metric.removeprefix('mae_')}" if metric.startswith("mae_") else metric)


def number(value: float | None, metric: str) -> str:
    """Format a figure; a missing one is a dash, and what rounds to nothing has no sign."""
    digits = DIGITS.get(metric, 1)
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def printed(figure: Figure) -> str:
    """Format the number it is held against with all the digits that were printed, and those that contradict it."""
    if figure.paper is None:
        return "-"
    return " / ".join(_as_printed(value.value) for value in (figure.paper, *figure.paper.also))


def _as_printed(value: float | None) -> str:
    """Give a number no digit that its source does not; 69 is a whole number there, 116.0 is not."""
    if value is None:
        return "not found"
    usual = f"{value:.1f}"
    return usual if isinstance(value, float) and float(usual) == value else f"{value:.10g}"


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
    """Return what qualifies the numbers, one ``cells: remark`` each, where it is first to be said."""
    told: dict[str, list[str]] = {}
    for cell in cells:
        for remark in [*cell.remarks, *_hearsay(cell), *([_committed(cell.committed)] if cell.committed else [])]:
            told.setdefault(remark, []).append(cell.cell.cell)
    return [f"{', '.join(names)}: {remark}" for remark, names in told.items()]


def _hearsay(cell: CellReport) -> list[str]:
    """Say where numbers come from that were not read in the table's own source, or that are contradicted."""
    told: dict[str, list[str]] = {}
    for name, figure in cell.figures.items():
        values = (figure.paper, *figure.paper.also) if figure.paper else ()
        for value in values if len(values) > 1 else [value for value in values if value.certainty != "printed"]:
            text = f"{label(name)} {_as_printed(value.value)}"
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


def rules(cell: CellReport, names: Sequence[str]) -> list[str]:
    """Return the rules of a cell by their names, a dash for each that it does not have."""
    return [getattr(cell, name) or "-" for name in names]


def _held(name: str, cells: Sequence[CellReport]) -> list[str]:
    """Return the different values that cells have of a rule."""
    return list(dict.fromkeys(getattr(cell, name) for cell in cells if getattr(cell, name)))


def differing(cells: Sequence[CellReport], names: Sequence[str] = RULES) -> list[str]:
    """Return the rules that need a column, since not all of these cells are made by the same."""
    return [name for name in names if len(_held(name, cells)) > 1]


def shared(columns: Mapping[str, Sequence[CellReport]], names: Sequence[str] = RULES) -> list[str]:
    """Return a line that tells the rules of which every column's cells, or those of some columns, have but one.

    Args:
        columns: The cells of the columns, by name.
        names: Which rules to look at.
    """
    told = []
    for name in names:
        where_held: dict[str, list[str]] = {}
        for column, cells in columns.items():
            held = _held(name, cells)
            if len(held) == 1:
                where_held.setdefault(held[0], []).append(column)
        told += [
            f"{name} ({', '.join(held_by)}): {value}" if len(held_by) < len(columns) else f"{name}: {value}"
            for value, held_by in where_held.items()
        ]
    return [f"The same for all rows of ours: {'; '.join(told)}"] if told else []


def by_column(table: Table, cells: Sequence[CellReport]) -> dict[str, list[CellReport]]:
    """Return the cells of each of a table's columns."""
    return {column: [cell for cell in cells if cell.cell.column == column] for column in table.columns}


def markdown(table: Table, cells: Sequence[CellReport]) -> str:
    """Render one Markdown table per column of the report."""
    parts = [f"**{table.title}** ({table.source})"]
    columns = by_column(table, cells)
    parts += ["\n".join(_block(table, column, mine)) for column, mine in columns.items()]
    notes = [f"- {note}" for note in [*table.notes, *shared(columns), *remarks(cells)]]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def _block(table: Table, column: str, cells: Sequence[CellReport]) -> list[str]:
    compared = with_printed(table, cells)
    heads = [column]
    for name in table.metrics:
        heads += [f"{label(name)} printed", f"{label(name)} ours"] if name in compared else [label(name)]
        heads += ["delta", "verdict"] if name in compared and name not in table.unjudged else []
    columns = differing(cells)
    heads += ["seeds", "protocol", *columns]
    lines = [_row(heads), _row(["---", *["---:"] * (len(heads) - 1)])]
    return [*lines, *(_row([*_line(cell, table, compared), *rules(cell, columns)]) for cell in cells)]


def _line(cell: CellReport, table: Table, compared: Sequence[str]) -> list[str]:
    # literature stands in italics
    fields = [f"*{cell.cell.row}*" if isinstance(cell.cell, Literature) else cell.cell.row]
    for name in table.metrics:
        figure = cell.figures[name]
        fields += [printed(figure), ours(figure)] if name in compared else [ours(figure)]
        fields += [percent(figure.delta), verdict(figure)] if name in compared and name not in table.unjudged else []
    return [*fields, seeds(cell), cell.protocol]


def _row(fields: Sequence[str]) -> str:
    return "| " + " | ".join(field.replace("|", r"\|") for field in fields) + " |"


def long_csv(cells: Sequence[CellReport]) -> str:
    """Render one line per row, column, figure and seed, each with the protocol and the other rules."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "column", "metric", "seed", "value", "printed", "source", "key", "protocol", *RULES])
    for cell in cells:
        for name, figure in cell.figures.items():
            paper = [_blank(figure.paper.value), figure.paper.source] if figure.paper else ["", ""]
            values: list[list[object]] = [[r.seed, r.metrics.get(name, ""), r.key[:8]] for r in cell.results]
            for seed, value, key in values or [["", "", ""]]:
                line = [cell.cell.row, cell.cell.column, name, seed, value, *paper, key]
                writer.writerow([*line, cell.protocol, cell.checkpoint, cell.release, cell.resize])
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
        **{name: getattr(cell, name) or None for name in RULES},
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
