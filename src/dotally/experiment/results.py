"""Results on disk: ``run.json`` and ``predictions.csv``, and finding them again."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from dotally.callbacks import Prediction
from dotally.errors import DataError
from dotally.files import write_json, write_text
from dotally.metrics.count_errors import counting_error
from dotally.metrics.slope_corrected import slope_corrected

FORMAT = 1
# figures that results may lack, because they were made before these were computed
LATER = frozenset({"corrected_mae"})


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """That a replay with later code met the same bits; see ``replay``.

    Attributes:
        code: Hash of that code, as in :class:`Result`.
        version: Version of dotally.
        commit: Its commit, and whether there were changes besides; None outside a checkout.
        date: Of the replay.
        how: What was equal.
    """

    code: str
    version: str | None
    commit: str | None
    date: str
    how: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run found.

    Attributes:
        table: Which table it belongs to.
        row: Which row.
        column: Which column.
        seed: Its seed.
        key: Identity: hash of ``spec``, ``data`` and ``seed``.
        spec: The fully bound specification.
        data: Fingerprint of the data.
        code: Hash of the code that decided the result.
        metrics: Test figures, such as ``mae`` and ``rmse``.
        facts: Whatever else is worth knowing: best epoch, seconds, parameters.
        environment: Versions, device and commit.
        confirmed: Later code under which a replay met the same bits, in the order of the replays; no part of what was
            found, so two results that differ in nothing else are equal.
        format: Version of this file.
    """

    table: str
    row: str
    column: str
    seed: int
    key: str
    spec: dict[str, Any]
    data: str
    code: str
    metrics: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    confirmed: tuple[Confirmation, ...] = field(default=(), compare=False)
    format: int = FORMAT

    @property
    def cell(self) -> str:
        """Name of the cell, ``row.column``."""
        return f"{self.row}.{self.column}"

    @property
    def codes(self) -> set[str]:
        """The code that it was computed with, and all code that a replay has confirmed it for."""
        return {self.code, *(confirmation.code for confirmation in self.confirmed)}

    def write(self, path: Path) -> None:
        """Write the result atomically: its presence is what "done" means."""
        value = asdict(self)
        if not self.confirmed:  # as most are, and as all were before there was a replay
            del value["confirmed"]
        write_json(path, value)

    @classmethod
    def read(cls, path: Path) -> "Result":
        """Read a ``run.json``.

        Raises:
            DataError: If the file is damaged or of another format.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["format"] != FORMAT:
                raise DataError(f"{path}: written in format {value['format']}, this version reads {FORMAT}: run again")
            confirmed = tuple(Confirmation(**told) for told in value.pop("confirmed", ()))
            result = cls(**value, confirmed=confirmed)
            if not all(math.isfinite(figure) for figure in result.metrics.values()):
                raise ValueError("a figure is not finite")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path}: not a complete result ({error!r}): delete it and run again") from error
        return result


def write_predictions(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write one line per picture: ``name,true,predicted``; numbers read back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "true", "predicted"])
    writer.writerows([p.name, p.true, repr(p.predicted)] for p in predictions)
    write_text(path, text.getvalue())


def read_predictions(path: Path) -> list[Prediction]:
    """Read what :func:`write_predictions` wrote.

    Raises:
        DataError: If the file is missing or cut off, or a line is damaged; the message names the line.
    """
    predictions = []
    for line, row in enumerate(read_rows(path), start=2):
        try:
            predictions.append(Prediction(row["name"], int(row["true"]), float(row["predicted"])))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {line}: not name,true,predicted") from error
    return predictions


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file that was written whole.

    Raises:
        DataError: If it is missing, no text, or ends in the middle of a line.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}: restore the file, or delete its folder and run again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8") from error
    if text and not text.endswith("\n"):
        lines = text.count("\n") + 1
        raise DataError(f"{path}, line {lines}: cut off: restore the file, or delete its folder and run again")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def recompute(predictions: Sequence[Prediction], groups: Mapping[str, str] | None = None) -> dict[str, float]:
    """Return the counting errors of predictions: those of ``counting_error``, and ``corrected_mae`` where it exists.

    ``corrected_mae`` is the mean absolute error of ``slope_corrected`` predictions.

    Args:
        predictions: At least one.
        groups: Name -> beginning of the pictures' names; each gives the mean absolute error ``mae_<name>``.
    """
    predicted = torch.tensor([p.predicted for p in predictions], dtype=torch.float64)
    true = torch.tensor([p.true for p in predictions])
    errors = counting_error(predicted, true)
    corrected = slope_corrected(predicted, true)
    if corrected is not None:
        errors["corrected_mae"] = (corrected - true).abs().mean()
    for name, beginning in (groups or {}).items():
        members = torch.tensor([p.name.startswith(beginning) for p in predictions])
        if members.any():
            errors[f"mae_{name}"] = (predicted - true)[members].abs().mean()
    return {name: float(value) for name, value in errors.items()}


def find_results(folder: Path) -> Iterator[tuple[Path, Result]]:
    """Yield every readable result of one table's folder with its path; ``unreadable`` names the others."""
    for path in sorted(folder.glob("*/*/run.json")):
        try:
            yield path, Result.read(path)
        except DataError:
            continue


def unreadable(folder: Path) -> list[str]:
    """Return one line for every result of a table's folder that is half-written or of another format."""
    lines = []
    for path in sorted(folder.glob("*/*/run.json")):
        try:
            Result.read(path)
        except DataError as error:
            lines.append(str(error))
    return lines
