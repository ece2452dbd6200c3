"""`dotally data verify` on data sets with boxes: everything that a training would stumble over is named."""

import runpy
from pathlib import Path

import pytest

from dotally.cli import main
from dotally.data.verify import verify
from dotally.data.verify_boxes import PUBLISHED, verify_box_folder, verify_boxes
from dotally.errors import DataError

# loaded by path, because in importlib mode test modules cannot import each other
BOXES = runpy.run_path(str(Path(__file__).parents[1] / "experiments" / "fabricated_boxes.py"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return BOXES["own_boxes_tree"](tmp_path / "own", pictures=4)


def test_a_folder_in_order_is_counted(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", str(own)]) == 0
    printed = capsys.readouterr().out
    assert "4 pictures, 4 boxes, 2 of 2 classes" in printed
    assert "all is well" in printed


def test_every_broken_file_is_named_at_once(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "0.xml").write_text("")
    (own / "2.xml").write_text("<annotation>\n</annotation>")
    assert main(["data", "verify", str(own)]) == 1
    printed = capsys.readouterr().out
    assert "broken: 2" in printed
    assert "0.xml: line 1: the file is empty" in printed
    assert "2.xml: line 1: no object with a bndbox" in printed


def test_pictures_that_cannot_be_read_or_do_not_fit_are_named(own: Path) -> None:
    (own / "1.jpg").write_bytes((own / "1.jpg").read_bytes()[:300])
    (own / "3.xml").write_text((own / "3.xml").read_text().replace("<xmin>10", "<xmin>400").replace(">50<", ">500<"))
    problems = verify_box_folder(own).problems["damaged"]
    assert len(problems) == 2
    assert "1.jpg" in problems[0]
    assert "lies outside" in problems[1]


def test_a_picture_without_a_box_is_named(own: Path) -> None:
    (own / "3.xml").unlink()
    (problem,) = verify_box_folder(own).problems["broken"]
    assert "1 of 4 pictures have no box, the first is 3.jpg" in problem


def test_what_labels_cannot_teach_is_said(own: Path) -> None:
    both = "".join(BOXES["OBJECT"].format(name, 1, 2, 30, 40) for name in ("cat", "dog"))
    (own / "0.xml").write_text(f"<annotation>{both}</annotation>")
    assert any("wrong on 1 of 5 items at least" in note for note in verify_box_folder(own).notes)
    for number in range(4):
        (own / f"{number}.xml").write_text(f"<annotation>{BOXES['OBJECT'].format('cat', 1, 2, 30, 40)}</annotation>")
    report = verify_box_folder(own)
    assert report.ok
    assert any(note.startswith("one class only (cat)") for note in report.notes)


def test_published_sets_are_read_to_the_last_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = BOXES["tiny_imagenet_tree"](tmp_path / "tiny-imagenet-200")
    assert verify("tiny-imagenet", [tmp_path]).ok
    (folder / "val" / "images" / "val_1.JPEG").write_bytes(b"no picture")
    report = verify("tiny-imagenet", [tmp_path])
    assert report.found[0] == "train: 18 pictures, 18 boxes, 3 of 3 classes"
    assert "val_1.JPEG" in report.problems["damaged"][0]
    BOXES["imagenet_tree"](tmp_path / "ILSVRC2012")
    assert verify("imagenet", [tmp_path]).problems["number"] == ["test: 4 pictures, published are 50,000"]
    monkeypatch.setitem(PUBLISHED, "imagenet", {"test": 4})
    assert verify_boxes("imagenet", [tmp_path]).ok


@pytest.mark.parametrize("name", ["tiny-imagenet", "imagenet", "voc", "cub"])
def test_a_set_that_is_not_there_is_wrong_use(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="was not found in"):
        verify(name, [tmp_path])
