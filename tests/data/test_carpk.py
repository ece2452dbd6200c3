"""CARPK: boxes counted by their middles."""

import runpy
from pathlib import Path

import pytest

from dotally.data import CARPK
from dotally.data.verify import verify
from dotally.errors import AnnotationError, DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return FABRICATED["carpk_tree"](tmp_path)


def test_the_lists_are_the_authors_and_validation_is_one_stretch_of_train(base: Path) -> None:
    data = CARPK(data_root=base, val_fraction=0.3)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [7, 3, 3]
    numbers = [int(record.name[-9:-4]) for record in data.dataset("val").records]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_the_middle_of_a_box_is_a_car_and_an_empty_file_is_none(base: Path) -> None:
    test_set = CARPK(data_root=base).dataset("test")
    assert test_set.counts()[-1] == 0
    sample = test_set[0]
    assert len(sample.points) == len(FABRICATED["points_of"](1))
    column, row = sample.points.long().T
    assert sample.image[:, row, column].eq(FABRICATED["DARK"]).all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 3 4", "it has 4 fields"),
        ("9 2 3 4 1", "the box ends before it begins"),
        ("a 2 3 4 1", "should be a number"),
    ],
)
def test_a_broken_line_is_named(base: Path, line: str, message: str) -> None:
    (base / "Annotations" / "20164_TPZ_00002.txt").write_text(f"1 2 3 4 1\n{line}\n")
    with pytest.raises(AnnotationError, match=rf"00002\.txt: line 2: .*{message}"):
        CARPK(data_root=base).dataset("test").counts()


def test_a_list_that_leaves_its_folder_is_refused(base: Path) -> None:
    (base / "ImageSets" / "test.txt").write_text("../../secret\n")
    with pytest.raises(AnnotationError, match=r"test\.txt: line 1: .* leaves"):
        CARPK(data_root=base).setup("test")


def test_a_lost_picture_is_named(base: Path) -> None:
    (base / "Images" / "20164_TPZ_00001.png").unlink()
    with pytest.raises(DataError, match=r"the first is Images/20164_TPZ_00001\.png"):
        CARPK(data_root=base).setup("test")


def test_a_picture_that_is_cut_off_is_a_problem_of_the_check(base: Path) -> None:
    path = base / "Images" / "20164_TPZ_00001.png"
    path.write_bytes(path.read_bytes()[:60])
    report = verify("carpk", [base])
    assert [case.split(":")[0] for case in report.problems["damaged"]] == [str(path)]
    assert not report.ok
