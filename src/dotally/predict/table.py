"""Tables that are whole whenever the program is stopped."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def append_row(path: Path, fields: Sequence[Any]) -> None:
    """Add a row to a csv file and close the file."""
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(csv_line(*fields))


def csv_line(*fields: Any) -> str:
    """Return one line of a csv file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue()
