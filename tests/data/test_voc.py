"""Pascal VOC in its real layout."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dotally.data import VOCLocalization
from dotally.errors import AnnotationError, DataError

PART = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"


def thing(name: str, box: tuple[int, int, int, int]) -> str:
    a, b, c, d = box
    corners = f"<xmax>{c}</xmax><xmin>{a}</xmin><ymax>{d}</ymax><ymin>{b}</ymin>"  # the order of 2011 and 2012
    return f"<object>\n<name>{name}</name><difficult>0</difficult><bndbox>{corners}</bndbox>{PART}</object>\n"


def tree(folder: Path, train: int = 8, val: int = 3) -> Path:
    base = folder / "VOCdevkit" / "VOC2012"
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (base / name).mkdir(parents=True)
    names = [f"2008_{number:06}" for number in range(train + val)]
    for number, name in enumerate(names):
        Image.new("RGB", (80, 60), (9, 9, 99)).save(base / "JPEGImages" / f"{name}.jpg")
        more = thing("person", (5, 5, 30, 60)) + thing("dog", (41, 11, 80, 60)) if number % 2 else ""
        body = f"<filename>{name}.jpg</filename>{thing('dog', (1, 1, 20, 30))}{more}"
        (base / "Annotations" / f"{name}.xml").write_text(f"<annotation>{body}</annotation>")
    (base / "ImageSets/Main/train.txt").write_text("\n".join(names[:train]) + "\n")
    (base / "ImageSets/Main/val.txt").write_text("\n".join(names[train:]) + "\n")
    (base / "ImageSets/Main/dog_val.txt").write_text("".join(f"{name}  1\n" for name in names[train:]))
    return base


def voc(root: Path, **options: Any) -> VOCLocalization:
    return VOCLocalization(data_root=root, framing="keep", **options)


def test_each_class_of_a_picture_is_an_item_with_boxes_counted_from_zero(tmp_path: Path) -> None:
    tree(tmp_path)
    data = voc(tmp_path)
    data.setup("test")
    found = [(one.name, data.class_names()[one.label], one.boxes.tolist()) for one in data.test_set]
    assert found == [
        ("2008_000008.jpg", "dog", [[0, 0, 19, 29]]),
        ("2008_000009.jpg [dog]", "dog", [[0, 0, 19, 29], [40, 10, 79, 59]]),
        ("2008_000009.jpg [person]", "person", [[4, 4, 29, 59]]),
        ("2008_000010.jpg", "dog", [[0, 0, 19, 29]]),
    ]
    assert data.num_classes == 20


def test_no_picture_is_in_two_splits(tmp_path: Path) -> None:
    tree(tmp_path)
    data = voc(tmp_path, val_fraction=0.25)
    pictures = {split: {record.picture for record in data.records(split)} for split in data.splits()}
    assert [len(of) for of in pictures.values()] == [6, 2, 3]
    assert len(set.union(*pictures.values())) == 11


def test_lists_may_be_chosen(tmp_path: Path) -> None:
    tree(tmp_path)
    assert len(voc(tmp_path, test_list="dog_val").records("test")) == 4
    with pytest.raises(AnnotationError, match=r"test\.txt: cannot be read"):
        voc(tmp_path, test_list="test").records("test")
    with pytest.raises(DataError, match="Pascal VOC 2007 was not found"):
        voc(tmp_path, year=2007).records("test")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../../../secret", r"val\.txt: line 4: .*is a path that leaves"),
        ("2008_000099", r"2008_000099\.xml: cannot be read"),
    ],
)
def test_a_broken_list_is_named(line: str, message: str, tmp_path: Path) -> None:
    with (tree(tmp_path) / "ImageSets/Main/val.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(AnnotationError, match=message):
        voc(tmp_path).records("test")


def test_an_unknown_class_is_named_with_its_line(tmp_path: Path) -> None:
    path = tree(tmp_path) / "Annotations" / "2008_000009.xml"
    path.write_text(path.read_text().replace("person", "persona"))
    with pytest.raises(
        AnnotationError, match=r"2008_000009\.xml: line 3: the class 'persona' is not known; known: aer"
    ):
        voc(tmp_path).records("test")
