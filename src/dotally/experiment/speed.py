"""The page of speed, made from the committed runs of the benchmarks alone."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dotally.experiment.promises import (
    Figure,
    Record,
    Row,
    figures,
    ours_of,
    place,
    read_promises,
    read_records,
    seconds,
)

CLOCKS = {"cpu": "CPU time of one thread", "cuda": "GPU time by events", "wall": "Wall time"}
COLUMNS = (
    *("case", "implementation", "median", "lowest to highest", "runs", "/ ours", "95 %"),
    *("pictures/s", "steps/s", "GFLOP/s", "GB/s", "of the ceiling", "peak MB"),
)
RATES = {"copy": "GB/s copied (read and written)", "fp32": "fp32", "tf32": "TF32", "bf16": "bf16"}


def speed(root: Path) -> str:
    """Render the whole page of a checkout.

    Raises:
        DataError: If a committed file is damaged.
    """
    records = read_records(root)
    return page(figures(read_promises(root), records), records)


def promised(root: Path) -> str:
    """Render what is promised on a CPU.

    Raises:
        DataError: If a committed file is damaged.
    """
    promises = [promise for promise in read_promises(root) if promise.on == "cpu"]
    return promised_table(figures(promises, read_records(root)))


BLOCKS = {"speed": speed, "speed-promised": promised}


def page(found: Sequence[Figure], records: Sequence[Record], folder: str = "../benchmarks/results") -> str:
    """Render promises, then for each run its machine, where a peer is faster, and every row.

    Args:
        found: The promises.
        records: The runs.
        folder: Where their pictures lie, seen from the page.
    """
    parts = ["## Figures to reach", promised_table(found)] if found else []
    for record in records:
        parts += [f"## {_machine(record)}", _origin(record, folder), *_ceilings(record)]
        parts += ["### Where a peer is faster", _slower(record["results"]), *_suites(record), *_missing(record)]
        parts += [*_static(record), *_models(record)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def promised_table(found: Sequence[Figure]) -> str:
    """Render promises beside what was measured."""
    rows = []
    for figure in found:
        bound = f"{'at least' if figure.promise.at_least else 'at most'} {figure.promise.wanted:,g}"
        value = "" if figure.value is None else number(figure.value)
        rows.append([figure.promise.about, bound, value, _interval(figure.interval), figure.verdict])
    return _table(("figure", "promised", "measured", "95 %", ""), rows) + "\n"


def case_lines(case: Mapping[str, Any]) -> list[str]:
    """Return the table lines of one case, its name in the first."""
    return [_line(cells) for cells in _cells(case)]


def case_head() -> list[str]:
    """Return the head of such a table."""
    return [_line(COLUMNS), _rule(COLUMNS)]


def number(value: float) -> str:
    """Write a number with three digits, or all those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _cells(case: Mapping[str, Any]) -> Iterator[list[str]]:
    about = case["about"] + "".join(f", {word}" for word in ("cold", "graph") if case.get(word))
    for row in case["rows"]:
        yield [about, row["implementation"], *_measured(row), *_model(row)]
        about = ""


def _measured(row: Row) -> list[str]:
    ratio = number(row["times_ours"])
    faster = row["times_ours"] < 1 and not is_ours(row)
    spread = " to ".join(_time(value) for value in row["spread"]) if row["repeats"] > 1 else ""
    middle = f"**{ratio}**" if faster else ratio
    return [_time(seconds(row)), spread, str(row["repeats"]), middle, _interval(row.get("interval"))]


def _model(row: Row) -> list[str]:
    keys = ("pictures_per_second", "steps_per_second", "gflop_per_second")
    cells = [number(row[key]) if key in row else "" for key in keys]
    cells.append(number(row["megabytes"] / 1e3 / seconds(row)) if "megabytes" in row else "")
    cells.append(f"{100 * row['ceiling']:.0f} % ({row['bound']})" if "ceiling" in row else "")
    return [*cells, number(row["peak_megabytes"]) if "peak_megabytes" in row else ""]


def _time(value: float) -> str:
    return f"{value * 1e6:.3g} us" if value < 1e-3 else f"{value * 1e3:,.4g} ms" if value < 10 else f"{value:,.1f} s"


def _interval(found: Sequence[float] | None) -> str:
    return f"{number(found[0])} to {number(found[1])}" if found else ""


def is_ours(row: Row) -> bool:
    """Whether a row is of this package; other implementations of ours in one case are no peers."""
    return str(row["implementation"]).startswith("dotally")


def is_modelled(row: Row) -> bool:
    """Whether a model counts both operations and bytes of a row, so that it has a place under the roofline."""
    return {"gflop_per_second", "megabytes"} <= row.keys()


def _machine(record: Record) -> str:
    about, machine = record["environment"], record.get("machine", {})
    name = machine.get("processor", about["platform"]) if place(record) == "cpu" else about["device"]
    return f"{name}, {about['cores']} cores"


def _origin(record: Record, folder: str) -> str:
    about = record["environment"]
    packages = ", ".join(f"{name} {about['packages'].get(name)}" for name in ("torch", "triton", "numpy"))
    commit = (about["commit"] or "unknown")[:7] + (" and changes" if about["dirty"] else "")
    when = f", {record['finished']}" if record.get("finished") else ""
    images = f"![times in units of ours]({folder}/{record['name']}.png)"
    if "ceilings" in record and any(is_modelled(row) for case in record["results"] for row in case["rows"]):
        images += f"\n\n![operations a second under the ceilings]({folder}/{record['name']}-roofline.png)"
    how = "Peers took turns in one run, each after a gate that compares what they compute. Bold: faster than ours."
    return f"{packages}, Python {about['python']}, commit {commit}{when}. {how}\n\n{images}"


def _ceilings(record: Record) -> Iterator[str]:
    rates = record.get("ceilings", {})
    if rates:
        cells = [f"{number(rates['copy'] / 1e9)} {RATES['copy']}"]
        cells += [f"{number(rates[key] / 1e9)} GFLOP/s {RATES[key]}" for key in RATES if key != "copy" and key in rates]
        yield f"Measured first, as the ceilings of everything below: {', '.join(cells)}."


def _slower(results: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for case in results:
        for row in case["rows"]:
            if row["times_ours"] < 1 and not is_ours(row):
                times = [_time(seconds(row)), _time(seconds(ours_of(case)))]
                sure = _interval(row.get("interval"))
                rows.append([case["about"], row["implementation"], *times, number(row["times_ours"]), sure])
    heads = ("case", "faster than ours", "its time", "ours", "peer / ours", "95 %")
    return _table(heads, rows) if rows else "Nowhere in this run."


def _suites(record: Record) -> Iterator[str]:
    """Yield a heading and a table for each suite, in the order of the run."""
    names = list(dict.fromkeys(case.get("suite", "") for case in record["results"]))
    for name in names:
        cases = [case for case in record["results"] if case.get("suite", "") == name]
        clocks = dict.fromkeys(CLOCKS[case["device"]] for case in cases)
        yield f"### {(record.get('suites', {}).get(name) or name or 'All cases').removesuffix('.')}"
        yield f"{'; '.join(clocks)}."
        yield _table(COLUMNS, [cells for case in cases for cells in _cells(case)])


def _missing(record: Record) -> Iterator[str]:
    for key, what in (("skipped", "Not measured"), ("failed", "**Failed**")):
        lines = [f"- {what}: {each['case']}: {each['reason']}" for each in record.get(key, [])]
        if lines:
            yield "\n".join(lines)


def _static(record: Record) -> Iterator[str]:
    keys = ("registers", "spills", "shared", "tensor_core", "vector_loads", "issue_ratio", "compile_s")
    counted = ("registers", "spills", "shared memory", "tensor core", "vector loads", "issue", "compile, s")
    found = record.get("static", [])
    if found:
        yield "### Kernels, compiled for a GPU that is not there"
        yield (
            "Read off the machine code: numbers of instructions, shared memory in bytes. *Issue*: time to issue the "
            "loop of the product over the time of its tensor core operations. Above 1 these wait. A prediction. "
            "*Compile*: seconds of one CPU core, once for each machine."
        )
        rows = [
            [row["kernel"], f"sm_{row['architecture']}", *(f"{row[key]:,g}" if key in row else "" for key in keys)]
            for row in found
        ]
        yield _table(("kernel", "for", *counted), rows)


def _models(record: Record) -> Iterator[str]:
    found = record.get("models", [])
    if found:
        yield "### What models count of the same operators on a GPU"
        yield "No time was taken: the floor is what the assumed ceilings of an H200 leave, launches included."
        keys = ("gflop", "megabytes", "launches", "floor_us")
        rows = [[row["about"], row["implementation"], *(number(row[key]) for key in keys)] for row in found]
        yield _table(("operator", "implementation", "GFLOP", "MB", "launches", "floor, us"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a table without the columns that are empty throughout."""
    kept = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    lines = [_line([heads[i] for i in kept]), _rule([heads[i] for i in kept])]
    return "\n".join([*lines, *(_line([row[i] for i in kept]) for row in rows)])


def _rule(heads: Sequence[str]) -> str:
    words = ("case", "implementation", "kernel", "for", "operator", "faster than ours", "figure", "")
    return _line(["---" if head in words else "---:" for head in heads])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
