"""TRANCOS: its lists, its dots and the road that counts, all the way into a batch."""

import runpy
from pathlib import Path

import pytest
import torch
from scipy.io import savemat

from dotally.data import TRANCOS
from dotally.data.verify import verify
from dotally.errors import AnnotationError, DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))
HEIGHT, WIDTH = FABRICATED["SIZE"]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return FABRICATED["trancos_tree"](tmp_path)


def test_the_lists_are_the_authors_and_seed_mixes_the_first_two(base: Path) -> None:
    official, mixed = TRANCOS(data_root=base), TRANCOS(data_root=base, split="seed", val_fraction=0.25)
    assert [len(official.dataset(split)) for split in ("train", "val", "test")] == [4, 4, 4]
    assert [len(mixed.dataset(split)) for split in ("train", "val", "test")] == [6, 2, 4]


def test_only_vehicles_on_the_road_count_and_lie_on_their_squares(base: Path) -> None:
    for sample in TRANCOS(data_root=base).dataset("test"):
        points = FABRICATED["points_of"](int(sample.name[8:14]), count=8)
        assert len(sample.points) == (points[:, 1] // 1 >= HEIGHT // 2).sum()
        column, row = sample.points.long().T
        assert int(row.min()) >= HEIGHT // 2
        assert int(sample.image[:, row, column].max()) < 70
        assert int(sample.image[:, : HEIGHT // 2].max()) == 0


def test_the_check_counts_vehicles_off_the_road_and_pictures_in_no_list(base: Path) -> None:
    assert not any("in no split" in note for note in verify("trancos", [base]).notes)
    dots = [{(x, y) for x, y in FABRICATED["points_of"](n, count=8) // 1} for n in range(1, 13)]
    rows = [y for some in dots for _, y in some]
    off = sum(y < HEIGHT // 2 for y in rows)
    (base / "images" / "image-9-000099.jpg").hardlink_to(base / "images" / "image-1-000001.jpg")
    report = verify("trancos", [base])
    (whole,) = (line for line in report.found if line.startswith("all: "))
    assert whole.endswith(f", {off} more off the region that counts")
    assert f"all: 12 pictures, {len(rows) - off} heads" in whole
    assert any("1 pictures are in no split" in note and "image-9-000099.jpg" in note for note in report.notes)


def test_the_mask_of_a_batch_leaves_out_what_is_off_the_road(base: Path) -> None:
    data = TRANCOS(data_root=base)
    data.setup("test")
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert batch["mask"].shape == batch["density"].shape == (1, 1, HEIGHT // 8, WIDTH // 8)
    assert batch["mask"][..., : HEIGHT // 16, :].eq(0).all()
    assert batch["mask"][..., HEIGHT // 16 :, :].eq(1).all()


def test_the_road_travels_with_random_crops(base: Path) -> None:
    data = TRANCOS(data_root=base, crop=24, batch_size=2)
    data.setup("fit")
    for padded in data.train_dataloader():
        batch = data.on_after_batch_transfer(padded, 0)
        seen = batch["image"].amax(dim=1, keepdim=True).unfold(2, 8, 8).unfold(3, 8, 8).amax(dim=(4, 5)) > 0
        assert torch.equal(batch["mask"].bool(), seen)
        assert sum(batch["count"].tolist()) == len(batch["points"])


def test_with_the_official_target_the_mask_fits_its_map(base: Path) -> None:
    data = TRANCOS(data_root=base, target="official")
    data.setup("test")
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert batch["mask"].shape == batch["density"].shape


def test_shrunken_pictures_keep_their_road(base: Path) -> None:
    sample = TRANCOS(data_root=base, longest_side=WIDTH // 2).dataset("test")[0]
    assert sample.size == (HEIGHT // 2, WIDTH // 2)
    assert int(sample.image[:, : HEIGHT // 4].max()) == 0
    assert int(sample.image[:, HEIGHT // 4 :].min()) >= 1


@pytest.mark.parametrize("suffix", [".jpg", "dots.png", "mask.mat"])
def test_each_lost_file_is_named(base: Path, suffix: str) -> None:
    (base / "images" / f"image-1-000002{suffix}").unlink()
    with pytest.raises(DataError, match=rf"the first is images/image-1-000002{suffix}"):
        TRANCOS(data_root=base).setup("fit")


def test_a_list_that_leaves_its_folder_is_refused(base: Path) -> None:
    (base / "image_sets" / "test.txt").write_text("../../secret.jpg\n")
    with pytest.raises(AnnotationError, match=r"test\.txt: line 1: .* leaves"):
        TRANCOS(data_root=base).setup("test")


def test_a_mask_of_text_is_refused(base: Path) -> None:
    savemat(base / "images" / "image-1-000009mask.mat", {"BW": "road"})
    with pytest.raises(AnnotationError, match=r"000009mask\.mat: BW should hold numbers"):
        TRANCOS(data_root=base).dataset("test").counts()
