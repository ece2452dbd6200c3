"""The published CSRNet target, against its literal loop over scipy's filter and against OpenCV."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from dotally.data.official_target import official_density, official_target


def dot_map(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """As published: truncated, checked against the upper bound only, one per pixel."""
    dots = np.zeros(size)
    for x, y in points:
        if int(y) < size[0] and int(x) < size[1]:
            dots[int(y), int(x)] = 1
    return dots


def published_loop(dots: NDArray[np.float64]) -> NDArray[np.float32]:
    """As published for part A: one filter call over the whole picture per head; more than three heads, or one."""
    rows, columns = np.nonzero(dots)
    heads = np.stack([columns, rows], axis=1)
    total = np.zeros(dots.shape, np.float32)
    for (x, y), near in zip(heads, KDTree(heads).query(heads, k=4)[0], strict=True):
        one = np.zeros(dots.shape, np.float32)
        one[y, x] = 1
        sigma = near[1:].sum() * 0.1 if len(heads) > 1 else np.mean(dots.shape) / 4
        total += gaussian_filter(one, sigma, mode="constant")
    return total


def crowd(seed: int, heads: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """Some heads lie outside the picture, by less than its side; some share a pixel."""
    points = np.random.default_rng(seed).uniform(-0.3, 1.2, (heads, 2)) * (size[1], size[0])
    return np.concatenate([points, points[:3] + 1e-3, [[-0.5, 3.7], [2.2, -0.01], [size[1], 1.0]]])


@pytest.mark.parametrize("size", [(32, 47), (64, 40)])
@pytest.mark.parametrize("heads", [4, 30, 200])
def test_part_a_equals_the_published_loop(heads: int, size: tuple[int, int]) -> None:
    points = crowd(heads, heads, size)
    expected = published_loop(dot_map(points, size))
    np.testing.assert_allclose(official_density(points, size, "adaptive").numpy(), expected, atol=1e-6)


def test_a_lone_head_of_part_a_is_as_wide_as_a_quarter_of_the_picture() -> None:
    points = np.array([[10.9, 20.2]])
    expected = published_loop(dot_map(points, (40, 60)))
    density = official_density(points, (40, 60), "adaptive")
    np.testing.assert_allclose(density.numpy(), expected, atol=1e-6)
    assert density.sum() < 0.9  # the published rule loses this mass


@pytest.mark.parametrize("heads", [2, 3])
def test_two_or_three_heads_use_the_distances_that_exist(heads: int) -> None:
    points = np.array([[20.0, 20.0], [30.0, 20.0], [20.0, 30.0]])[:heads]
    density = official_density(points, (64, 64), "adaptive")
    assert density[20, 20] == density.max()
    # the mean distance is 10 for two heads; 10 for the corner of three and 12.07 for the others
    expected = [3.0, 3.0] if heads == 2 else [3.0, *[0.15 * (10 + 200**0.5)] * 2]
    dots = np.eye(1, 64 * 64, 20 * 64 + 20).reshape(64, 64)
    total = sum(
        np.roll(gaussian_filter(dots, sigma, mode="constant"), (int(y) - 20, int(x) - 20), (0, 1))
        for sigma, (x, y) in zip(expected, points, strict=True)
    )
    np.testing.assert_allclose(density.numpy(), total, atol=1e-6)


def test_part_b_is_one_filter_with_reflected_borders() -> None:
    size = (48, 70)
    points = crowd(1, 30, size)
    dots = dot_map(points, size)
    density = official_density(points, size, 15.0)
    np.testing.assert_allclose(density.numpy(), gaussian_filter(dots, 15), atol=1e-6)
    assert float(density.sum()) == pytest.approx(dots.sum(), rel=1e-5)


@pytest.mark.parametrize("sigma", ["adaptive", 15.0])
def test_an_empty_picture_has_an_empty_map(sigma: float) -> None:
    for points in (np.zeros((0, 2)), np.array([[-61.0, 3.0], [3.0, 900.0]])):
        density = official_density(points, (40, 60), sigma)
        assert density.shape == (40, 60)
        assert density.dtype == torch.float32
        assert not density.any()


# cv2.resize(d, (w // 8, h // 8), interpolation=cv2.INTER_CUBIC) * 64 with opencv-python-headless 5.0.0, where
# d[y, x] = ((7 * y + 13 * x + x * y % 11) % 29) / 29 in float32
OPENCV = {
    (16, 24): [[39.3836212, 36.5862083, 34.7629318], [23.6551743, 29.4245720, 27.0452614]],
    (21, 30): [[31.3747330, 29.7850227, 19.4401951], [27.7195606, 49.9641724, 51.7058220]],
    (17, 9): [[58.2758636], [46.5258636]],
}


@pytest.mark.parametrize("size", list(OPENCV))
def test_the_target_equals_opencv(size: tuple[int, int]) -> None:
    y, x = np.mgrid[: size[0], : size[1]]
    density = torch.from_numpy((((7 * y + 13 * x + x * y % 11) % 29) / 29).astype(np.float32))
    target = official_target(density)
    assert target.dtype == torch.float32
    np.testing.assert_allclose(target.numpy(), [OPENCV[size]], rtol=1e-5)


def test_the_target_keeps_the_mass_of_a_smooth_map_only() -> None:
    density = official_density(np.array([[64.0, 64.0]]), (128, 128), 15.0)
    assert float(official_target(density).sum()) == pytest.approx(1, rel=1e-3)
    # four of every eight rows and columns are looked at, and what is found there counts 64 times its share
    for pixel, mass in ((63, 0.0), (59, 64 * 0.59375**2)):
        dot = torch.zeros(128, 128)
        dot[pixel, pixel] = 1
        assert float(official_target(dot).sum()) == pytest.approx(mass)


def test_a_map_below_one_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="7x20 is smaller than one cell of 8x8"):
        official_target(torch.zeros(7, 20))
