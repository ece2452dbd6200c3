"""JSON that was written by a labelling tool: bounded, and with the lines that parsers forget."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotally.data.annotation_file import read_text, shown
from dotally.errors import AnnotationError

Key = str | int
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True)
class Place:
    """A value in a file. It prints as "FILE: line 3: annotations[17]"; the line is looked for only then."""

    path: Path
    text: str
    keys: tuple[Key, ...] = ()

    def __truediv__(self, key: Key) -> "Place":
        """Return the place of one of its values."""
        return Place(self.path, self.text, (*self.keys, key))

    def __str__(self) -> str:
        line = f"{self.path}: line {line_of(self.text, self.keys)}"
        named = "".join(map(_named, self.keys)).lstrip(".")
        return f"{line}: {named}" if named else line

    def field(self, entry: Any, key: str, kind: type | tuple[type, ...], what: str) -> Any:
        """Return ``entry[key]``.

        Raises:
            AnnotationError: It is not there or not of that kind; ``what`` says what it should be.
        """
        if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
            raise AnnotationError(f"{self}: {key} should be {what}")
        return entry[key]

    def entries(self, content: Any, key: str) -> Iterator[tuple["Place", Any]]:
        """Yield the place and the value of each entry of the list ``content[key]``.

        Raises:
            AnnotationError: It is no list.
        """
        for number, entry in enumerate(self.field(content, key, list, "a list")):
            yield self / key / number, entry


def load_json(path: Path) -> tuple[Place, Any]:
    """Read a file; return the place of its content, and the content.

    Raises:
        AnnotationError: It cannot be read, is too large, or no JSON.
    """
    text = read_text(path)
    try:
        return Place(path, text), json.loads(text)
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{path}: line {error.lineno}: no readable JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, lists in lists in lists
        raise AnnotationError(f"{path}: line 1: no readable JSON ({error})") from error


def line_of(text: str, keys: tuple[Key, ...]) -> int:
    """Return the line, from 1, on which a value of a good JSON text begins; that of the nearest known one if unsure."""
    place = _skip(text, 0)
    try:
        for key in keys:
            place = _value(text, place, key)
    except (ValueError, IndexError):  # a key that stands there twice leads astray
        pass
    return text.count("\n", 0, place) + 1


def _value(text: str, place: int, key: Key) -> int:
    """Return where the value of a key begins, in the object or list that begins at ``place``."""
    place, number = _skip(text, place + 1), 0
    while True:
        name: Key = number
        if isinstance(key, str):
            name, place = _DECODER.raw_decode(text, place)
            place = _skip(text, _skip(text, place) + 1)
        if name == key:
            return place
        _, place = _DECODER.raw_decode(text, place)
        place, number = _skip(text, _skip(text, place) + 1), number + 1


def _named(key: Key) -> str:
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{shown(key)}]"


def _skip(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place
