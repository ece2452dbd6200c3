"""Density maps: equal to the per-head scipy filter, exact in mass, defined for every odd input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.testing import assert_close

from dotally.ops import (
    adaptive_sigma,
    density_cpu,
    render_density,
    render_density_batch,
    render_density_reference,
)
from dotally.ops.density import Border


def crowd(n: int, size: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(n, 2, generator=generator, dtype=torch.float64) * torch.tensor([size[1], size[0]])
    return points, torch.rand(n, generator=generator, dtype=torch.float64) * 9


def scipy_loop(points: Tensor, sigma: Tensor, size: tuple[int, int]) -> Tensor:
    """Filter one full-size picture per head, as the published codes do."""
    total = np.zeros(size)
    for (x, y), s in zip(points.tolist(), sigma.tolist(), strict=True):
        one = np.zeros(size)
        one[int(y), int(x)] = 1
        total += gaussian_filter(one, s, mode="constant")
    return torch.from_numpy(total)


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 129), (40, 250)])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 30])
def test_lose_equals_one_scipy_filter_per_head(n: int, size: tuple[int, int]) -> None:
    points, sigma = crowd(n, size)
    sigma = sigma.clamp(min=0.05)
    assert_close(render_density(points, sigma, size, border="lose"), scipy_loop(points, sigma, size))


def test_awkward_heads_equal_scipy_too() -> None:
    size = (50, 70)
    points = torch.tensor([[0, 0], [69.9, 49.9], [0, 49], [35, 25], [35, 25], [35.9, 25.9]], dtype=torch.float64)
    sigma = torch.tensor([5, 3, 0.05, 2, 2, 90], dtype=torch.float64)
    assert_close(render_density(points, sigma, size, border="lose"), scipy_loop(points, sigma, size))


@pytest.mark.parametrize("stride", [1, 2, 7, 8])
@pytest.mark.parametrize("border", ["lose", "renormalize"])
def test_cpu_equals_the_reference_at_every_stride(stride: int, border: str) -> None:
    points, sigma = crowd(40, (99, 131))
    args = (points, sigma, (99, 131))
    expected = render_density_reference(*args, stride=stride, border=border)  # type: ignore[arg-type]
    assert_close(render_density(*args, stride=stride, border=border), expected)  # type: ignore[arg-type]


def test_stride_is_the_exact_sum_of_the_padded_map() -> None:
    points, sigma = crowd(20, (30, 45))
    full = torch.nn.functional.pad(render_density(points, sigma, (30, 45)), (0, 3, 0, 2))
    cells = full.reshape(4, 8, 6, 8).sum(dim=(1, 3))
    assert_close(render_density(points, sigma, (30, 45), stride=8), cells)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 40),
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    stride=st.sampled_from([1, 4, 8]),
    seed=st.integers(0, 2**16),
)
def test_renormalized_sum_is_the_number_of_heads(n: int, height: int, width: int, stride: int, seed: int) -> None:
    points, sigma = crowd(n, (height, width), seed)
    density = render_density(points.float(), sigma.float(), (height, width), stride=stride)
    # rounding to float32 can move a head that sits on the last pixel's far edge out of the picture
    inside = (points.float() < torch.tensor([width, height])).all(dim=1).sum()
    assert_close(density.sum(), inside.float(), atol=1e-4, rtol=1e-6)


def test_heads_outside_are_dropped() -> None:
    points = torch.tensor([[-0.1, 5.0], [10.0, 5.0], [5.0, -3.0], [5.0, 10.0], [9.99, 9.99]])
    assert_close(render_density(points, 2.0, (10, 10)).sum(), torch.tensor(1.0))


def test_equal_heads_add_up_and_sigma_zero_is_one_pixel() -> None:
    density = render_density(torch.tensor([[3.7, 1.2], [3.7, 1.2]]), 0.0, (4, 6))
    assert density[1, 3] == 2
    assert density.sum() == 2


def test_float32_is_within_rounding_of_float64() -> None:
    points, sigma = crowd(300, (200, 300))
    points = points.float().double()
    exact = render_density(points, sigma, (200, 300))
    assert_close(render_density(points.float(), sigma.float(), (200, 300)).double(), exact, atol=2e-7, rtol=1e-5)


def test_a_batch_equals_its_pictures_and_padding_stays_empty() -> None:
    first, second = crowd(12, (40, 56)), crowd(9, (64, 33), seed=1)
    points, sigma = torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])
    valid = torch.tensor([[40, 56], [64, 33]])
    maps = render_density_batch(points, sigma, [12, 9], (64, 56), stride=8, valid=valid)
    assert_close(maps[0, 0, :5], render_density(*first, (40, 56), stride=8))
    assert_close(maps[1, 0, :, :5], render_density(*second, (64, 33), stride=8))
    assert maps[0, 0, 5:].abs().sum() == 0


def test_memory_is_bounded_by_chunks_without_changing_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    points, sigma = crowd(50, (80, 80))
    whole = render_density(points, sigma, (80, 80))
    monkeypatch.setattr(density_cpu, "MAX_TAPS", 100)
    assert_close(render_density(points, sigma, (80, 80)), whole)


@pytest.mark.parametrize("stride", [1, 8])
@pytest.mark.parametrize("border", ["lose", "renormalize"])
def test_blocks_of_taps_change_no_bit(stride: int, border: Border, monkeypatch: pytest.MonkeyPatch) -> None:
    points, sigma = crowd(50, (80, 200))
    whole = render_density(points.float(), sigma.float(), (80, 200), stride=stride, border=border)
    monkeypatch.setattr(density_cpu, "BLOCK_TAPS", 100)
    assert torch.equal(render_density(points.float(), sigma.float(), (80, 200), stride=stride, border=border), whole)


def test_operator_is_registered_correctly() -> None:
    points, sigma = crowd(5, (20, 30))
    sizes = torch.tensor([[20, 30], [16, 30]])
    arguments = (points, sigma, torch.tensor([3, 2]), sizes, 20, 30, 8, True)
    torch.library.opcheck(torch.ops.dotally.render_density.default, arguments)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"points": torch.zeros(3)}, r"shape \[N, 2\]"),
        ({"points": torch.full((1, 2), float("nan"))}, "finite"),
        ({"sigma": -1.0}, "sigma must be finite and >= 0"),
        ({"sigma": float("inf")}, "sigma must be finite"),
        ({"size": (0, 5)}, "positive"),
        ({"stride": 0}, "positive"),
        ({"border": "reflect"}, "'renormalize' or 'lose'"),
    ],
)
def test_bad_input_is_named(kwargs: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"points": torch.ones(1, 2), "sigma": 1.0, "size": (5, 5), **kwargs}
    with pytest.raises(ValueError, match=message):
        render_density(**arguments)  # type: ignore[arg-type]


def test_counts_must_add_up() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        render_density_batch(torch.ones(3, 2), 1.0, [1, 1], (5, 5))


class TestAdaptiveSigma:
    def test_is_beta_times_the_mean_distance_to_three_neighbours(self) -> None:
        points = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [0.0, -5.0], [100.0, 0.0]])
        assert_close(adaptive_sigma(points)[0], torch.tensor(0.3 * (3 + 4 + 5) / 3))

    def test_few_heads_use_the_neighbours_that_exist(self) -> None:
        assert adaptive_sigma(torch.zeros(0, 2)).shape == (0,)
        assert_close(adaptive_sigma(torch.ones(1, 2)), torch.tensor([15.0]))
        assert_close(adaptive_sigma(torch.tensor([[0.0, 0.0], [6.0, 8.0]])), torch.tensor([3.0, 3.0]))

    def test_coincident_heads_have_sigma_zero(self) -> None:
        assert_close(adaptive_sigma(torch.ones(5, 2)), torch.zeros(5))

    @settings(max_examples=40, deadline=None)
    @given(n=st.integers(0, 30), seed=st.integers(0, 2**16))
    def test_is_always_finite(self, n: int, seed: int) -> None:
        points = torch.randint(0, 4, (n, 2), generator=torch.Generator().manual_seed(seed)).float()
        assert torch.isfinite(adaptive_sigma(points)).all()

    def test_bad_input_is_named(self) -> None:
        with pytest.raises(ValueError, match="k must be at least 1"):
            adaptive_sigma(torch.ones(2, 2), k=0)
        with pytest.raises(ValueError, match="finite"):
            adaptive_sigma(torch.full((2, 2), float("inf")))
