"""Plain JSON that people write themselves: lists of points, for one picture or by picture."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from dotally.data.annotation_file import is_number
from dotally.data.point_formats.dots import Dots, Mark, dots
from dotally.data.point_formats.json_file import Place, load_json
from dotally.errors import AnnotationError

_PICTURE = ("image", "picture", "file", "filename", "file_name", "name")


def matches(content: Any) -> bool:
    """Tell whether the content of a JSON file has this format, as far as its first entry says."""
    if isinstance(content, dict):
        named = bool(content) and all(_is_file_name(key) and isinstance(value, list) for key, value in content.items())
        return isinstance(content.get("points"), list) or named
    if not isinstance(content, list):
        return False
    return not content or _is_point(content[0]) or (isinstance(content[0], dict) and "points" in content[0])


def read(path: Path) -> list[Dots]:
    """Read one file.

    A point is ``[x, y]`` or ``{"x": x, "y": y, "label": class}``, the label optional. The file holds a list of points,
    or ``{"points": [...], "image": "a.jpg"}`` with the image optional, or a list of these, or ``{"a.jpg": [...]}``.

    Raises:
        AnnotationError: It is not such a file, or a point is none.
    """
    top, content = load_json(path)
    if not matches(content):
        raise AnnotationError(f'{top}: should be a list of [x, y], {{"points": [[x, y]]}} or {{"a.jpg": [[x, y]]}}')
    return list(_pictures(top, content))


def _pictures(top: Place, content: Any) -> Iterator[Dots]:
    if isinstance(content, dict) and "points" in content:
        yield _picture(top, content)
    elif isinstance(content, dict):
        for name, points in content.items():
            yield dots(top / name, _marks(top / name, points), picture=name)
    elif content and not _is_point(content[0]):
        for number, entry in enumerate(content):
            yield _picture(top / number, entry)
    else:
        yield dots(top, _marks(top, content))


def _picture(place: Place, entry: Any) -> Dots:
    points = place.field(entry, "points", list, "a list of points")
    names = [entry[key] for key in _PICTURE if isinstance(entry.get(key), str)]
    return dots(place, _marks(place / "points", points), picture=names[0] if names else "")


def _marks(place: Place, points: Any) -> list[Mark]:
    for number, point in enumerate(points):
        if not _is_point(point):
            raise AnnotationError(f'{place / number}: should be a point, [x, y] or {{"x": x, "y": y}}')
    return [_mark(point) for point in points]


def _mark(point: Any) -> Mark:
    if isinstance(point, list):
        return point[0], point[1], ""
    label = point.get("label", "")
    return point["x"], point["y"], label if isinstance(label, str) else ""


def _is_point(value: Any) -> bool:
    if isinstance(value, dict):
        return is_number(value.get("x")) and is_number(value.get("y"))
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def _is_file_name(key: str) -> bool:
    return bool(PurePosixPath(key).suffix)
