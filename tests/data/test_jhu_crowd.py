"""JHU-CROWD++: its splits, its pictures of nobody and the lines of its gt files."""

import runpy
from pathlib import Path

import pytest

from dotally.data import JHUCrowd
from dotally.data.verify import verify
from dotally.errors import AnnotationError, DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return FABRICATED["jhu_crowd_tree"](tmp_path)


def names(data: JHUCrowd, split: str) -> set[str]:
    return {record.name for record in data.dataset(split).records}  # type: ignore[arg-type]


def test_the_splits_are_the_authors(base: Path) -> None:
    data = JHUCrowd(data_root=base)
    assert [len(names(data, split)) for split in ("train", "val", "test")] == [10, 2, 3]
    assert names(data, "val") == {"0011.jpg", "0012.jpg"}


def test_a_carved_validation_leaves_the_authors_out(base: Path) -> None:
    data = JHUCrowd(data_root=base, split="seed")
    assert [len(names(data, split)) for split in ("train", "val", "test")] == [9, 1, 3]
    assert not names(data, "val") & {"0011.jpg", "0012.jpg"}


def test_an_empty_file_means_a_picture_of_nobody(base: Path) -> None:
    data = JHUCrowd(data_root=base)
    data.setup("test")
    assert data.test_set.counts()[-1] == 0
    sample = data.test_set[2]
    assert sample.points.shape == (0, 2)
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert float(batch["density"].sum()) == pytest.approx(len(data.test_set[0].points), rel=1e-4)


def test_x_comes_first(base: Path) -> None:
    for sample in JHUCrowd(data_root=base, resize="fidtm").dataset("test"):
        column, row = sample.points.long().T
        assert not len(column) or int(sample.image[:, row, column].max()) < 110


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.1 0.1", "five make a line of YOLO"),
        ("1 2 3", "it has 3"),
        ("1 x 5 5 1 0", "should be a number"),
        ("1 nan 5 5 1 0", "should be a number"),
    ],
)
def test_a_broken_line_is_named(base: Path, line: str, message: str) -> None:
    (base / "test" / "gt" / "0013.txt").write_text(f"1 2 5 5 1 0\n{line}\n")
    with pytest.raises(AnnotationError, match=rf"0013\.txt: line 2: .*{message}"):
        JHUCrowd(data_root=base).dataset("test").counts()


def test_a_lost_file_is_an_error_of_the_loader_and_a_line_of_the_check(base: Path) -> None:
    (base / "val" / "gt" / "0012.txt").unlink()
    with pytest.raises(DataError, match=r"the first is val/gt/0012\.txt"):
        JHUCrowd(data_root=base).setup("fit")
    assert verify("jhu-crowd", [base]).problems["missing"] == ["val/gt/0012.txt"]


def test_what_is_hearsay_is_noted_and_what_is_known_is_a_problem(base: Path) -> None:
    report = verify("jhu-crowd", [base])
    assert "train: 10 pictures, published are 2,272 (not confirmed)" in report.notes
    assert "all: 15 pictures, published are 4,372" in report.problems["numbers"]
    assert any("3 pictures of nobody" in line for line in report.found)
