"""Boxes in COCO's JSON format, as most labelling tools write it, read without trusting them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dotally.data.annotated import Thing
from dotally.data.annotation_file import is_number, shown
from dotally.data.point_formats.dots import stated_size
from dotally.data.point_formats.json_file import Place, load_json
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
        AnnotationError: No such file, too large, no JSON, not this format, or an entry that refers to nothing or is no
            box; the message names the file and the line.
    """
    top, content = load_json(path)
    if not isinstance(content, dict):
        raise AnnotationError(f"{top}: not COCO's format, which is an object with {', '.join(_KEYS)}")
    names = {entry["id"]: str(entry["name"]) for _, entry in _entries(top, content, "categories", ("id", "name"))}
    pictures: dict[Any, str] = {}
    found: dict[str, tuple[tuple[int, int] | None, list[Thing]]] = {}
    for place, entry in _entries(top, content, "images", ("id", "file_name")):
        name = str(entry["file_name"])
        if entry["id"] in pictures or name in found:
            raise AnnotationError(f"{place}: the picture {shown(name)} or its id {shown(entry['id'])} is listed twice")
        pictures[entry["id"]] = name
        found[name] = (stated_size(entry.get("height"), entry.get("width")), [])
    for place, entry in _entries(top, content, "annotations", ("image_id", "category_id", "bbox")):
        for key, known in (("image_id", pictures), ("category_id", names)):
            if entry[key] not in known:
                raise AnnotationError(f"{place}: {key} {shown(entry[key])} is not in the file")
        # without its line, which takes a search through the file for each
        where = f"{path}: annotations[{place.keys[-1]}]"
        thing = Thing(name=names[entry["category_id"]], box=_box(entry["bbox"], place), where=where)
        found[pictures[entry["image_id"]]][1].append(thing)
    return [names[number] for number in sorted(names, key=str if _mixed(names) else None)], found


def is_coco_json(path: Path) -> bool:
    """Tell whether a file is of this format, as far as its keys say."""
    try:
        content = load_json(path)[1]
    except AnnotationError:
        return False
    return isinstance(content, dict) and all(key in content for key in _KEYS)


def _entries(
    top: Place, content: dict[str, Any], key: str, needed: tuple[str, ...]
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the place and the content of each entry of a list, every one with the needed keys."""
    for place, entry in top.entries(content, key):
        missing = [name for name in needed if not isinstance(entry, dict) or name not in entry]
        if missing:
            raise AnnotationError(f"{place} has no {missing[0]}")
        if any(isinstance(entry[name], (dict, list)) for name in needed if name != "bbox"):
            raise AnnotationError(f"{place}: {', '.join(needed[:2])} should be plain values")
        yield place, entry


def _box(numbers: Any, place: Place) -> Box:
    good = isinstance(numbers, list) and len(numbers) == 4 and all(map(is_number, numbers))
    if not good or numbers[2] <= 0 or numbers[3] <= 0:
        raise AnnotationError(f"{place}: bbox should be [x, y, width, height] with a size, it is {shown(numbers)}")
    x, y, width, height = map(float, numbers)
    return (x, y, x + width - 1, y + height - 1)


def _mixed(names: dict[Any, str]) -> bool:
    return len({type(number) for number in names}) > 1
