"""XML that was written by a labelling tool: bounded, without entities, every element with its line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from dotally.data.point_formats.dots import number, read_bytes
from dotally.errors import AnnotationError

_DEEPEST = 32


@dataclass
class Element:
    """One element.

    Attributes:
        tag: Its name.
        attributes: As written.
        where: "FILE: line N", where it begins.
        children: In their order.
        text: Its own text, that of its children not included.
    """

    tag: str
    attributes: dict[str, str]
    where: str
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> Iterator["Element"]:
        """Yield its children of one name."""
        return (child for child in self.children if child.tag == tag)

    def first(self, tag: str) -> "Element | None":
        """Return its first child of a name, if there is one."""
        return next(self.all(tag), None)

    def words(self, tag: str) -> str:
        """Return the text of its first child of a name, without spaces around; empty if there is none."""
        child = self.first(tag)
        return "" if child is None else child.text.strip()

    def coordinate(self, name: str) -> float:
        """Return the attribute ``name``, or the text of the child of that name, as a number.

        Raises:
            AnnotationError: There is none, or it is no number.
        """
        child = self.first(name)
        found = self.attributes.get(name) if child is None else child.text.strip()
        if found is None:
            raise AnnotationError(f"{self.where}: {self.tag} without {name}")
        return number(found, self.where if child is None else child.where, name)


def load_xml(path: Path) -> Element:
    """Read a file; return its root.

    Entity declarations are refused: no annotation needs them, and they can fill the memory or read other files.

    Raises:
        AnnotationError: It cannot be read, is too large, no XML, declares entities, or is nested too deeply.
    """
    content = read_bytes(path)
    builder = _Builder(path)
    try:
        builder.parser.Parse(content, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise AnnotationError(f"{path}: line {error.lineno}: no readable XML ({reason})") from error
    except (LookupError, ValueError) as error:  # an encoding that Python does not know
        raise AnnotationError(f"{builder.where}: no readable XML ({error})") from error
    return builder.top.children[0]


class _Builder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.top = Element("", {}, f"{path}: line 1")
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
        if len(self.open) > _DEEPEST:
            raise AnnotationError(f"{self.where}: elements are nested more than {_DEEPEST} deep")
        element = Element(tag, attributes, self.where)
        self.open[-1].children.append(element)
        self.open.append(element)

    def _end(self, tag: str) -> None:
        self.open.pop()

    def _characters(self, text: str) -> None:
        self.open[-1].text += text

    def _entity(self, name: str, *rest: object) -> None:
        raise AnnotationError(
            f"{self.where}: declares the entity {name!r}, which no annotation needs; not read further"
        )
