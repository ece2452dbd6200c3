"""WorldExpo'10: scenes, regions and frames without anybody in them."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from dotally.data import WorldExpo10
from dotally.data.verify import verify
from dotally.errors import AnnotationError, DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return FABRICATED["world_expo_tree"](tmp_path)


def scenes(data: WorldExpo10, split: str) -> set[str]:
    return {record.name[:6] for record in data.dataset(split).records}  # type: ignore[arg-type]


def test_the_test_scenes_are_numbered_as_in_the_tables(root: Path) -> None:
    for number, scene in enumerate(("104207", "200608", "200702", "202201", "500717"), 1):
        assert scenes(WorldExpo10(number, data_root=root), "test") == {scene}
    assert len(WorldExpo10(data_root=root).dataset("test")) == 10


def test_validation_holds_whole_scenes(root: Path) -> None:
    data = WorldExpo10(data_root=root, val_fraction=0.4)
    train, val = scenes(data, "train"), scenes(data, "val")
    assert (len(train), len(val)) == (3, 2)
    assert not train & val


def test_only_heads_in_the_triangle_count(root: Path) -> None:
    sample = WorldExpo10(1, data_root=root).dataset("test")[0]
    assert sample.points.tolist() == [[5.5, 40.5], [20.5, 30.5]]
    assert sample.sigma.eq(3).all()
    assert sample.image[:, 6, 63].eq(0).all()  # a head is there, out of the region
    assert int(sample.image[:, 40, 5].max()) < 70
    assert int(sample.image[:, 40, 5].min()) >= 1


def test_frames_without_a_head_in_the_region_can_be_dropped(root: Path) -> None:
    kept, dropped = (WorldExpo10(1, data_root=root, empty=empty).dataset("test") for empty in ("keep", "drop"))
    assert kept.counts() == [2, 0]
    assert dropped.counts() == [2]


def test_train_labels_may_lie_beside_the_folders_of_their_scenes(root: Path, tmp_path: Path) -> None:
    flat = FABRICATED["world_expo_tree"](tmp_path / "flat", flat=True)
    for split in ("train", "val"):
        assert (
            WorldExpo10(data_root=flat).dataset(split).counts() == WorldExpo10(data_root=root).dataset(split).counts()
        )


@pytest.mark.parametrize("lost", ["test_label/200608/roi.mat", "train_label/100101/100101_1-00-S00000.mat"])
def test_a_lost_region_or_label_is_named(root: Path, lost: str) -> None:
    (root / lost).unlink()
    with pytest.raises(DataError, match="the first is"):
        WorldExpo10(data_root=root).setup("fit")
    missing = verify("world-expo", [root]).problems["missing"]
    assert [name.split("/")[-1] for name in missing] == [lost.split("/")[-1]]


@pytest.mark.parametrize("corners", [[1.0, 2.0], [1.0, 2.0, np.nan], [1.0, 2.0, 1e12]])
def test_a_region_that_is_no_polygon_in_pixels_is_refused(root: Path, corners: list[float]) -> None:
    savemat(
        root / "test_label" / "104207" / "roi.mat",
        {"maskVerticesXCoordinates": corners, "maskVerticesYCoordinates": corners},
    )
    with pytest.raises(AnnotationError, match=r"roi\.mat: .* the corners of a polygon"):
        WorldExpo10(1, data_root=root).dataset("test").counts()


@pytest.mark.parametrize(("options", "message"), [({"scene": 6}, "1 to 5"), ({"empty": "x"}, "'keep' or 'drop'")])
def test_what_does_not_exist_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldExpo10(**options)  # type: ignore[arg-type]


def test_the_check_counts_each_test_scene_once(root: Path) -> None:
    report = verify("world-expo", [root])
    assert any(line.startswith("all: 20 pictures, 20 heads") for line in report.found), report.render()
    assert "104207: 2 pictures, published are 120" in report.problems["numbers"]
