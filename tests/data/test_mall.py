"""Mall: its frames, split as published."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from dotally.data import Mall
from dotally.errors import AnnotationError, DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mall")
    FABRICATED["mall_tree"](folder)
    return folder


def test_the_first_800_frames_train_and_the_others_test(root: Path) -> None:
    data = Mall(data_root=root)
    names = {split: [record.name for record in data.dataset(split).records] for split in ("train", "val", "test")}
    assert {split: len(some) for split, some in names.items()} == {"train": 720, "val": 80, "test": 1200}
    assert (names["test"][0], names["test"][-1]) == ("seq_000801.jpg", "seq_002000.jpg")
    assert sorted(names["train"] + names["val"])[-1] == "seq_000800.jpg"


def test_validation_is_one_stretch_of_the_film(root: Path) -> None:
    numbers = [int(record.name[4:10]) for record in Mall(data_root=root).dataset("val").records]
    assert numbers == list(range(numbers[0], numbers[0] + 80))
    other = [int(record.name[4:10]) for record in Mall(data_root=root, split_seed=1).dataset("val").records]
    assert other != numbers


def test_each_frame_has_its_own_heads(root: Path) -> None:
    sample = Mall(data_root=root).dataset("test")[0]
    assert len(sample.points) == len(FABRICATED["points_of"](801))
    column, row = sample.points.long().T
    assert int(sample.image[:, row, column].max()) < 70


def test_a_frame_that_was_lost_is_named(tmp_path: Path) -> None:
    base = FABRICATED["mall_tree"](tmp_path)
    (base / "frames" / "seq_001234.jpg").unlink()
    with pytest.raises(DataError, match=r"the first is frames/seq_001234\.jpg"):
        Mall(data_root=tmp_path).setup("test")


def test_a_count_that_disagrees_is_named(tmp_path: Path) -> None:
    base = FABRICATED["mall_tree"](tmp_path)
    frames = np.empty((1, 2000), dtype=object)
    frames[0, :] = [{"loc": np.ones((2, 2))} for _ in range(2000)]
    savemat(base / "mall_gt.mat", {"frame": frames, "count": np.full((2000, 1), 3.0)}, do_compression=True)
    with pytest.raises(AnnotationError, match="frame 801 has 2 points, count says 3"):
        Mall(data_root=tmp_path).dataset("test").counts()
