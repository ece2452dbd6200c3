"""LabelMe's JSON, one file for each picture: points, and the middles of other shapes."""

from pathlib import Path
from typing import Any

from dotally.data.annotation_file import is_number, shown
from dotally.data.point_formats.dots import Dots, Mark, dots, middle_of, stated_size
from dotally.data.point_formats.json_file import Place, load_json
from dotally.errors import AnnotationError

# a circle is its centre and a place on its edge
_CENTRE_FIRST = {"point", "circle"}
_AREAS = {"rectangle", "polygon", "mask"}


def matches(content: Any) -> bool:
    """Tell whether the content of a JSON file has this format, as far as its keys say."""
    return isinstance(content, dict) and "shapes" in content


def read(path: Path) -> list[Dots]:
    """Read one file; each shape is one dot.

    Raises:
        AnnotationError: It is not such a file, or a shape is a line or has no place.
    """
    top, content = load_json(path)
    marks = [_mark(place, shape) for place, shape in top.entries(content, "shapes")]
    name = content.get("imagePath")
    size = stated_size(content.get("imageHeight"), content.get("imageWidth"))
    return [dots(top, marks, picture=name if isinstance(name, str) else "", size=size)]


def _mark(place: Place, shape: Any) -> Mark:
    points = place.field(shape, "points", list, "a list of [x, y]")
    kind, label = shape.get("shape_type", "polygon"), shape.get("label", "")
    if not isinstance(kind, str) or kind not in _CENTRE_FIRST | _AREAS:
        raise AnnotationError(f"{place}: a {shown(kind)} is no dot; use points, rectangles, circles or polygons")
    pairs = [(p[0], p[1]) for p in points if isinstance(p, list) and len(p) == 2 and all(map(is_number, p))]
    if not pairs or len(pairs) < len(points):
        raise AnnotationError(f"{place}: points should be a list of [x, y]")
    x, y = pairs[0] if kind in _CENTRE_FIRST else middle_of(pairs)
    return x, y, label if isinstance(label, str) else ""
