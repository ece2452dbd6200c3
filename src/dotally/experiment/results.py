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
from dotally.metrics.counting import counting_error
from dotally.metrics.slope_corrected import slope_corrected

FORMAT = 1
# figures that results may lack, because they were made before these were computed
LATER = frozenset({"corrected_mae"})


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
    format: int = FORMAT

    @property
    def cell(self) -> str:
        """Name of the cell, ``row.column``."""
        return f"{self.row}.{self.column}"

    def write(self, path: Path) -> None:
        """Write the result atomically: its presence is what "done" means."""
        write_json(path, asdict(self))

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
            result = cls(**value)
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
        DataError: If the file is missing or a line is damaged; the message names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    predictions = []
    for line, row in enumerate(rows, start=2):
        try:
            predictions.append(Prediction(row["name"], int(row["true"]), float(row["predicted"])))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {line}: not name,true,predicted") from error
    return predictions


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
