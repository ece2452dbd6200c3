"""UCF-QNRF: its lists, its named sizes and its traps."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dotally.data import UCFQNRF
from dotally.data.ucf_qnrf_files import validation_names
from dotally.errors import DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qnrf")
    FABRICATED["ucf_qnrf_tree"](folder)
    return folder


def test_the_official_lists_are_1081_and_120_of_the_train_pictures(tmp_path: Path) -> None:
    FABRICATED["ucf_qnrf_tree"](tmp_path, train=1201, test=2)
    data = UCFQNRF(data_root=tmp_path, split="official")
    train, val = ({record.name for record in data.dataset(split).records} for split in ("train", "val"))
    assert (len(train), len(val)) == (1081, 120)
    assert val == validation_names()
    assert train | val == {f"img_{number:04}.jpg" for number in range(1, 1202)}


def test_validation_is_carved_out_of_train_and_test_is_test(root: Path) -> None:
    data = UCFQNRF(data_root=root, val_fraction=0.25)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [3, 1, 3]
    assert {record.picture.parent.name for record in data.dataset("test").records} == {"Test"}


def test_heads_outside_do_not_count_unless_clipped_and_double_ones_stay(root: Path) -> None:
    by_name = {}
    for outside in ("drop", "clip"):
        data = UCFQNRF(data_root=root, outside=outside)
        sets = [data.dataset("train"), data.dataset("val")]
        by_name[outside] = {s.name: len(s.points) for some in sets for s in some}
    whole = len(FABRICATED["points_of"](1)) + 2  # one twice, one outside
    assert by_name["drop"]["img_0001.jpg"] == whole - 1
    assert by_name["clip"]["img_0001.jpg"] == whole


def test_heads_lie_on_their_squares_before_and_after_resizing(root: Path) -> None:
    for resize in (None, "bl", "c3", "fidtm", "iim", "pet"):
        for sample in UCFQNRF(data_root=root, resize=resize).dataset("test"):
            column, row = sample.points.long().T
            assert int(sample.image[:, row, column].max()) < 110, resize


def test_adaptive_widths_grow_with_the_picture(root: Path) -> None:
    plain, large = (UCFQNRF(data_root=root, resize=resize).dataset("test")[0] for resize in (None, "bl"))
    assert large.size == (512, 768)
    assert large.sigma.tolist() == pytest.approx((plain.sigma * 768 / 72).tolist(), rel=1e-3)


@pytest.mark.parametrize("options", [{"longest_side": 64}, {"target": "official"}])
def test_two_rules_for_the_size_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="resize excludes"):
        UCFQNRF(resize="bl", **options)  # type: ignore[arg-type]


def test_a_picture_of_twenty_thousand_heads_loads(tmp_path: Path) -> None:
    base = FABRICATED["ucf_qnrf_tree"](tmp_path)
    points = np.random.default_rng(0).uniform(0, 1, (20_000, 2)) * (72, 48)
    FABRICATED["ann_points"](base / "Test" / "img_0001_ann.mat", points)
    sample = UCFQNRF(data_root=tmp_path, resize="c3").dataset("test")[0]
    assert len(sample.points) == len(sample.sigma) == 20_000
    assert bool(sample.sigma.isfinite().all())


def test_a_picture_of_19044_pixels_is_brought_down(tmp_path: Path) -> None:
    base = FABRICATED["ucf_qnrf_tree"](tmp_path)
    Image.new("RGB", (19_044, 64)).save(base / "Test" / "img_0001.jpg")
    FABRICATED["ann_points"](base / "Test" / "img_0001_ann.mat", np.array([[19_043.5, 63.5]]))
    sample = UCFQNRF(data_root=tmp_path, resize="pet").dataset("test")[0]
    assert sample.size == (5, 1536)
    assert sample.points.tolist() == [pytest.approx([1535.96, 4.96], abs=0.01)]


@pytest.mark.parametrize("lost", ["img_0003.jpg", "img_0003_ann.mat"])
def test_half_a_download_is_noticed(tmp_path: Path, lost: str) -> None:
    (FABRICATED["ucf_qnrf_tree"](tmp_path) / "Train" / lost).unlink()
    with pytest.raises(DataError, match=f"1 files are missing below .*, the first is Train/{lost}"):
        UCFQNRF(data_root=tmp_path).setup("fit")


def test_the_rule_is_a_hyperparameter(root: Path) -> None:
    assert UCFQNRF(data_root=root, resize="bl").hparams["resize"] == "bl"
    assert "data_root" not in UCFQNRF(data_root=root).hparams
