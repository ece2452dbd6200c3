"""Pascal VOC's XML, one file for each picture: the middles of its boxes."""

from pathlib import Path

from dotally.data.point_formats.dots import Dots, dots, middle_of
from dotally.data.voc_xml import annotated_size, object_box
from dotally.data.xml_file import Element, load_xml


def read(path: Path) -> list[Dots]:
    """Read one file; a picture without objects has no dots.

    Raises:
        AnnotationError: It is not such a file, or an object has no box.
    """
    root = load_xml(path, root="annotation")
    marks = [(*_middle(thing), thing.words("name")) for thing in root.all("object")]
    return [dots(root.where, marks, picture=root.words("filename"), size=annotated_size(root))]


def _middle(thing: Element) -> tuple[float, float]:
    x0, y0, x1, y1 = object_box(thing)
    return middle_of([(x0, y0), (x1, y1)])
