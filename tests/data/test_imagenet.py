"""ImageNet's localization task in the layouts it is found in."""

from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

from dotally.data import ImageNetLocalization
from dotally.errors import AnnotationError, DataError

SYNSETS = ["n01440764", "n01443537", "n02000002"]


def annotation(stem: str, synset: str, boxes: list[tuple[int, int, int, int]]) -> str:
    objects = "".join(
        f"\t<object>\n\t\t<name>{synset}</name>\n\t\t<bndbox>\n\t\t\t<xmin>{a}</xmin>\n\t\t\t<ymin>{b}</ymin>\n"
        f"\t\t\t<xmax>{c}</xmax>\n\t\t\t<ymax>{d}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for a, b, c, d in boxes
    )
    size = "\t<size>\n\t\t<width>500</width>\n\t\t<height>375</height>\n\t\t<depth>3</depth>\n\t</size>\n"
    return f"<annotation>\n\t<folder>val</folder>\n\t<filename>{stem}</filename>\n{size}{objects}</annotation>\n"


def tree(folder: Path, layout: Literal["release", "kaggle", "flat"] = "release", train: bool = False) -> Path:
    pictures, boxes, names = {
        "release": ("images/valid", "annotations/valid", "annotations/class_labels.txt"),
        "kaggle": ("Data/CLS-LOC/val", "Annotations/CLS-LOC/val", "LOC_synset_mapping.txt"),
        "flat": ("ILSVRC2012_img_val", "ILSVRC2012_bbox_val_v3/val", "class_labels.txt"),
    }[layout]
    for number in range(1, 7):
        synset, stem = SYNSETS[number % 3], f"ILSVRC2012_val_{number:08}"
        inner = synset if layout == "release" else "."
        _write(folder / pictures / inner, folder / boxes / inner, stem, synset, [(10, 20, 100, 200)] * (1 + number % 2))
    for number in range(30 if train else 0):
        synset, stem = SYNSETS[number % 3], f"{SYNSETS[number % 3]}_{number}"
        known = [(10, 20, 100, 200)] if number < 20 else []
        _write(folder / "images/train" / synset, folder / "annotations/train" / synset, stem, synset, known)
    form = "{} tench, Tinca tinca\n" if layout == "kaggle" else "{} 449 great_white_shark\n"
    (folder / names).write_text("".join(form.format(synset) for synset in reversed(SYNSETS)))
    return folder


def _write(pictures: Path, annotations: Path, stem: str, synset: str, boxes: list[tuple[int, int, int, int]]) -> None:
    pictures.mkdir(parents=True, exist_ok=True)
    annotations.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (500, 375), (20, 90, 60)).save(pictures / f"{stem}.JPEG", "JPEG")
    if boxes:
        (annotations / f"{stem}.xml").write_text(annotation(stem, synset, boxes))


def imagenet(root: Path, **options: Any) -> ImageNetLocalization:
    return ImageNetLocalization(data_root=root, eval_batch_size=4, **options)


@pytest.mark.parametrize("layout", ["release", "kaggle", "flat"])
def test_every_layout_gives_the_same_pictures(layout: Any, tmp_path: Path) -> None:
    data = imagenet(tree(tmp_path / "ILSVRC2012", layout).parent)
    records = data.records("test")
    assert [record.name for record in records] == [f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, 7)]
    assert [record.label for record in records] == [1, 2, 0, 1, 2, 0]
    assert [len(record.boxes) for record in records] == [2, 1, 2, 1, 2, 1]
    assert data.splits() == ("test",)
    assert data.class_names()[0] == ("tench" if layout == "kaggle" else "great white shark")


def test_pictures_and_boxes_are_framed_as_by_the_release(tmp_path: Path) -> None:
    data = imagenet(tree(tmp_path))
    data.setup("test")
    batches = list(data.test_dataloader())
    assert [len(batch["name"]) for batch in batches] == [4, 2]
    assert batches[0]["image"].shape == (4, 3, 224, 224)
    down, right = 224 / 375, 298 / 500
    expected = [max(0, 10 * right - 37), 20 * down, 100 * right - 37, 200 * down]
    assert batches[0]["boxes"][0].tolist() == pytest.approx(expected, abs=1e-4)
    assert data.fingerprint() == imagenet(tmp_path).fingerprint()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_pictures_that_were_stored_on_their_side(orientation: int, tmp_path: Path) -> None:
    path = next(tree(tmp_path).glob("images/valid/*/*2.JPEG"))  # its box is (10, 20, 100, 200)
    picture, exif = Image.new("RGB", (500, 375)), Image.Exif()
    picture.paste((255, 255, 255), (10, 20, 101, 201))
    exif[0x0112] = orientation
    picture.save(path, "JPEG", quality=95, exif=exif)
    sample = imagenet(tmp_path, framing="keep").dataset("test")[1]
    x0, y0, x1, y1 = (int(side) for side in sample.boxes[0])
    assert sample.size == ((375, 500) if orientation < 5 else (500, 375))
    bright = sample.image.float().mean(0) > 128
    assert bright[y0 : y1 + 1, x0 : x1 + 1].all()
    assert bright.sum() == (x1 - x0 + 1) * (y1 - y0 + 1) == 91 * 181


def test_half_of_the_files_is_noticed(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    next(folder.glob("annotations/valid/*/*3.xml")).unlink()
    with pytest.raises(DataError, match=r"1 of 6 lack an annotation, the first is ILSVRC2012_val_00000003\.JPEG"):
        imagenet(folder).records("test")
    next(folder.glob("images/valid/*/*3.JPEG")).unlink()
    next(folder.glob("images/valid/*/*5.JPEG")).unlink()
    with pytest.raises(DataError, match=r"1 of 5 lack a picture, the first is ILSVRC2012_val_00000005\.xml"):
        imagenet(folder).records("test")


def test_places_among_some_of_the_classes_are_not_taken_for_labels(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    (folder / "annotations" / "class_labels.txt").unlink()
    with pytest.raises(DataError, match=r"pictures of 3 classes, not 1000.*class_labels\.txt"):
        imagenet(folder).records("test")


def test_unknown_classes_and_broken_lists_are_named(tmp_path: Path) -> None:
    folder = tree(tmp_path, "flat")
    (folder / "class_labels.txt").write_text(f"{SYNSETS[0]} 1 tench\n{SYNSETS[1]} 2 goldfish\n")
    with pytest.raises(AnnotationError, match=r"val_00000002\.xml: line 9: the class 'n02000002' is not among the 2"):
        imagenet(folder).records("test")
    (folder / "class_labels.txt").write_text("1 tench\n")
    with pytest.raises(AnnotationError, match=r"class_labels\.txt: line 1: should begin with a synset"):
        imagenet(folder).records("test")


def test_a_picture_that_is_there_twice_is_not_lost_silently(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    path = next(folder.glob("images/valid/*/*3.JPEG"))
    (folder / "images" / "valid" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="two files called ILSVRC2012_val_00000003"):
        imagenet(folder).records("test")


def test_an_empty_annotation_stops_the_evaluation(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    path = next(folder.glob("annotations/valid/*/*3.xml"))
    path.write_text("")
    with pytest.raises(AnnotationError, match=rf"{path.name}: line 1: the file is empty"):
        imagenet(folder).records("test")


def test_validation_is_carved_out_of_the_train_pictures_that_have_a_box(tmp_path: Path) -> None:
    data = imagenet(tree(tmp_path, train=True), val_fraction=0.25)
    assert data.splits() == ("train", "val", "test")
    train, val = data.records("train"), data.records("val")
    assert (len(train), len(val)) == (25, 5)
    assert not {record.name for record in train} & {record.name for record in val}
    assert all(record.boxes for record in val)
    assert all(SYNSETS[record.label] in record.name for record in train + val)


def test_without_train_pictures_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can only be tested on"):
        imagenet(tree(tmp_path)).setup("fit")
    with pytest.raises(DataError, match=r"(?s)ImageNet .* was not found.*class_labels"):
        imagenet(tmp_path / "images").setup("test")
