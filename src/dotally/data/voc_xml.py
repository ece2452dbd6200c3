"""Pascal VOC's annotation files, which ImageNet and most labelling tools write too, read without trusting them."""

from dataclasses import dataclass
from pathlib import Path

from dotally.data.xml_file import Element, load_xml
from dotally.errors import AnnotationError

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class XmlObject:
    """One annotated object.

    Attributes:
        name: Its class.
        box: (x0, y0, x1, y1) as written.
        line: Where it begins in the file, from 1.
    """

    name: str
    box: Box
    line: int


@dataclass(frozen=True, kw_only=True)
class XmlAnnotation:
    """What an annotation file says.

    Attributes:
        filename: Of the picture, as written; empty if it is not.
        size: (height, width) of the picture, None if it is not given or 0.
        objects: At least one, in the order of the file.
    """

    filename: str
    size: tuple[int, int] | None
    objects: tuple[XmlObject, ...]


def read_voc_xml(path: Path) -> XmlAnnotation:
    """Read one annotation file.

    Raises:
        AnnotationError: No such file, no safe XML (see :func:`load_xml`), no object with a box, or a box that is not
            four finite numbers with x0 <= x1 and y0 <= y1. The message names the file and the line.
    """
    root = load_xml(path, root="annotation")
    objects = tuple(_object(thing) for thing in root.all("object"))
    if not objects:
        raise AnnotationError(f"{root.where}: no object with a bndbox; draw a box around what the picture shows")
    return XmlAnnotation(filename=root.words("filename"), size=annotated_size(root), objects=objects)


def _object(thing: Element) -> XmlObject:
    name = thing.words("name")
    if not name:
        raise AnnotationError(f"{thing.where}: an object without a name")
    return XmlObject(name=name, box=object_box(thing), line=thing.line)


def object_box(thing: Element) -> Box:
    """Return the box of an ``object``.

    Raises:
        AnnotationError: There is none, or it is not four numbers with x0 <= x1 and y0 <= y1.
    """
    box = thing.first("bndbox")
    if box is None:
        raise AnnotationError(f"{thing.where}: an object without a bndbox")
    x0, y0, x1, y1 = (box.coordinate(corner) for corner in ("xmin", "ymin", "xmax", "ymax"))
    return check_box((x0, y0, x1, y1), box.where)


def annotated_size(root: Element) -> tuple[int, int] | None:
    """Return the (height, width) that an ``annotation`` says its picture has; None if it does not, or a side is 0."""
    size = root.first("size")
    sides = [size.words(side).split(".")[0] for side in ("height", "width")] if size else []
    # eight digits are more than any picture has, and Python refuses to parse thousands
    if not sides or not all(side.isdecimal() and len(side) <= 8 and int(side) for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def check_box(box: Box, where: str) -> Box:
    """Return ``box`` if its last pixel does not come before its first; AnnotationError at ``where`` otherwise."""
    if box[2] < box[0] or box[3] < box[1]:
        text = ", ".join(f"{value:g}" for value in box)
        raise AnnotationError(f"{where}: the box ({text}) ends before it begins; it should be x0, y0, x1, y1")
    return box
