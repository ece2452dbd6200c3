"""Pictures decoded at a fraction of their size are the same pictures, with the same points; others are left alone."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dotally.data import UCFQNRF, WorldExpo10
from dotally.data.reduced import open_reduced

CROWDS = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))


def gradient(height: int, width: int) -> Image.Image:
    """A smooth picture, with nothing that another way of shrinking would show differently."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 90), np.cos(y / 70), np.sin((x + y) / 110)], axis=2)
    return Image.fromarray((127 + 100 * waves).astype(np.uint8))


def test_draft_changes_pixels_a_little_and_points_not_at_all(tmp_path: Path) -> None:
    size = (1200, 1600)
    base = CROWDS["ucf_qnrf_tree"](tmp_path, train=3, test=1, size=size)
    for path in base.rglob("*.jpg"):
        path.unlink()  # a hard link may join them
        gradient(*size).save(path, quality=95)
    for options in ({"longest_side": 200}, {"longest_side": 333, "outside": "clip"}):
        exact, fast = (UCFQNRF(data_root=tmp_path, draft=draft, **options).dataset("test") for draft in (False, True))
        one, other = exact.load(0), fast.load(0)
        assert one.size == other.size
        torch.testing.assert_close((one.points, one.sigma), (other.points, other.sigma), rtol=1e-5, atol=1e-3)
        assert not torch.equal(one.image, other.image)
        assert (one.image.float() - other.image.float()).abs().mean() < 1


def test_where_it_would_not_be_safe_nothing_is_reduced(tmp_path: Path) -> None:
    whole, wanted = gradient(800, 640), (100, 80)
    whole.save(tmp_path / "good.jpg")
    whole.save(tmp_path / "other.png")
    whole.convert("CMYK").save(tmp_path / "cmyk.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    whole.save(tmp_path / "turned.jpg", exif=turned)
    (tmp_path / "half.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:3000])
    (tmp_path / "text.jpg").write_text("no picture")
    assert open_reduced(tmp_path / "good.jpg", wanted).shape == (200, 160, 3)
    for name in ("other.png", "cmyk.jpg", "turned.jpg", "half.jpg", "text.jpg", "absent.jpg"):
        assert open_reduced(tmp_path / name, wanted) is None
    assert open_reduced(tmp_path / "good.jpg", (401, 320)) is None
    assert open_reduced(tmp_path / "good.jpg", wanted, max_megapixels=0.1) is None


def test_grey_pictures_are_repeated(tmp_path: Path) -> None:
    gradient(640, 640).convert("L").save(tmp_path / "grey.jpg")
    found = open_reduced(tmp_path / "grey.jpg", (100, 100))
    assert found.shape == (160, 160, 3) or found.shape == (320, 320, 3)
    assert (found[..., 0] == found[..., 2]).all()


@pytest.mark.parametrize("size", [(801, 643), (1001, 1607)])
def test_sides_that_are_no_multiples_move_no_pixel_by_much(size: tuple[int, int], tmp_path: Path) -> None:
    gradient(*size).save(tmp_path / "odd.jpg")
    wanted = (size[0] // 16, size[1] // 16)
    found = open_reduced(tmp_path / "odd.jpg", wanted)
    for side, left, goal in zip(size, found.shape, wanted, strict=False):
        scale = round(side / left)
        assert (left * scale - side) / side * goal <= 0.25


def test_pictures_of_which_a_region_counts_are_decoded_whole(tmp_path: Path) -> None:
    CROWDS["world_expo_tree"](tmp_path, train_scenes=3)
    exact, fast = (WorldExpo10(data_root=tmp_path, longest_side=20, draft=draft) for draft in (False, True))
    assert torch.equal(exact.dataset("test").load(0).image, fast.dataset("test").load(0).image)
