"""Tables of points or boxes: one for each picture, or one for many with a column that names them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dotally.data.annotation_file import parse_number
from dotally.data.point_formats.csv_file import rows
from dotally.data.point_formats.dots import Dots, Mark, dots, middle, stated_size
from dotally.errors import AnnotationError

# what columns may be called, in upper or lower case; the axes are napari's
_POINTS = (("x", "y"), ("cx", "cy"), ("x_center", "y_center"), ("axis-1", "axis-0"))
_BOXES = (("xmin", "ymin", "xmax", "ymax"), ("x0", "y0", "x1", "y1"), ("x1", "y1", "x2", "y2"))
_PICTURE = ("file", "filename", "file_name", "image", "image_path", "image_name", "picture", "path", "name")
_LABEL = ("label", "class", "category", "class_name")
Columns = dict[str, int]


def matches(first: Sequence[str]) -> bool:
    """Tell from its first row whether a table is of this format."""
    return _is_plain(first) or _has_names(first)


def read(path: Path) -> list[Dots]:
    """Read one file.

    The first row names the columns: x and y, or xmin, ymin, xmax and ymax; of the others one with the picture's file
    and one with a class are read, and beside boxes the picture's width and height. Without names the columns are x, y
    or file, x, y. A picture with empty x and y has no dots.

    Raises:
        AnnotationError: It is not such a table, it is not clear what its x and y are, or a coordinate is no number.
    """
    columns: Columns = {}
    found: dict[str, tuple[str, list[Mark], tuple[int, int] | None]] = {}
    for where, row in rows(path):
        if not columns:
            if not matches(row):
                raise AnnotationError(f"{where}: should name columns x and y, or be x,y or file,x,y")
            if doubt := _doubt({cell.lower() for cell in row}):
                raise AnnotationError(f"{where}: {doubt}")
            columns = _columns(row)
            if not _is_plain(row):
                if "picture" not in columns:  # a table of one picture may have no rows
                    found[""] = (where, [], None)
                continue
        cells = _cells(row, columns, where)
        marks = found.setdefault(cells.get("picture", ""), (where, [], _size(cells)))[1]
        if any(cells[name] for name in _place(columns)):
            marks.append((*_dot(cells, where), cells.get("label", "")))
    if not columns:
        raise AnnotationError(f"{path}: line 1: the file holds no table")
    return [dots(where, marks, picture=name, size=size) for name, (where, marks, size) in found.items()]


def _is_plain(row: Sequence[str]) -> bool:
    return len(row) in (2, 3) and all(map(_is_float, row[-2:])) and bool(row[0])


def _has_names(row: Sequence[str]) -> bool:
    lower = {cell.lower() for cell in row}
    return any(lower.issuperset(names) for names in _POINTS + _BOXES)


def _doubt(lower: set[str]) -> str:
    """Say why columns may be something else than places of dots; nothing where they are not."""
    if lower.issuperset(("axis-0", "axis-1", "axis-2")):
        return "axis-0 to axis-2 are places in a stack; save the points of each picture by themselves"
    sized = lower.issuperset(("width", "height")) or lower.issuperset(("w", "h"))
    # ImageJ's x and y are middles, and bx and by the corner
    if sized and lower.issuperset(("x", "y")) and "bx" not in lower:
        return "are x and y the middle or the corner of that width and height? call them cx,cy or xmin,ymin,xmax,ymax"
    return ""


def _columns(first: Sequence[str]) -> Columns:
    """Return which column holds what: the picture, a label, and x and y or the corners of a box."""
    if _is_plain(first):
        return {"x": 0, "y": 1} if len(first) == 2 else {"picture": 0, "x": 1, "y": 2}
    lower = [cell.lower() for cell in first]
    columns = {}
    for names in _POINTS + _BOXES:
        if all(name in lower for name in names):
            standard = ("x", "y") if len(names) == 2 else _BOXES[0]
            columns = {what: lower.index(name) for what, name in zip(standard, names, strict=True)}
            break
    for what, candidates in {"picture": _PICTURE, "label": _LABEL}.items():
        if present := [name for name in candidates if name in lower]:
            columns[what] = lower.index(present[0])
    if "xmin" in columns:  # beside a point they would be the size of its object
        columns |= {side: lower.index(side) for side in ("height", "width") if side in lower}
    return columns


def _place(columns: Columns) -> Sequence[str]:
    return ("x", "y") if "x" in columns else _BOXES[0]


def _cells(row: Sequence[str], columns: Columns, where: str) -> dict[str, str]:
    cells = {what: row[place] if place < len(row) else "" for what, place in columns.items()}
    if "picture" in cells and not cells["picture"]:
        raise AnnotationError(f"{where}: no picture is named")
    return cells


def _dot(cells: Mapping[str, str], where: str) -> tuple[float, float]:
    if "x" in cells:
        return parse_number(cells["x"], where, "x"), parse_number(cells["y"], where, "y")
    x0, y0, x1, y1 = (parse_number(cells[name], where, name) for name in _BOXES[0])
    return middle(x0, y0, x1, y1, where)


def _size(cells: Mapping[str, str]) -> tuple[int, int] | None:
    sides = [cells.get(side, "") for side in ("height", "width")]
    good = all(side.isdecimal() and len(side) <= 8 for side in sides)
    return stated_size(*map(int, sides)) if good else None


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
