"""Pictures of one's own with boxes, in both formats, and everything that may be wrong with them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dotally.data import BoxFolder
from dotally.errors import AnnotationError, DataError, PictureError

THINGS = [("dog", (3, 4, 20, 30)), ("cat", (1, 2, 5, 6)), ("dog", (30, 8, 40, 12))]


def xml(filename: str, things: list[tuple[str, tuple[int, ...]]] = THINGS, size: tuple[int, int] = (48, 64)) -> str:
    objects = [
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox></object>\n"
        for name, (x0, y0, x1, y1) in things
    ]
    stated = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>\n"
    return f"<annotation>\n<filename>{filename}</filename>\n{stated}{''.join(objects)}</annotation>\n"


def paint(path: Path, size: tuple[int, int] = (48, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size[1], size[0]), (90, 60, 30)).save(path)


def voc_tree(folder: Path, pictures: int = 5) -> Path:
    """As labelImg leaves it: ``images/N.jpg`` and ``annotations/N.xml``; a dog and a cat in 1, dogs elsewhere."""
    (folder / "annotations").mkdir(parents=True)
    for number in range(1, pictures + 1):
        paint(folder / "images" / f"{number}.jpg")
        things = THINGS if number == 1 else THINGS[:1]
        (folder / "annotations" / f"{number}.xml").write_text(xml(f"{number}.jpg", things))
    return folder


def coco_tree(folder: Path, pictures: int = 5) -> Path:
    """The same in COCO's format."""
    annotations: list[dict[str, Any]] = []
    for number in range(1, pictures + 1):
        paint(folder / "images" / f"{number}.jpg")
        for name, (x0, y0, x1, y1) in THINGS if number == 1 else THINGS[:1]:
            box = [x0, y0, x1 - x0 + 1, y1 - y0 + 1]
            annotations.append({"image_id": number, "category_id": ["cat", "dog"].index(name), "bbox": box})
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48} for n in range(1, pictures + 1)]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(content))
    (folder / "settings.json").write_text('{"theme": "dark"}')
    return folder


def everything(folder: Path, **options: Any) -> BoxFolder:
    return BoxFolder(folder, test_fraction=1, framing="keep", **options)


@pytest.mark.parametrize("tree", [voc_tree, coco_tree])
def test_both_formats_give_an_item_for_each_class_of_each_picture(tree: Any, tmp_path: Path) -> None:
    data = everything(tree(tmp_path / "own"))
    data.setup("test")
    found = [(one.name, one.label, one.boxes.tolist()) for one in data.test_set]
    assert data.class_names() == ["cat", "dog"]
    assert found[:3] == [
        ("images/1.jpg [dog]", 1, [[3, 4, 20, 30], [30, 8, 40, 12]]),
        ("images/1.jpg [cat]", 0, [[1, 2, 5, 6]]),
        ("images/2.jpg", 1, [[3, 4, 20, 30]]),
    ]
    assert len(found) == 6
    assert data.splits() == ("test",)


def test_both_formats_have_the_same_fingerprint(tmp_path: Path) -> None:
    assert everything(voc_tree(tmp_path / "a")).fingerprint() == everything(coco_tree(tmp_path / "b")).fingerprint()


def test_pictures_are_split_by_pictures(tmp_path: Path) -> None:
    data = BoxFolder(voc_tree(tmp_path / "own", pictures=10), test_fraction=0.3, val_fraction=0.2)
    files = {split: {record.picture.name for record in data.records(split)} for split in data.splits()}
    assert {split: len(names) for split, names in files.items()} == {"train": 6, "val": 1, "test": 3}
    assert len(set.union(*files.values())) == 10
    again = BoxFolder(tmp_path / "own", test_fraction=0.3, val_fraction=0.2, split_seed=1)
    assert again.fingerprint() != data.fingerprint()


def test_three_pictures_are_enough_to_split_and_two_are_not(tmp_path: Path) -> None:
    three = BoxFolder(voc_tree(tmp_path / "3", 3))
    assert all(three.records(split) for split in three.splits())
    with pytest.raises(DataError, match="2 pictures cannot be split in three"):
        BoxFolder(voc_tree(tmp_path / "2", 2)).records("train")
    with pytest.raises(DataError, match="nothing to train on"):
        everything(tmp_path / "2").records("train")


def test_classes_may_be_those_of_a_network(tmp_path: Path) -> None:
    data = everything(voc_tree(tmp_path / "own"), classes=["bird", "dog", "cat"])
    assert [record.label for record in data.records("test")][:2] == [1, 2]
    assert data.num_classes == 3
    with pytest.raises(AnnotationError, match=r"1\.xml: line 5: the class 'cat' is not known; known: bird, dog"):
        everything(tmp_path / "own", classes=["bird", "dog"]).records("test")


def test_an_xml_file_may_name_its_picture(tmp_path: Path) -> None:
    folder = voc_tree(tmp_path / "own", pictures=3)
    (folder / "annotations" / "2.xml").rename(folder / "annotations" / "second.xml")
    assert len(everything(folder).records("test")) == 4


def test_equal_names_in_several_folders_belong_to_their_neighbours(tmp_path: Path) -> None:
    for part in ("north", "south"):
        voc_tree(tmp_path / "own" / part, pictures=2)
    names = [record.name for record in everything(tmp_path / "own").records("test")]
    assert names == [
        *("north/images/1.jpg [dog]", "north/images/1.jpg [cat]", "north/images/2.jpg"),
        *("south/images/1.jpg [dog]", "south/images/1.jpg [cat]", "south/images/2.jpg"),
    ]


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/secret.jpg", "C:\\secret.jpg"])
def test_paths_that_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    paint(tmp_path / "secret.jpg")
    folder = voc_tree(tmp_path / "own", pictures=1)
    (folder / "annotations" / "1.xml").write_text(xml(name))
    (folder / "annotations" / "1.xml").rename(folder / "annotations" / "other.xml")
    with pytest.raises(AnnotationError, match=r"other\.xml: filename: .*secret\.jpg' is a path that leaves"):
        everything(folder).records("test")
    folder = coco_tree(tmp_path / "coco", pictures=1)
    content = json.loads((folder / "boxes.json").read_text())
    content["images"][0]["file_name"] = name
    (folder / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=r"boxes\.json: .*secret\.jpg' is a path that leaves"):
        everything(folder).records("test")


def spoil(folder: Path, name: str, content: str) -> Path:
    (folder / "annotations" / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"2\.xml: line 1: the file is empty"),
        (xml("2.jpg", []), r"2\.xml: line 1: no object with a bndbox"),
        (xml("2.jpg", [("dog", (70, 4, 80, 30))]), r"2\.xml: line 4: the box \(70, 4, 80, 30\) lies outside images/2"),
        (xml("2.jpg", [("dog", (3, -9, 20, -2))]), "lies outside"),
        (xml("2.jpg", size=(480, 640)), r"2\.xml: line 4: made for a picture of \(480, 640\)"),
    ],
)
def test_a_broken_annotation_is_one_clear_line(content: str, message: str, tmp_path: Path) -> None:
    data = everything(spoil(voc_tree(tmp_path / "own"), "2.xml", content))
    with pytest.raises(AnnotationError, match=message) as error:
        list(data.dataset("test"))
    assert "\n" not in str(error.value)


def test_what_sticks_out_of_a_picture_is_cut_off(tmp_path: Path) -> None:
    folder = spoil(voc_tree(tmp_path / "own"), "2.xml", xml("2.jpg", [("dog", (-4, 4, 64, 48))]))
    assert everything(folder).dataset("test").load(2).boxes.tolist() == [[0, 4, 64, 48]]


def test_a_picture_without_a_box_is_not_left_out_silently(tmp_path: Path) -> None:
    folder = voc_tree(tmp_path / "own")
    (folder / "annotations" / "4.xml").unlink()
    with pytest.raises(AnnotationError, match=r"1 of 5 pictures have no box, the first is images/4\.jpg"):
        everything(folder).records("test")
    folder = coco_tree(tmp_path / "coco")
    paint(folder / "images" / "new.jpg")
    with pytest.raises(AnnotationError, match=r"1 of 6 pictures have no box, the first is images/new\.jpg"):
        everything(folder).records("test")


def test_an_annotation_without_a_picture_is_named(tmp_path: Path) -> None:
    folder = spoil(voc_tree(tmp_path / "own"), "lost.xml", xml("gone.jpg"))
    with pytest.raises(AnnotationError, match=r"lost\.xml: line 1: no picture"):
        everything(folder).records("test")
    folder = coco_tree(tmp_path / "coco")
    (folder / "images" / "3.jpg").unlink()
    with pytest.raises(AnnotationError, match=r"boxes\.json: the picture '3\.jpg' is neither"):
        everything(folder).records("test")


def test_two_annotations_of_a_picture_are_refused(tmp_path: Path) -> None:
    folder = spoil(voc_tree(tmp_path / "own"), "again.xml", xml("1.jpg"))
    with pytest.raises(AnnotationError, match=r"1\.jpg is annotated twice"):
        everything(folder).records("test")


def test_a_folder_with_both_formats_or_none_is_refused(tmp_path: Path) -> None:
    folder = coco_tree(voc_tree(tmp_path / "own"))
    with pytest.raises(DataError, match=r"as XML \(1\.xml\) and as COCO JSON \(boxes\.json\)"):
        everything(folder).records("test")
    (folder / "boxes.json").unlink()
    shutil.rmtree(folder / "annotations")
    with pytest.raises(DataError, match="5 pictures, but neither VOC XML nor COCO JSON"):
        everything(folder).records("test")
    with pytest.raises(DataError, match="no such file or folder"):
        everything(tmp_path / "nowhere").records("test")


def test_json_that_is_not_coco_s_says_why(tmp_path: Path) -> None:
    folder = coco_tree(tmp_path / "own")
    (folder / "settings.json").unlink()
    text = (folder / "boxes.json").read_text()
    (folder / "boxes.json").write_text(text[:-40])
    with pytest.raises(DataError, match=r"neither VOC XML nor COCO JSON files \(.*\.json: line 1: no readable JSON"):
        everything(folder).records("test")
    (folder / "boxes.json").write_text(text.replace('"categories"', '"kinds"'))
    with pytest.raises(DataError, match=r"neither VOC XML nor COCO JSON files \(.*\.json: line 1: categories should"):
        everything(folder).records("test")


def test_a_truncated_picture_is_named(tmp_path: Path) -> None:
    folder = voc_tree(tmp_path / "own")
    picture = folder / "images" / "3.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(PictureError, match=r"3\.jpg"):
        list(everything(folder).dataset("test"))


def test_one_class_can_judge_and_not_train(tmp_path: Path) -> None:
    folder = spoil(voc_tree(tmp_path / "own", pictures=6), "1.xml", xml("1.jpg", THINGS[:1]))
    data = BoxFolder(folder, framing="keep")
    with pytest.raises(DataError, match=r"of the class 'dog', and labels teach nothing .* dotally localize") as error:
        data.setup("fit")
    assert "\n" not in str(error.value)
    data.setup("validate")
    data.setup("test")
    assert len(data.val_set) == len(data.test_set) == 1


def test_a_relative_folder_may_be_below_a_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voc_tree(tmp_path / "root" / "own")
    monkeypatch.delenv("DOTALLY_DATA_ROOT", raising=False)
    assert BoxFolder("own", data_root=tmp_path / "root").class_names() == ["cat", "dog"]
    with pytest.raises(DataError, match="own: no such file or folder"):
        BoxFolder("own").class_names()
    monkeypatch.chdir(tmp_path / "root")
    assert BoxFolder("own").num_classes == 2


@pytest.mark.parametrize("fraction", [0, 1.5, -1])
def test_an_impossible_fraction_is_refused(fraction: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="test_fraction must be above 0"):
        BoxFolder(tmp_path, test_fraction=fraction)


def real(roots: list[Path], name: str) -> Path:
    found = [root / name for root in roots if (root / name).is_dir()]
    if not found:
        pytest.skip(f"no {name} below DOTALLY_DATA_ROOT")
    return found[0]


@pytest.mark.real
def test_the_real_raccoons(data_root: list[Path]) -> None:
    data = BoxFolder(real(data_root, "raccoon"), test_fraction=1, framing="crop", side=64)
    data.setup("test")
    samples = list(data.test_set)
    assert len(samples) == 32
    assert sum(len(one.boxes) for one in samples) == 34
    assert data.class_names() == ["raccoon"]
    assert all(one.size == (64, 64) and (one.boxes[:, 2:] > one.boxes[:, :2]).all() for one in samples)


@pytest.mark.real
def test_the_real_pictures_of_voc_2011(data_root: list[Path]) -> None:
    data = everything(real(data_root, "voc2011_labelme"))
    data.setup("test")
    samples = list(data.test_set)
    assert len({record.picture for record in data.test_set.records}) == 3
    assert sum(len(one.boxes) for one in samples) == 9
    assert "person" in data.class_names()
