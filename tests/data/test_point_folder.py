"""Pictures of one's own with dots, as they lie in folders, and everything that may be wrong with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dotally.data import PointFolder
from dotally.data.crowd import SPLITS
from dotally.data.pictures import open_picture
from dotally.data.point_files import read_folder, survey
from dotally.data.point_verify import verify_folder
from dotally.errors import AnnotationError, DataError, PictureError

SIZE = (48, 64)
BOX = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>\n"


def paint(path: Path, size: tuple[int, int] = SIZE, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size[1], size[0]), (90, 60, 30)).save(path, **options)
    return path


def csv_tree(folder: Path, pictures: int = 10) -> Path:
    """``images/N.jpg`` with N dots each, in one table beside the folder of pictures."""
    rows = ["file,x,y,label"]
    for number in range(pictures):
        paint(folder / "images" / f"{number}.jpg")
        rows += [f"images/{number}.jpg,{dot + 0.5},{2 * dot},{'odd' if dot % 2 else 'even'}" for dot in range(number)]
    rows.append("images/0.jpg,,,")
    (folder / "points.csv").write_text("\n".join(rows))
    return folder


def annotate(folder: Path, content: str) -> Path:
    (folder / "points.csv").write_text(content)
    return folder


def test_a_folder_becomes_three_splits_by_seed(tmp_path: Path) -> None:
    data = PointFolder(csv_tree(tmp_path), sigma=3.0, test_fraction=0.3, val_fraction=0.2)
    names = {split: [one.name for one in data.parts()[split]] for split in SPLITS}
    assert {split: len(some) for split, some in names.items()} == {"train": 6, "val": 1, "test": 3}
    assert len({name for some in names.values() for name in some}) == 10
    other = PointFolder(tmp_path, sigma=3.0, test_fraction=0.3, val_fraction=0.2, split_seed=1)
    assert other.fingerprint() != data.fingerprint()


def test_batches_hold_the_dots(tmp_path: Path) -> None:
    data = PointFolder(csv_tree(tmp_path), sigma=3.0, augmentation="none", batch_size=6)
    data.setup()
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch["count"].tolist() == [int(Path(name).stem) for name in batch["name"]]
    assert torch.allclose(batch["density"].sum((1, 2, 3)), batch["count"].float(), atol=1e-3)


def test_classes_choose_what_counts(tmp_path: Path) -> None:
    counts = {one.name: len(one.points) for one in read_folder(csv_tree(tmp_path), classes=["odd"])}
    assert counts["images/9.jpg"] == 4
    assert counts["images/1.jpg"] == 0
    with pytest.raises(DataError, match=r"no dot has the class 'egg'; classes are: even \(25\), odd \(20\)"):
        read_folder(tmp_path, classes=["egg"])


def test_lists_decide_the_split_and_what_is_missing_is_carved(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "test.txt").write_text("images/3.jpg\n4.jpg\n5\n")
    data = PointFolder(csv_tree(tmp_path / "own"), sigma=3.0, lists=lists)
    parts = {split: [Path(one.name).stem for one in some] for split, some in data.parts().items()}
    assert parts["test"] == ["3", "4", "5"]
    assert sorted(parts["train"] + parts["val"]) == ["0", "1", "2", "6", "7", "8", "9"]
    (lists / "train.txt").write_text("0\n1\n2\n")
    (lists / "val.txt").write_text("7\n")
    parts = {split: [Path(one.name).stem for one in some] for split, some in data.parts().items()}
    assert parts == {"train": ["0", "1", "2"], "val": ["7"], "test": ["3", "4", "5"]}
    assert "lists" not in data.hparams, "a path is no hyperparameter"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0\n\nnone.jpg\n", r"test\.txt: line 3: no picture with dots is called 'none\.jpg'"),
        ("0\n0.jpg\n", r"test\.txt: line 2: '0\.jpg' is already in .*test\.txt: line 1"),
        ("\n", r"test\.txt: line 1: the list is empty"),
        ("../secret\n", r"line 1: no picture with dots"),
    ],
)
def test_a_wrong_list_is_one_clear_line(content: str, message: str, tmp_path: Path) -> None:
    folder = csv_tree(tmp_path / "own")
    (tmp_path / "test.txt").write_text(content)
    with pytest.raises(AnnotationError, match=message):
        PointFolder(folder, lists=tmp_path).parts()


def test_lists_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of train\.txt, val\.txt and test\.txt"):
        PointFolder(csv_tree(tmp_path), lists=tmp_path / "nowhere").parts()


def test_three_pictures_are_enough_and_two_are_not(tmp_path: Path) -> None:
    assert all(PointFolder(csv_tree(tmp_path / "3", 3)).parts().values())
    with pytest.raises(DataError, match="2 pictures are too few"):
        PointFolder(csv_tree(tmp_path / "2", 2)).parts()


@pytest.mark.parametrize(
    "options",
    [{"test_fraction": 0}, {"test_fraction": 1.5}, {"sigma": 0}, {"sigma": float("nan")}, {"split": "official"}],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        PointFolder(tmp_path, **options)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.npy", "npy"),
        ("truth/a.npy", "npy"),
        ("GT_a.npy", "npy"),
        ("ground-truth/GT_a.npy", "npy"),
        ("a_ann.npy", "npy"),
        ("points/A.npy", "npy"),
    ],
)
def test_a_file_for_one_picture_is_called_like_it(name: str, written: str, tmp_path: Path) -> None:
    paint(tmp_path / "images" / "a.jpg")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    np.save(tmp_path / name, [[1.0, 2.0]])
    (found,) = read_folder(tmp_path)
    assert (found.name, found.points.tolist()) == ("images/a.jpg", [[1, 2]])


def test_dots_lie_beside_their_pictures_and_are_no_pictures(tmp_path: Path) -> None:
    for number in (1, 2):
        paint(tmp_path / f"{number:03}cell.png")
        dots = np.zeros((*SIZE, 3), dtype=np.uint8)
        dots[7, 3 : 3 + number] = (255, 0, 0)
        Image.fromarray(dots).save(tmp_path / f"{number:03}dots.png")
    found = read_folder(tmp_path)
    assert [(one.name, one.points.tolist()) for one in found] == [
        ("001cell.png", [[3.5, 7.5]]),
        ("002cell.png", [[3.5, 7.5], [4.5, 7.5]]),
    ]


def test_a_named_format_finds_dots_in_a_folder_of_labels(tmp_path: Path) -> None:
    paint(tmp_path / "images" / "a.jpg")
    paint(tmp_path / "labels" / "a.png", (48, 64))
    assert survey(tmp_path, "dots").pictures == (tmp_path / "images" / "a.jpg",)
    with pytest.raises(DataError, match="no annotations in a format that is known"):
        survey(tmp_path)


def test_equal_names_in_several_folders_belong_to_their_neighbours(tmp_path: Path) -> None:
    for number, part in enumerate(("north", "south")):
        paint(tmp_path / part / "images" / "a.jpg")
        (tmp_path / part / "truth").mkdir()
        np.save(tmp_path / part / "truth" / "a.npy", [[float(number), 2.0]])
    assert [one.points[0, 0] for one in read_folder(tmp_path)] == [0, 1]
    np.save(tmp_path / "a.npy", [[1.0, 2.0]])
    with pytest.raises(AnnotationError, match=r"a\.npy: several pictures are called 'a'"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/secret.jpg", "C:\\secret.jpg", "a/../../../secret.jpg"])
def test_paths_that_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    paint(tmp_path / "secret.jpg")
    folder = csv_tree(tmp_path / "own", 1)
    annotate(folder, f"file,x,y\n{name},1,2\n")
    with pytest.raises(AnnotationError, match=r"points\.csv: line 2: '.*secret\.jpg' is a path that leaves"):
        read_folder(folder)


def test_a_path_may_go_up_within_the_folder(tmp_path: Path) -> None:
    paint(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "points.csv").write_text("file,x,y\n..\\images\\a.jpg,1,2\n")
    assert read_folder(tmp_path)[0].points.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,x,y\nimages/7.jpg,1,2\n", r"points\.csv: line 2: no picture is called 'images/7\.jpg'"),
        ("file,x,y\n0.jpg,1,2\nimages/0.jpg,1,2\n", r"points\.csv: line 3: images/0\.jpg is annotated twice"),
        ("file,xmin,ymin,xmax,ymax,width,height\n0.jpg,1,1,2,2,640,480\n", r"line 2: made for .* 640 x 480 .* 64 x 48"),
    ],
)
def test_a_wrong_annotation_is_one_clear_line(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=message) as error:
        read_folder(annotate(csv_tree(tmp_path, 1), content))
    assert "\n" not in str(error.value)


def test_a_picture_without_annotation_is_as_one_says(tmp_path: Path) -> None:
    folder = annotate(csv_tree(tmp_path, 3), "file,x,y\n0.jpg,1,2\n2.jpg,1,2\n")
    with pytest.raises(AnnotationError, match=r"1 of 3 pictures have no annotation, the first is images/1\.jpg"):
        read_folder(folder)
    assert [len(one.points) for one in read_folder(folder, unlisted="empty")] == [1, 0, 1]
    assert [one.name for one in read_folder(folder, unlisted="skip")] == ["images/0.jpg", "images/2.jpg"]


def test_several_formats_or_none_ask_for_one(tmp_path: Path) -> None:
    folder = csv_tree(tmp_path, 2)
    (folder / "settings.json").write_text('{"theme": "dark"}')
    assert survey(folder).format == "csv"
    (folder / "points.json").write_text('{"images/0.jpg": [[1, 2]], "images/1.jpg": []}')
    with pytest.raises(DataError, match=r"several formats: csv \(points\.csv\), json \(points\.json\); say which"):
        survey(folder)
    assert [len(one.points) for one in read_folder(folder, format="json")] == [1, 0]
    with pytest.raises(DataError, match="no files of the format voc"):
        survey(folder, "voc")
    with pytest.raises(DataError, match="there is no format 'yolo'; formats are: csv, coco"):
        survey(folder, "yolo")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no such folder"):
        survey(tmp_path / "nowhere")


def test_a_broken_file_is_named_and_not_left_out(tmp_path: Path) -> None:
    folder = csv_tree(tmp_path, 2)
    (folder / "more.json").write_text('{"images": [\n}')
    with pytest.raises(AnnotationError, match=r"more\.json: line 2: no readable JSON"):
        read_folder(folder)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_dots_turn_with_pictures_that_were_annotated_as_stored(orientation: int, tmp_path: Path) -> None:
    pixels = np.zeros((30, 40, 3), dtype=np.uint8)
    pixels[4, 10] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    (tmp_path / "a.xml").write_text(
        f"<annotation><size><width>40</width><height>30</height></size>{BOX.format('cell', 10, 4, 10, 4)}</annotation>"
    )
    # without exchanged sides the stated size tells nothing
    data = PointFolder(tmp_path, sigma=3.0, turned="stored" if orientation < 5 else "auto")
    (one,) = data.pictures()
    image = open_picture(one.picture).image
    x, y = one.points.astype(int)[0]
    assert image[y, x].tolist() == [255, 255, 255]
    assert one.size == image.shape[:2]


def test_dots_on_upright_pictures_stay(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    paint(tmp_path / "a.jpg", (30, 40), exif=exif)
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                "shapes": [{"points": [[7, 9]], "shape_type": "point"}],
                "imagePath": "a.jpg",
                "imageHeight": 40,
                "imageWidth": 30,
            }
        )
    )
    (one,) = read_folder(tmp_path)
    assert (one.points.tolist(), one.size) == ([[7, 9]], (40, 30))


def test_a_picture_without_a_header_is_named(tmp_path: Path) -> None:
    folder = csv_tree(tmp_path, 2)
    (folder / "images" / "1.jpg").write_bytes(b"not a picture")
    with pytest.raises(PictureError, match=r"1\.jpg"):
        read_folder(folder)


def real(roots: list[Path], name: str) -> Path:
    found = [root / name for root in roots if (root / name).is_dir()]
    if not found:
        pytest.skip(f"no {name} below DOTALLY_DATA_ROOT")
    return found[0]


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "format", "classes", "pictures", "dots"),
    [
        ("bccd", "voc", ["RBC"], 56, 659),
        ("bccd", "voc", ["WBC", "Platelets"], 56, 123),
        ("raccoon", "voc", None, 32, 34),
        ("voc2011_labelme", "voc", None, 3, 9),
        ("vgg_cells", "dots", None, 12, 1767),
        ("ucf_cc_50", "mat", None, 50, 63_974),
    ],
)
def test_real_samples_have_their_known_counts(
    name: str, format: str, classes: list[str] | None, pictures: int, dots: int, data_root: list[Path]
) -> None:
    data = PointFolder(real(data_root, name), classes=classes, sigma=8.0)
    assert survey(data.folder).format == format
    found = data.pictures()
    assert (len(found), sum(len(one.points) for one in found)) == (pictures, dots)


@pytest.mark.real
def test_real_cells_become_batches(data_root: list[Path]) -> None:
    data = PointFolder(real(data_root, "bccd"), classes=["RBC"], sigma=8.0, crop=128, batch_size=2)
    data.setup("test")
    sample = data.test_set[0]
    assert sample.image.shape == (3, 480, 640)
    assert len(data.test_set) == 11


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "", r"a\.csv: line 1: the file is empty"),
        ("a.json", "[[1,2", r"a\.json: line 1: no readable JSON"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY x "y">]><annotation/>', r"a\.xml: line 1: declares the entity 'x'"),
    ],
)
def test_a_folder_whose_only_annotation_is_broken_says_why(
    name: str, content: str, reason: str, tmp_path: Path
) -> None:
    paint(tmp_path / "a.jpg")
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=rf"no annotations in a format that is known \(.*{reason}"):
        verify_folder(tmp_path)
