"""Boxes in COCO's JSON format, as most labelling tools write it, read without trusting them."""

import json
import math
from pathlib import Path
from typing import Any

from dotally.data.annotated import Thing
from dotally.data.voc_xml import Box
from dotally.errors import AnnotationError

_KEYS = ("images", "annotations", "categories")


def read_coco_json(path: Path) -> tuple[list[str], dict[str, tuple[tuple[int, int] | None, list[Thing]]]]:
    """Read one file.

    A box (x, y, width, height) covers the pixels from x to x + width - 1.

    Returns:
        The names of the classes in the order of their ids; and for each picture, by its file name as written,
        its (height, width), None if not given, and what is annotated in it, perhaps nothing.

    Raises:
        AnnotationError: No such file, no JSON, not this format, or an entry that refers to nothing or is no box.
    """
    content = _load(path)
    names = {entry["id"]: str(entry["name"]) for _, entry in _entries(path, content, "categories", ("id", "name"))}
    pictures: dict[Any, str] = {}
    found: dict[str, tuple[tuple[int, int] | None, list[Thing]]] = {}
    for where, entry in _entries(path, content, "images", ("id", "file_name")):
        name = str(entry["file_name"])
        if entry["id"] in pictures or name in found:
            raise AnnotationError(f"{where}: the picture {name!r} or its id {entry['id']!r} is listed twice")
        pictures[entry["id"]], found[name] = name, (_size(entry), [])
    for where, entry in _entries(path, content, "annotations", ("image_id", "category_id", "bbox")):
        for key, known in (("image_id", pictures), ("category_id", names)):
            if entry[key] not in known:
                raise AnnotationError(f"{where}: {key} {entry[key]!r} is not in the file")
        thing = Thing(name=names[entry["category_id"]], box=_box(entry["bbox"], where), where=where)
        found[pictures[entry["image_id"]]][1].append(thing)
    return [names[number] for number in sorted(names, key=str if _mixed(names) else None)], found


def is_coco_json(path: Path) -> bool:
    """Tell whether a file is of this format, as far as its keys say."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and all(key in content for key in _KEYS)


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{path}: line {error.lineno}: no readable JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: no readable JSON ({error})") from error
    if not isinstance(content, dict):
        raise AnnotationError(f"{path}: line 1: not COCO's format, which is an object with {', '.join(_KEYS)}")
    return content


def _entries(
    path: Path, content: dict[str, Any], key: str, needed: tuple[str, ...]
) -> list[tuple[str, dict[str, Any]]]:
    """Return ("FILE: KEY[N]", entry) of a list, every entry with the needed keys; JSON has lost its lines by then."""
    entries = content.get(key)
    if not isinstance(entries, list):
        raise AnnotationError(f"{path}: {key} should be a list; COCO's format has {', '.join(_KEYS)}")
    for number, entry in enumerate(entries):
        missing = [name for name in needed if not isinstance(entry, dict) or name not in entry]
        if missing:
            raise AnnotationError(f"{path}: {key}[{number}] has no {missing[0]}")
        if any(isinstance(entry[name], (dict, list)) for name in needed if name != "bbox"):
            raise AnnotationError(f"{path}: {key}[{number}]: {', '.join(needed[:2])} should be plain values")
    return [(f"{path}: {key}[{number}]", entry) for number, entry in enumerate(entries)]


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    height, width = entry.get("height"), entry.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) and height and width else None


def _box(numbers: Any, where: str) -> Box:
    good = isinstance(numbers, list) and len(numbers) == 4 and all(_is_number(number) for number in numbers)
    if not good or numbers[2] <= 0 or numbers[3] <= 0:
        raise AnnotationError(f"{where}: bbox should be [x, y, width, height] with a size, it is {numbers}")
    x, y, width, height = map(float, numbers)
    return (x, y, x + width - 1, y + height - 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _mixed(names: dict[Any, str]) -> bool:
    return len({type(number) for number in names}) > 1
