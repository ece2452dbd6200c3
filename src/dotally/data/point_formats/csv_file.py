"""Tables as text: rows with their lines, the delimiter seen by itself."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from dotally.data.annotation_file import read_text
from dotally.errors import AnnotationError


def rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield ("FILE: line N", cells) of every row that is not empty; N is the line on which the row ends.

    Whichever of tab, semicolon and comma the first row has is the delimiter, in this order.

    Raises:
        AnnotationError: It is no text in UTF-8, or no such table.
    """
    text = read_text(path)
    first = text.lstrip().partition("\n")[0]
    delimiter = next((mark for mark in "\t;" if mark in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield f"{path}: line {reader.line_num}", cells
    except csv.Error as error:
        raise AnnotationError(f"{path}: line {reader.line_num}: no readable table ({error})") from error
