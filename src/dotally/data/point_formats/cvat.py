"""CVAT's own XML ("CVAT for images"), one file for many pictures: points, and the middles of other shapes."""

from collections.abc import Iterator
from pathlib import Path

from dotally.data.annotation_file import parse_number, shown
from dotally.data.point_formats.dots import Dots, Mark, dots, middle, middle_of, stated_size
from dotally.data.xml_file import Element, load_xml
from dotally.errors import AnnotationError

_NO_DOTS = {"meta", "version", "tag", "attribute"}


def read(path: Path) -> list[Dots]:
    """Read one file.

    Every point of a ``points`` shape is a dot; a box, ellipse, mask or polygon is one, its middle.

    Raises:
        AnnotationError: It is not such a file, or a shape is a line or is not where it should be.
    """
    root = load_xml(path, root="annotations")
    if track := root.first("track"):
        raise AnnotationError(f"{track.where}: a video's track; export the task again as 'CVAT for images'")
    return [_picture(image) for image in root.all("image")]


def _picture(image: Element) -> Dots:
    if not image.attributes.get("name"):
        raise AnnotationError(f"{image.where}: an image without a name")
    marks = [mark for shape in image.children if shape.tag not in _NO_DOTS for mark in _marks(shape)]
    sides = [image.attributes.get(side, "") for side in ("height", "width")]
    good = all(side.isdecimal() and len(side) <= 8 for side in sides)
    size = stated_size(*map(int, sides)) if good else None
    return dots(image.where, marks, picture=image.attributes["name"], size=size)


def _marks(shape: Element) -> Iterator[Mark]:
    label = shape.attributes.get("label", "")
    if shape.tag == "points":
        yield from ((x, y, label) for x, y in _points(shape))
    elif shape.tag == "box":
        x0, y0, x1, y1 = (shape.coordinate(name) for name in ("xtl", "ytl", "xbr", "ybr"))
        yield (*middle(x0, y0, x1, y1, shape.where), label)
    elif shape.tag == "ellipse":
        yield shape.coordinate("cx"), shape.coordinate("cy"), label
    elif shape.tag == "mask":
        left, top, width, height = (shape.coordinate(name) for name in ("left", "top", "width", "height"))
        yield (*middle(left, top, left + width, top + height, shape.where), label)
    elif shape.tag == "polygon":
        yield (*middle_of(_points(shape)), label)
    else:
        raise AnnotationError(f"{shape.where}: a {shape.tag[:40]} is no dot; use points, boxes, ellipses or polygons")


def _points(shape: Element) -> list[tuple[float, float]]:
    found = []
    for pair in shape.attributes.get("points", "").split(";"):
        x, comma, y = pair.partition(",")
        if not comma:
            raise AnnotationError(f"{shape.where}: points should be x,y;x,y, they are {shown(pair)}")
        found.append((parse_number(x, shape.where, "x"), parse_number(y, shape.where, "y")))
    return found
