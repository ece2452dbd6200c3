"""Promised figures of speed beside what was measured: both are committed, and nothing here measures anything."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dotally.errors import DataError

SECONDS = ("cpu_seconds", "gpu_seconds", "wall_seconds")

Record = Mapping[str, Any]
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Promise:
    """A figure that is promised.

    Attributes:
        about: What it is.
        case: Case of the benchmarks.
        over: Implementation whose seconds are divided by those of ``under``, or read by themselves; with
            ``read="fact"`` a fact of the case.
        under: The other implementation of the same case, so of the same run.
        wanted: The promised number.
        at_least: Whether more is better.
        on: "cpu" or "gpu".
        read: "seconds" of a case; "ceiling": percent of the measured ceiling; "fact": what a case noted beside its
            times.
    """

    about: str
    case: str
    wanted: float
    at_least: bool
    over: str = ""
    under: str | None = None
    on: str = "cpu"
    read: str = "seconds"

    def kept(self, value: float) -> bool:
        """Whether a measured value is what was promised."""
        return value >= self.wanted if self.at_least else value <= self.wanted


class Figure(NamedTuple):
    """A promise beside what was measured.

    Attributes:
        promise: The promise.
        value: What was measured, None if nothing was.
        interval: 95 % of it, None for too few turns.
    """

    promise: Promise
    value: float | None
    interval: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """What stands in the last column."""
        if self.value is None:
            return "waits for a GPU" if self.promise.on == "gpu" else "not measured yet"
        if not self.promise.kept(self.value):
            return "**missed**"
        return "reached" if all(map(self.promise.kept, self.interval or ())) else "reached, not surely"


def read_promises(root: Path) -> list[Promise]:
    """Return the promises of a checkout, ``benchmarks/promises.json``; none where there is no such file.

    Raises:
        DataError: If the file is damaged.
    """
    path = root / "benchmarks" / "promises.json"
    try:
        return [Promise(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: {error}") from None


def read_records(root: Path) -> list[dict[str, Any]]:
    """Return the committed runs of the benchmarks, ``benchmarks/results/*.json``, the CPU's first.

    Raises:
        DataError: If one is damaged.
    """
    found = []
    for path in sorted((root / "benchmarks" / "results").glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            found.append({"name": path.stem, **record, "results": list(record["results"])})
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: no run of the benchmarks: {error}") from None
    return sorted(found, key=lambda record: place(record) != "cpu")


def place(record: Record) -> str:
    """Return where a run was made: "cpu" or "gpu"."""
    return "cpu" if record["environment"]["device"] == "cpu" else "gpu"


def figures(promises: Sequence[Promise], records: Sequence[Record]) -> list[Figure]:
    """Return every promise with what was measured last: by the first run of its kind that has the case."""
    found = []
    for promise in promises:
        measured = (_of_record(promise, record) for record in records if place(record) == promise.on)
        found.append(next((figure for figure in measured if figure), Figure(promise, None)))
    return found


def measured_figures(record: Record, root: Path) -> list[Figure]:
    """Return the promises that one run has measured."""
    promises = read_promises(root)
    return [figure for figure in figures(promises, [record]) if figure.value is not None]


def seconds(row: Row) -> float:
    """Return the median time of a row, whichever clock took it."""
    return float(next(row[key] for key in SECONDS if key in row))


def ours_of(case: Mapping[str, Any]) -> Row:
    """Return the row of a case that the others are held against."""
    rows: list[Row] = case["rows"]
    return next(row for row in rows if row["implementation"] == case.get("ours") or row["times_ours"] == 1)


def _of_record(promise: Promise, record: Record) -> Figure | None:
    cases = [case for case in record["results"] if case["case"] == promise.case]
    if promise.read == "fact":
        noted = [case["facts"][promise.over] for case in cases if promise.over in case["facts"]]
        return Figure(promise, noted[0]) if noted else None
    rows = {row["implementation"]: row for case in cases for row in case["rows"]}
    over, under = rows.get(promise.over), rows.get(promise.under or promise.over)
    if over is None or under is None:
        return None
    if promise.read == "ceiling":
        return Figure(promise, 100 * over["ceiling"]) if "ceiling" in over else None
    if promise.under is None:
        return Figure(promise, seconds(over))
    return Figure(promise, seconds(over) / seconds(under), _interval(over, under, ours_of(cases[0])))


def _interval(over: Row, under: Row, ours: Row) -> tuple[float, float] | None:
    """Return what was noted of a ratio beside ours, whichever way round; other ratios have no note."""
    if under is ours and "interval" in over:
        low, high = over["interval"]
        return low, high
    if over is ours and "interval" in under:
        low, high = under["interval"]
        return 1 / high, 1 / low
    return None
