"""Pascal VOC's annotation files, which ImageNet and most labelling tools write too, read without trusting them."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from dotally.errors import AnnotationError

Box = tuple[float, float, float, float]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
# paths below the root element of everything that is read; parts of objects have names and boxes too, deeper
_OBJECT = ("annotation", "object")
_TEXTS = {
    ("annotation", "filename"),
    ("annotation", "size", "width"),
    ("annotation", "size", "height"),
    (*_OBJECT, "name"),
    *((*_OBJECT, "bndbox", corner) for corner in _CORNERS),
}


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

    Entity declarations are refused: no annotation needs them, and they can fill the memory or read other files.

    Raises:
        AnnotationError: No such file, no XML, entities declared, no object with a box, or a box that is not four
            finite numbers with x0 <= x1 and y0 <= y1. The message names the file and the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror})") from error
    if not content.strip():
        raise AnnotationError(f"{path}: line 1: the file is empty; annotate the picture again")
    reader = _Reader(path)
    reader.feed(content)
    if not reader.objects:
        raise AnnotationError(
            f"{path}: line {reader.last_line}: no object with a bndbox; draw a box around what the picture shows"
        )
    objects = tuple(reader.finished(found) for found in reader.objects)
    return XmlAnnotation(filename=reader.texts.get("filename", ""), size=reader.size(), objects=objects)


@dataclass
class _Found:
    line: int
    texts: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


class _Reader:
    """Collects texts at the known paths, with the lines on which they begin."""

    def __init__(self, path: Path) -> None:
        self.file = path
        self.path: list[str] = []
        self.texts: dict[str, str] = {}
        self.objects: list[_Found] = []
        self._text: list[str] | None = None
        self._begin = 0
        self.last_line = 1
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity

    @property
    def line(self) -> int:
        return self._parser.CurrentLineNumber

    @property
    def _place(self) -> tuple[str, ...]:
        # deeper elements are never read, and a file may nest a million of them
        return tuple(self.path) if len(self.path) <= 4 else ()

    def feed(self, content: bytes) -> None:
        try:
            self._parser.Parse(content, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise AnnotationError(f"{self.file}: line {error.lineno}: no readable XML ({reason})") from error
        except (LookupError, ValueError) as error:  # an encoding that Python does not know
            raise AnnotationError(f"{self.file}: line {self.line}: no readable XML ({error})") from error

    def size(self) -> tuple[int, int] | None:
        height, width = (self.texts.get(side, "").split(".")[0] for side in ("height", "width"))
        if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
            return None
        return int(height), int(width)

    def finished(self, found: _Found) -> XmlObject:
        if "name" not in found.texts or not found.texts["name"]:
            raise AnnotationError(f"{self.file}: line {found.line}: an object without a name")
        box = [self._number(found, corner) for corner in _CORNERS]
        checked = check_box((box[0], box[1], box[2], box[3]), f"{self.file}: line {found.line}")
        return XmlObject(name=found.texts["name"], box=checked, line=found.line)

    def _number(self, found: _Found, corner: str) -> float:
        if corner not in found.texts:
            raise AnnotationError(f"{self.file}: line {found.line}: an object without a box ({corner} is missing)")
        return parse_number(found.texts[corner], f"{self.file}: line {found.lines[corner]}", corner)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.path.append(name)
        if len(self.path) == 1 and name != "annotation":
            raise AnnotationError(f"{self.file}: line {self.line}: begins with <{name}>, expected <annotation>")
        if self._place == _OBJECT:
            self.objects.append(_Found(self.line))
        if self._place in _TEXTS:
            self._text, self._begin = [], self.line

    def _end(self, name: str) -> None:
        if self._text is not None and self._place in _TEXTS:
            text = "".join(self._text).strip()
            if len(self.path) > 2 and self.path[1] == "object":
                self.objects[-1].texts[name], self.objects[-1].lines[name] = text, self._begin
            else:
                self.texts[name] = text
            self._text = None
        self.path.pop()
        self.last_line = self.line

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _entity(self, name: str, *rest: object) -> None:
        raise AnnotationError(
            f"{self.file}: line {self.line}: declares the entity {name!r}, which no annotation needs; not read further"
        )


def parse_number(text: str, where: str, what: str) -> float:
    """Parse a finite number.

    Args:
        text: What stands in the file.
        where: File and line, for the message.
        what: Name of the number, likewise.

    Raises:
        AnnotationError: If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AnnotationError(f"{where}: {what} should be a number, it is {text!r}")
    return value


def check_box(box: Box, where: str) -> Box:
    """Return ``box`` if its last pixel does not come before its first; AnnotationError at ``where`` otherwise."""
    if box[2] < box[0] or box[3] < box[1]:
        text = ", ".join(f"{value:g}" for value in box)
        raise AnnotationError(f"{where}: the box ({text}) ends before it begins; it should be x0, y0, x1, y1")
    return box
