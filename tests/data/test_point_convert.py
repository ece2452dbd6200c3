"""Converting, checking and drawing a folder of one's own: what is written is read again, what is odd is said."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dotally.cli import main
from dotally.data import PointFolder, ShanghaiTech
from dotally.data.point_convert import convert_folder
from dotally.data.point_files import read_folder, survey
from dotally.data.point_formats.write import WRITERS
from dotally.errors import DataError

HEIGHT, WIDTH = 48, 64
# every number is written with all its digits; the last picture has none
POINTS = [[(10.125, 7.1), (1 / 3, 40.0)], [(63.9, 47.9)], [(5.5, 6.5)], []]


def own(folder: Path, points: list[list[tuple[float, float]]] = POINTS, suffix: str = ".jpg") -> Path:
    rows = ["file,x,y,class"]
    (folder / "pictures").mkdir(parents=True)
    for number, some in enumerate(points):
        name = f"pictures/{number}{suffix}"
        Image.new("RGB", (WIDTH, HEIGHT), (number, 60, 30)).save(folder / name)
        rows += [f"{name},{x!r},{y!r},{'egg' if x < 1 else 'cell'}" for x, y in some] or [f"{name},,,"]
    (folder / "dots.csv").write_text("\n".join(rows))
    return folder


@pytest.mark.parametrize("to", list(WRITERS))
def test_what_is_written_is_read_again(to: str, tmp_path: Path) -> None:
    source = PointFolder(own(tmp_path / "own"))
    assert convert_folder(source, tmp_path / "new" / "out", to) == 4
    assert survey(tmp_path / "new" / "out").format == to
    found = read_folder(tmp_path / "new" / "out")
    for one, true in zip(found, source.pictures(), strict=True):
        expected = np.floor(true.points) + 0.5 if to == "dots" else true.points
        assert (one.name, one.size) == (true.name, true.size)
        assert sorted(one.points.tolist()) == sorted(expected.tolist())
        assert to in ("mat", "dots", "npy") or one.labels == true.labels
        assert one.picture.read_bytes() == true.picture.read_bytes()


def test_voc_gets_boxes_of_a_stated_size_whose_middles_are_the_dots(tmp_path: Path) -> None:
    source = PointFolder(own(tmp_path / "own"))
    assert convert_folder(source, tmp_path / "out", "voc", box=8) == 4
    first = (tmp_path / "out" / "pictures" / "0.xml").read_text()
    assert "<xmin>6.125</xmin>" in first
    assert "<xmax>14.125</xmax>" in first
    found = read_folder(tmp_path / "out")
    for one, true in zip(found, source.pictures(), strict=True):
        assert (one.name, one.size, one.labels) == (true.name, true.size, true.labels)
        np.testing.assert_allclose(one.points, true.points, rtol=0, atol=1e-9)


def test_dots_have_no_size_of_their_own(tmp_path: Path) -> None:
    source = PointFolder(own(tmp_path / "own", [[(70.0, 1.0)], []]))
    for options in ({"to": "voc"}, {"to": "voc", "box": 0.0}, {"to": "csv", "box": 8.0}):
        with pytest.raises(DataError, match="a dot has no size: --box PIXELS"):
            convert_folder(source, tmp_path / "out", **options)
    with pytest.raises(DataError, match=r"pictures/0\.jpg: 1 dots lie outside, where no box can be"):
        convert_folder(source, tmp_path / "out", "voc", box=8)


@pytest.mark.parametrize("to", ["dots", "mat"])
def test_pictures_that_are_called_like_annotations_find_theirs(to: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "own" / "001cell.png")
    (tmp_path / "own" / "dots.csv").write_text("file,x,y\n001cell.png,5.5,6.5\n")
    # and what the folder is called says nothing either
    convert_folder(PointFolder(tmp_path / "own"), tmp_path / "dots", to)
    (found,) = read_folder(tmp_path / "dots")
    assert found.points.tolist() == [[5.5, 6.5]]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_the_layout_of_shanghaitech_is_read_by_its_loader(suffix: str, tmp_path: Path) -> None:
    source = PointFolder(own(tmp_path / "own", suffix=suffix), test_fraction=0.3)
    assert convert_folder(source, tmp_path / "out", "shanghaitech") == 4
    data = ShanghaiTech("B", data_root=tmp_path / "out", augmentation="none")
    data.setup()
    with (tmp_path / "out" / "names.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["dots"]) for row in rows) == [0, 1, 1, 2]
    assert [row["file"] for row in rows if row["split"] == "test"] == [one.name for one in source.parts()["test"]]
    assert len(data.train_set) + len(data.val_set) == 3
    (test,) = data.test_set
    assert test.points.numpy() == pytest.approx(source.parts()["test"][0].points)
    first = next(row for row in rows if row["written"] == "test_data/images/IMG_1.jpg")
    assert Image.open(tmp_path / "out" / "part_B" / first["written"]).format == "JPEG"


def test_nothing_is_overwritten_and_nothing_half_written_stays(tmp_path: Path) -> None:
    source = PointFolder(own(tmp_path / "own", [[(1.2, 1.2), (1.4, 1.4)], [(70.0, 1.0)]]))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="full is in the way"):
        convert_folder(source, tmp_path / "full", "csv")
    with pytest.raises(DataError, match=r"pictures/0\.jpg: 0 dots lie outside, or two in one pixel"):
        convert_folder(source, tmp_path / "out", "dots")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "own"]


def test_two_pictures_cannot_share_a_file(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "pictures" / "0.png")
    with pytest.raises(DataError, match=r"0\.png and pictures/0\.jpg would share"):
        convert_folder(PointFolder(folder, unlisted="empty"), tmp_path / "out", "npy")


def test_the_commands_convert_and_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out, sheet = own(tmp_path / "own"), tmp_path / "out", tmp_path / "sheet.png"
    assert main(["data", "convert", str(folder), "--to", "coco", "--classes", "cell", "--out", str(out)]) == 0
    assert "wrote 4 pictures" in capsys.readouterr().out
    assert main(["data", "verify", str(out), "--pictures", str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert "4 pictures, 1 files of annotations as coco: 3 dots" in printed
    assert "from 0 to 1, median 1; 1 pictures without any" in printed
    assert "all is well" in printed
    assert main(["data", "verify", str(folder)]) == 0
    assert "classes: cell 3, egg 1" in capsys.readouterr().out
    with Image.open(sheet) as image:
        image.load()
        assert image.width > 1000


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "own", "--to", "csrnet-h5", "--out", "maps"],
        ["convert", "own", "--to", "csv", "--from", "yolo", "--out", "out"],
        ["verify", "own", "--classes", "fish"],
        ["verify", "own", "--pictures", "own/pictures/sheet.png"],
        ["verify", "nowhere", "--dots"],
        ["convert", "nowhere", "--to", "csv", "--out", "out"],
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOTALLY_DATA_ROOT", str(tmp_path))
    assert main(["data", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_known_set_has_a_sheet_too(
    tmp_path: Path, shanghaitech_tree: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, sheet = shanghaitech_tree(tmp_path / "root", parts=("A",)), tmp_path / "sheet.png"
    # fabricated pictures are not the published ones
    assert main(["data", "verify", "shanghaitech", "--data-root", str(root), "--pictures", str(sheet)]) == 1
    assert f"wrote {sheet}" in capsys.readouterr().out
    assert sheet.is_file()


def report_of(folder: Path, **options: Any) -> str:
    from dotally.data.point_verify import verify_folder

    return verify_folder(folder, **options).report.render()


def test_everything_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", [[(1.0, 2.0)], [(1.0, 2.0)], []])
    picture = folder / "pictures" / "1.jpg"
    picture.write_bytes(picture.read_bytes()[:-20])
    (folder / "dots.csv").write_text("file,x,y\n0.jpg,1,2\n1.jpg,1,2\nnone.jpg,3,4\n0.jpg,5,6\npictures/0.jpg,1,2\n")
    text = report_of(folder)
    assert "annotations: 3" in text
    assert "line 4: no picture is called 'none.jpg'" in text
    assert "line 6: pictures/0.jpg is annotated twice" in text
    assert "1 of 3 pictures have no annotation" in text
    assert "damaged: 1" in text
    assert "NOT as it should be" in text


def test_exchanged_axes_and_odd_dots_are_noticed(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", [[(40.0, 60.0), (1.0, 1.0)], [(70.0, 2.0), (3.0, 3.0), (3.0, 3.0)], []])
    text = report_of(folder)
    assert "pictures/0.jpg: x and y look exchanged, 1 dots outside" in text
    assert "1 dots lie outside and will not count; most in pictures/1.jpg" in text
    assert "1 dots lie on another; each counts; most in pictures/1.jpg" in text
    assert "there is not one in any picture" in report_of(own(tmp_path / "empty", [[], []]))
