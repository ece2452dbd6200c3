"""UCSD pedestrians: frames 601 to 1400, the walkway, and the enlargement."""

import runpy
from pathlib import Path

import pytest

from dotally.data import UCSDPedestrian
from dotally.data.ucsd_files import frame_name
from dotally.errors import AnnotationError, DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FABRICATED["ucsd_tree"](tmp_path_factory.mktemp("ucsd"))


def test_frames_601_to_1400_train_and_the_other_1200_test(root: Path) -> None:
    data = UCSDPedestrian(data_root=root)
    names = {split: [record.name for record in data.dataset(split).records] for split in ("train", "val", "test")}
    assert {split: len(some) for split, some in names.items()} == {"train": 720, "val": 80, "test": 1200}
    inner = sorted(names["train"] + names["val"])
    assert (inner[0], inner[-1]) == ("vidf1_33_003_f001.png", "vidf1_33_006_f200.png")
    assert (inner[0], inner[-1]) == (frame_name(601), frame_name(1400))
    assert (names["test"][599], names["test"][600]) == ("vidf1_33_002_f200.png", "vidf1_33_007_f001.png")


def test_only_the_walkway_is_shown_and_counted(root: Path) -> None:
    test_set = UCSDPedestrian(data_root=root).dataset("test")
    test_set.records = test_set.records[:2]
    sample = test_set[0]
    points = FABRICATED["points_of"](0, (158, 238), count=12)
    on_it = points[points[:, 0] < 119]
    assert 0 < len(on_it) < 12
    assert sample.points.numpy() == pytest.approx(on_it)
    assert test_set.counts()[0] == len(on_it)
    assert test_set.dropped() == 0
    assert int(sample.image[..., 119:].max()) == 0
    assert int(sample.image[..., :119].min()) >= 1


def test_frames_are_enlarged_by_four_and_widths_are_those_of_the_large_ones(root: Path) -> None:
    plain, large = (UCSDPedestrian(data_root=root, resize=resize).dataset("test")[0] for resize in (None, "csrnet"))
    assert large.size == (632, 952)
    assert large.points.numpy() == pytest.approx((plain.points * 4).numpy())
    assert large.sigma.eq(3).all()


def test_both_releases_of_the_labels_are_read(root: Path, tmp_path: Path) -> None:
    nested = UCSDPedestrian(data_root=FABRICATED["ucsd_tree"](tmp_path, nested=True)).dataset("test")
    assert nested[0].points.tolist() == UCSDPedestrian(data_root=root).dataset("test")[0].points.tolist()


def test_the_walkway_of_another_camera_is_refused(tmp_path: Path) -> None:
    FABRICATED["ucsd_tree"](tmp_path)
    FABRICATED["picture"](tmp_path / "vidf" / "vidf1_33_000.y" / "vidf1_33_000_f002.png", [[5, 5]], (100, 100))
    with pytest.raises(AnnotationError, match=r"its region is \[158, 238\], the picture \[100, 100\]"):
        UCSDPedestrian(data_root=tmp_path).dataset("test")[1]


def test_a_lost_region_is_named(tmp_path: Path) -> None:
    FABRICATED["ucsd_tree"](tmp_path)
    (tmp_path / "vidf-cvpr" / "vidf1_33_roi_mainwalkway.mat").unlink()
    with pytest.raises(DataError, match=r"the first is vidf-cvpr/vidf1_33_roi_mainwalkway\.mat"):
        UCSDPedestrian(data_root=tmp_path).setup("test")
