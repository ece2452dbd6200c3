"""XML that was written by a labelling tool: bounded, without entities, every element with its line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from dotally.data.annotation_file import parse_number, read_bytes
from dotally.errors import AnnotationError

_DEEPEST = 32


@dataclass
class Element:
    """One element.

    Attributes:
        tag: Its name.
        attributes: As written.
        file: The file it stands in.
        line: Where it begins in the file, from 1.
        children: In their order.
        pieces: Its own text, that of its children not included, in pieces.
    """

    tag: str
    attributes: dict[str, str]
    file: Path
    line: int
    children: list["Element"] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def where(self) -> str:
        """Where it begins: "FILE: line N"."""
        return f"{self.file}: line {self.line}"

    @property
    def text(self) -> str:
        """Its own text, without spaces around."""
        return "".join(self.pieces).strip()

    def all(self, tag: str) -> Iterator["Element"]:
        """Yield its children of one name."""
        return (child for child in self.children if child.tag == tag)

    def first(self, tag: str) -> "Element | None":
        """Return its first child of a name, if there is one."""
        return next(self.all(tag), None)

    def words(self, tag: str) -> str:
        """Return the text of its first child of a name, without spaces around; empty if there is none."""
        child = self.first(tag)
        return "" if child is None else child.text

    def coordinate(self, name: str) -> float:
        """Return the attribute ``name``, or the text of the child of that name, as a number.

        Raises:
            AnnotationError: There is none, or it is no number.
        """
        child = self.first(name)
        found = self.attributes.get(name) if child is None else child.text
        if found is None:
            raise AnnotationError(f"{self.where}: {self.tag} without {name}")
        return parse_number(found, self.where if child is None else child.where, name)


def load_xml(path: Path, *, root: str | None = None) -> Element:
    """Read a file; return its root.

    Entity declarations are refused: no annotation needs them, and they can fill the memory or read other files.

    Args:
        path: The file.
        root: Name that the root must have; None takes any.

    Raises:
        AnnotationError: It cannot be read, is empty, too large, no XML, declares entities, is nested too deeply, or
            has another root. The message names the file and the line.
    """
    content = read_bytes(path)
    builder = _Builder(path, root)
    try:
        builder.parser.Parse(content, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise AnnotationError(f"{path}: line {error.lineno}: no readable XML ({reason})") from error
    except (LookupError, ValueError) as error:  # an encoding that Python does not know
        raise AnnotationError(f"{builder.where}: no readable XML ({error})") from error
    return builder.top.children[0]


class _Builder:
    def __init__(self, path: Path, root: str | None) -> None:
        self.path, self.root = path, root
        self.top = Element("", {}, path, 1)
        self.open = [self.top]
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._entity

    @property
    def where(self) -> str:
        return f"{self.path}: line {self.parser.CurrentLineNumber}"

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self.open) == 1 and tag != (self.root or tag):
            raise AnnotationError(f"{self.where}: begins with <{tag[:40]}>, expected <{self.root}>")
        if len(self.open) > _DEEPEST:
            raise AnnotationError(f"{self.where}: elements are nested more than {_DEEPEST} deep")
        element = Element(tag, attributes, self.path, self.parser.CurrentLineNumber)
        self.open[-1].children.append(element)
        self.open.append(element)

    def _end(self, tag: str) -> None:
        self.open.pop()

    def _characters(self, text: str) -> None:
        self.open[-1].pieces.append(text)

    def _entity(self, name: str, *rest: object) -> None:
        raise AnnotationError(
            f"{self.where}: declares the entity {name!r}, which no annotation needs; not read further"
        )
