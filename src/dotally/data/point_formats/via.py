"""The VGG Image Annotator (versions 1 and 2), JSON or CSV, many pictures: points, and the middles of other shapes."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dotally.data.annotation_file import is_number, shown
from dotally.data.point_formats.csv_file import rows
from dotally.data.point_formats.dots import Dots, Mark, dots, middle_of
from dotally.data.point_formats.json_file import Place, load_json
from dotally.errors import AnnotationError

COLUMNS = {"filename", "region_shape_attributes"}
_PROJECT = "_via_img_metadata"


def matches(content: Any) -> bool:
    """Tell whether the content of a JSON file has this format: a project, or annotations exported from one."""
    if not isinstance(content, dict):
        return False
    return _PROJECT in content or (bool(content) and all(_is_picture(entry) for entry in content.values()))


def read(path: Path) -> list[Dots]:
    """Read one file; each region is one dot.

    Raises:
        AnnotationError: It is not such a file, or a region is a line or has no place.
    """
    if path.suffix.lower() in (".csv", ".tsv"):
        return _read_csv(path)
    top, content = load_json(path)
    if isinstance(content, dict) and _PROJECT in content:
        top, content = top / _PROJECT, content[_PROJECT]
    if not isinstance(content, dict):
        raise AnnotationError(f"{top}: should be an object with an entry for each picture")
    return [_picture(top / key, entry) for key, entry in content.items()]


def _is_picture(entry: Any) -> bool:
    return isinstance(entry, dict) and "filename" in entry and "regions" in entry


def _picture(place: Place, entry: Any) -> Dots:
    name = place.field(entry, "filename", str, "the name of a picture")
    regions = place.field(entry, "regions", (list, dict), "a list")
    # version 1 numbers them "0", "1" and so on
    numbered: Iterable[tuple[Any, Any]] = regions.items() if isinstance(regions, dict) else enumerate(regions)
    return dots(place, [_region(place / "regions" / key, region) for key, region in numbered], picture=name)


def _region(place: Place, region: Any) -> Mark:
    shape = place.field(region, "shape_attributes", dict, "an object with a name")
    return (*_middle(place, shape), _label(region.get("region_attributes")))


def _middle(where: object, shape: dict[str, Any]) -> tuple[float, float]:
    kind = shape.get("name")
    if kind in ("point", "circle", "ellipse"):
        x, y = _numbers(where, shape, "cx", "cy")
        return x, y
    if kind == "rect":
        x, y, width, height = _numbers(where, shape, "x", "y", "width", "height")
        return x + width / 2, y + height / 2
    if kind == "polygon":
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if isinstance(xs, list) and isinstance(ys, list) and xs and len(xs) == len(ys) and all(map(is_number, xs + ys)):
            return middle_of(list(zip(xs, ys, strict=True)))
    raise AnnotationError(f"{where}: a {shown(kind)} is no dot; use points, rectangles, circles or polygons")


def _numbers(where: object, shape: dict[str, Any], *names: str) -> list[float]:
    for name in names:
        if not is_number(shape.get(name)):
            raise AnnotationError(f"{where}: {name} should be a number, it is {shown(shape.get(name))}")
    return [float(shape[name]) for name in names]


def _label(attributes: Any) -> str:
    """Return the value of the first attribute, which is the class where there is one alone."""
    values = list(attributes.values()) if isinstance(attributes, dict) else []
    return values[0] if values and isinstance(values[0], str) else ""


def _read_csv(path: Path) -> list[Dots]:
    found: dict[str, tuple[str, list[Mark]]] = {}
    header: list[str] = []
    for where, row in rows(path):
        if not header:
            header = row
            if missing := COLUMNS - set(header):
                raise AnnotationError(f"{where}: no column {min(missing)}, which the VGG Image Annotator writes")
            continue
        cells = dict(zip(header, row, strict=False))
        marks = found.setdefault(cells.get("filename", ""), (where, []))[1]
        if shape := _object(where, cells.get("region_shape_attributes", "")):
            marks.append((*_middle(where, shape), _label(_object(where, cells.get("region_attributes", "")))))
    return [dots(where, marks, picture=_named(where, name)) for name, (where, marks) in found.items()]


def _named(where: str, name: str) -> str:
    if not name:
        raise AnnotationError(f"{where}: no filename")
    return name


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{where}: a region is no readable JSON ({error})") from error
    if not isinstance(found, dict):
        raise AnnotationError(f"{where}: a region should be a JSON object")
    return found
