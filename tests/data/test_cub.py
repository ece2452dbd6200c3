"""CUB-200-2011 in its real layout."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dotally.data import CUBLocalization
from dotally.errors import AnnotationError, DataError


def tree(folder: Path, pictures: int = 12) -> Path:
    base = folder / "CUB_200_2011"
    names = ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
    shown = [f"{names[n % 2]}/Bird_{n:04}.jpg" for n in range(pictures)]
    for name in shown:
        (base / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), (200, 200, 9)).save(base / "images" / name)
    lists = {
        "images": shown,
        "image_class_labels": [n % 2 + 1 for n in range(pictures)],
        "bounding_boxes": [f"{n}.0 5.0 20.0 30.0" for n in range(pictures)],
        "train_test_split": [int(n < 8) for n in range(pictures)],
        "classes": names,
    }
    for name, values in lists.items():
        (base / f"{name}.txt").write_text("".join(f"{n} {value}\n" for n, value in enumerate(values, 1)))
    return base


def cub(root: Path, **options: Any) -> CUBLocalization:
    return CUBLocalization(data_root=root, framing="keep", **options)


def test_the_own_split_with_validation_carved_out_of_train(tmp_path: Path) -> None:
    tree(tmp_path)
    data = cub(tmp_path, val_fraction=0.25)
    assert [len(data.records(split)) for split in data.splits()] == [6, 2, 4]
    assert data.class_names() == ["Black footed Albatross", "Laysan Albatross"]
    data.setup("test")
    first = data.test_set[0]
    assert (first.name, first.label) == ("001.Black_footed_Albatross/Bird_0008.jpg", 0)
    assert first.boxes.tolist() == [[8, 5, 27, 34]]
    assert [one.label for one in data.test_set] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("bounding_boxes", "10 9.0 5.0 20.0 30.0", "10 9.0 5.0 20.0", r"line 10: should be x, y, width and height"),
        ("bounding_boxes", "10 9.0 5.0 20.0 30.0", "10 9.0 5.0 -20.0 30.0", r"line 10: should be x, y, width"),
        ("bounding_boxes", "10 9.0 5.0", "10 9.0 x", r"line 10: a number of the box should be a number"),
        ("bounding_boxes", "10 9.0", "13 9.0", r"images\.txt: line 10: picture 10 is not in bounding_boxes\.txt"),
        ("bounding_boxes", "10 9.0", "9 9.0", r"line 10: should be a new number"),
        ("train_test_split", "10 0", "10 2", r"line 10: should be 1 for train or 0 for test"),
        ("image_class_labels", "10 2", "10 3", r"line 10: the class '3' is not in classes\.txt"),
        ("images", "10 002.Laysan_Albatross/", "10 ../../", r"images\.txt: line 10: .* is a path that leaves"),
    ],
)
def test_a_broken_list_is_one_clear_line(name: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tree(tmp_path) / f"{name}.txt"
    text = path.read_text()
    assert f"\n{old}" in text
    path.write_text(text.replace(f"\n{old}", f"\n{new}"))
    with pytest.raises(AnnotationError, match=message) as error:
        cub(tmp_path).records("test")
    assert "\n" not in str(error.value)


def test_a_missing_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="CUB-200-2011 was not found"):
        cub(tmp_path).records("test")
