"""COCO's JSON, one file for many pictures: keypoints, or the middles of boxes."""

from pathlib import Path
from typing import Any

from dotally.data.annotation_file import is_number, shown
from dotally.data.point_formats.dots import Dots, Mark, dots, middle_of, stated_size
from dotally.data.point_formats.json_file import Place, load_json
from dotally.errors import AnnotationError


def matches(content: Any) -> bool:
    """Tell whether the content of a JSON file has this format, as far as its keys say."""
    return isinstance(content, dict) and isinstance(content.get("images"), list) and "annotations" in content


def read(path: Path) -> list[Dots]:
    """Read one file.

    Each annotation is one dot: its keypoint if it has a single labelled one, else the middle of its box, else of its
    keypoints. Pictures without annotations have no dots.

    Raises:
        AnnotationError: It is not such a file, or an entry refers to nothing, has no place, or stands for a crowd.
    """
    top, content = load_json(path)
    names = _names(top, content)
    pictures: dict[int | str, tuple[Place, dict[str, Any]]] = {}
    marks: dict[int | str, list[Mark]] = {}
    for place, entry in top.entries(content, "images"):
        key = place.field(entry, "id", (int, str), "a number or a name")
        if key in pictures:
            raise AnnotationError(f"{place}: the id {shown(key)} is there twice")
        place.field(entry, "file_name", str, "the name of a picture")
        pictures[key], marks[key] = (place, entry), []
    for place, entry in top.entries(content, "annotations"):
        key = place.field(entry, "image_id", (int, str), "the id of a picture")
        if key not in marks:
            raise AnnotationError(f"{place}: image_id {shown(key)} is not the id of a picture")
        category = entry.get("category_id")
        label = names.get(category, "") if isinstance(category, (int, str)) else ""
        marks[key].append((*_dot(place, entry), label))
    return [
        dots(place, marks[key], picture=entry["file_name"], size=stated_size(entry.get("height"), entry.get("width")))
        for key, (place, entry) in pictures.items()
    ]


def _names(top: Place, content: Any) -> dict[int | str, str]:
    found = {}
    if isinstance(content, dict) and "categories" in content:
        for place, entry in top.entries(content, "categories"):
            key = place.field(entry, "id", (int, str), "a number or a name")
            found[key] = place.field(entry, "name", str, "the name of a class")
    return found


def _dot(place: Place, entry: dict[str, Any]) -> tuple[float, float]:
    if entry.get("iscrowd") == 1:
        raise AnnotationError(f"{place}: iscrowd=1 stands for an unknown number of objects; leave that picture out")
    keypoints = _keypoints(place, entry)
    if len(keypoints) == 1:
        return keypoints[0]
    box = entry.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(map(is_number, box)) and min(box[2:]) >= 0:
        return box[0] + box[2] / 2, box[1] + box[3] / 2
    if not keypoints:
        raise AnnotationError(f"{place}: neither a bbox [x, y, width, height] nor a labelled keypoint")
    return middle_of(keypoints)


def _keypoints(place: Place, entry: dict[str, Any]) -> list[tuple[float, float]]:
    """Return those that are labelled, of a list of x, y, visibility."""
    flat = entry.get("keypoints") or []
    if not isinstance(flat, list) or len(flat) % 3 or not all(map(is_number, flat)):
        raise AnnotationError(f"{place}: keypoints should be numbers x, y, visibility, and so on")
    return [(flat[start], flat[start + 1]) for start in range(0, len(flat), 3) if flat[start + 2] > 0]
