"""COCO's JSON, good and bad."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dotally.data.coco_json import is_coco_json, read_coco_json
from dotally.errors import AnnotationError


def coco() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 64, "height": 48},
            {"id": 9, "file_name": "b.jpg"},
        ],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 5, "bbox": [1, 2, 10, 20]},
            {"id": 2, "image_id": 9, "category_id": 2, "bbox": [0.5, 0, 3, 4.5]},
        ],
        "categories": [{"id": 5, "name": "dog"}, {"id": 2, "name": "cat"}],
    }


def write(folder: Path, content: Any) -> Path:
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_boxes_are_first_and_last_pixels(tmp_path: Path) -> None:
    classes, pictures = read_coco_json(write(tmp_path, coco()))
    assert classes == ["cat", "dog"]  # by id
    assert pictures["a.jpg"] == ((48, 64), [])
    size, (dog, cat) = pictures["b.jpg"]
    assert size is None
    assert (dog.name, dog.box) == ("dog", (1, 2, 10, 21))
    assert (cat.name, cat.box) == ("cat", (0.5, 0, 2.5, 3.5))
    assert dog.where.endswith("boxes.json: annotations[0]")


def change(key: str, place: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[key][place].update(values)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c.pop("categories"), "categories should be a list"),
        (lambda c: c["images"][1].pop("file_name"), r"images\[1\] has no file_name"),
        (lambda c: c["annotations"].append(3), r"annotations\[2\] has no image_id"),
        (change("annotations", 1, image_id=8), r"annotations\[1\]: image_id 8 is not in the file"),
        (change("annotations", 0, category_id=1), r"annotations\[0\]: category_id 1 is not in the file"),
        (change("annotations", 0, category_id=[1]), r"annotations\[0\]: .* plain values"),
        (change("annotations", 0, bbox=[1, 2, 3]), r"annotations\[0\]: bbox should be"),
        (change("annotations", 0, bbox=[1, 2, 0, 3]), "bbox should be"),
        (change("annotations", 0, bbox=[1, 2, "3", 3]), "bbox should be"),
        (change("annotations", 0, bbox=[1, 2, float("nan"), 3]), "bbox should be"),
        (change("annotations", 0, bbox=[1, 2, 10**400, 3]), r"line 1: annotations\[0\]: bbox should be"),
        (change("images", 1, id=7), "listed twice"),
        (change("images", 1, file_name="a.jpg"), "listed twice"),
    ],
)
def test_a_wrong_entry_is_named(spoil: Callable[[dict[str, Any]], None], message: str, tmp_path: Path) -> None:
    content = coco()
    spoil(content)
    with pytest.raises(AnnotationError, match=r"boxes\.json: ") as error:
        read_coco_json(write(tmp_path, content))
    error.match(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [\n1,,2]}', r"boxes\.json: line 2: no readable JSON"),
        ("[]", "not COCO's format"),
        ("[" * 100_000, "no readable JSON"),
        ("", "line 1: the file is empty"),
    ],
)
def test_what_is_no_coco_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    assert not is_coco_json(path)
    with pytest.raises(AnnotationError, match=message):
        read_coco_json(path)
