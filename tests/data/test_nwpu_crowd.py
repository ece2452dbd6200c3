"""NWPU-Crowd: the two pictures that changed places, pictures of nobody, and both kinds of labels."""

import json
import runpy
from pathlib import Path

import pytest

from dotally.data import NWPUCrowd
from dotally.data.nwpu_crowd_files import split_numbers
from dotally.errors import AnnotationError, DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))
SOME = [1, 2, 3, 4, 5, 3098, 3110, 3115, 3169, 3609, 3610, 5109]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return FABRICATED["nwpu_crowd_tree"](tmp_path, SOME)


def names(data: NWPUCrowd, split: str) -> set[str]:
    return {record.name for record in data.dataset(split).records}  # type: ignore[arg-type]


def test_3098_and_3169_have_changed_places() -> None:
    numbers = split_numbers()
    assert {split: len(some) for split, some in numbers.items()} == {"train": 3109, "val": 500, "test": 1500}
    assert 3169 in numbers["train"]
    assert 3098 in numbers["val"]
    assert sorted(n for some in numbers.values() for n in some) == list(range(1, 5110))


def test_what_the_authors_call_val_is_tested_on(base: Path) -> None:
    data = NWPUCrowd(data_root=base)
    assert names(data, "test") == {"3098.jpg", "3110.jpg", "3115.jpg", "3609.jpg"}
    assert names(data, "train") | names(data, "val") == {f"000{n}.jpg" for n in range(1, 6)} | {"3169.jpg"}


def test_json_and_mat_files_hold_the_same(base: Path, tmp_path: Path) -> None:
    other = FABRICATED["nwpu_crowd_tree"](tmp_path / "mats", SOME, labels=["mats"])
    for split in ("train", "val", "test"):
        ours, theirs = (NWPUCrowd(data_root=root).dataset(split) for root in (base, other))  # type: ignore[arg-type]
        assert ours.counts() == theirs.counts()
        assert ours[0].points.tolist() == theirs[0].points.tolist()


@pytest.mark.parametrize("labels", ["jsons", "mats"])
def test_pictures_of_nobody_load(tmp_path: Path, labels: str) -> None:
    base = FABRICATED["nwpu_crowd_tree"](tmp_path, SOME, labels=[labels])
    test_set = NWPUCrowd(data_root=base, resize="dm-count").dataset("test")
    nobody = next(index for index, record in enumerate(test_set.records) if record.name == "3110.jpg")
    assert test_set[nobody].points.shape == (0, 2)
    assert min(test_set[nobody].size) >= 384


def test_x_comes_first(base: Path) -> None:
    for sample in NWPUCrowd(data_root=base, resize="nwpu").dataset("test"):
        column, row = sample.points.long().T
        assert not len(column) or int(sample.image[:, row, column].max()) < 110


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1: no readable JSON"),
        ("[]", "line 1: human_num should be a number"),
        (json.dumps({"human_num": 2, "points": [[1, 2]]}), "human_num says 2, there are 1 points"),
        (json.dumps({"human_num": 1, "points": [[1, 2, 3]]}), r"points\[0\]: should be a point \[x, y\]"),
        (json.dumps({"human_num": 1, "points": [["a", "b"]]}), r"points\[0\]: should be a point"),
        ('{"human_num": 2,\n"points": [[1, 2],\n[3]]}', r"line 3: points\[1\]: should be a point"),
        ('{"human_num": 1, "points": [[NaN, 2]]}', "should be a point"),
        ('{"human_num": 1, "points": [[1e300, 2]]}', "should be a point"),
    ],
)
def test_broken_labels_are_named(base: Path, content: str, message: str) -> None:
    (base / "jsons" / "3110.json").write_text(content)
    with pytest.raises(AnnotationError, match=rf"3110\.json.*{message}"):
        NWPUCrowd(data_root=base).dataset("test").counts()


def test_a_forgotten_part_of_the_pictures_is_noticed(base: Path) -> None:
    (base / "images" / "0002.jpg").unlink()
    with pytest.raises(DataError, match=r"the first is images/0002\.jpg"):
        NWPUCrowd(data_root=base).setup("fit")


def test_labels_are_not_missed_where_they_are_not_public(base: Path) -> None:
    (base / "images" / "3611.jpg").hardlink_to(base / "images" / "3610.jpg")
    NWPUCrowd(data_root=base).setup("fit")


def test_there_is_no_official_validation() -> None:
    with pytest.raises(ValueError, match="no published validation pictures beside those we test on"):
        NWPUCrowd(split="official")


@pytest.mark.real
def test_the_split_is_that_of_the_published_lists(data_root: list[Path]) -> None:
    folder = next((root / "nwpu_lists" for root in data_root if (root / "nwpu_lists").is_dir()), None)
    if folder is None:
        pytest.skip("no nwpu_lists below DOTALLY_DATA_ROOT: this test reads the published lists")
    for split, numbers in split_numbers().items():
        lines = (folder / f"{split}.txt").read_text().splitlines()
        assert sorted(int(line.split()[0]) for line in lines) == numbers
