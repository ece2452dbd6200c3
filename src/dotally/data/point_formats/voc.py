"""Pascal VOC's XML, one file for each picture: the middles of its boxes."""

from pathlib import Path

from dotally.data.point_formats.dots import Dots, dots, middle, stated_size
from dotally.data.point_formats.xml_file import Element, load_xml
from dotally.errors import AnnotationError


def read(path: Path) -> list[Dots]:
    """Read one file; a picture without objects has no dots.

    Raises:
        AnnotationError: It is not such a file, or an object has no box.
    """
    root = load_xml(path)
    if root.tag != "annotation":
        raise AnnotationError(f"{root.where}: begins with <{root.tag[:40]}>, expected <annotation>")
    marks = [(*_middle(thing), thing.words("name")) for thing in root.all("object")]
    return [dots(root.where, marks, picture=root.words("filename"), size=_size(root))]


def _middle(thing: Element) -> tuple[float, float]:
    box = thing.first("bndbox")
    if box is None:
        raise AnnotationError(f"{thing.where}: an object without a bndbox")
    x0, y0, x1, y1 = (box.coordinate(name) for name in ("xmin", "ymin", "xmax", "ymax"))
    return middle(x0, y0, x1, y1, box.where)


def _size(root: Element) -> tuple[int, int] | None:
    size = root.first("size")
    sides = [size.words(name).split(".")[0] for name in ("height", "width")] if size else []
    # eight digits are more than any picture has, and Python refuses to parse thousands
    good = len(sides) == 2 and all(side.isdecimal() and len(side) <= 8 for side in sides)
    return stated_size(*map(int, sides)) if good else None
