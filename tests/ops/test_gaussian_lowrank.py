"""The shape basis: its ranks are those found by a singular value decomposition, and displaced banks have none."""

import pytest
import torch
from torch import Tensor

from dotally.ops import gaussian_conv2d
from dotally.ops.gaussian_lowrank import centred, gaussian_conv2d_lowrank, shape_basis
from dotally.ops.gaussian_taps import axis_values

LEVELS = (0.10, 0.05, 0.01, 0.001)


def ranks(bank: Tensor) -> list[int]:
    """Return how many singular directions leave at most each relative Frobenius error."""
    flat = bank.flatten(1)
    energy = torch.linalg.eigvalsh(flat.T @ flat).clamp(min=0).cumsum(0).flip(0)
    left = (torch.cat([energy, energy.new_zeros(1)]) / energy[0]).sqrt()
    return [int((left > level).sum()) for level in LEVELS]


@pytest.mark.parametrize(("widest", "expected"), [(1.0, [2, 2, 3, 4]), (2.0, [3, 3, 4, 6]), (4.0, [3, 4, 6, 8])])
def test_centred_gaussians_have_the_tabled_ranks(widest: float, expected: list[int]) -> None:
    torch.manual_seed(0)
    sigma = 0.5 + (widest - 0.5) * torch.rand(1024, dtype=torch.float64)
    assert ranks(centred(sigma, widest)) == expected


# specs of GauNet, section 4.4 (b): largest offset, widths, side of the window, directions; the last two rows are what
# is left of an offset after its whole pixels
@pytest.mark.parametrize(
    ("reach", "widths", "side", "expected"),
    [
        (1.0, (0.5, 0.5), 7, [9, 9, 18, 21]),
        (1.0, (1.0, 1.0), 9, [6, 7, 12, 19]),
        (2.0, (0.5, 0.5), 9, [23, 25, 36, 45]),
        (2.0, (1.0, 1.0), 11, [12, 16, 26, 42]),
        (4.0, (0.5, 0.5), 13, [74, 79, 93, 117]),
        (4.0, (1.0, 1.0), 15, [34, 45, 72, 105]),
        (4.0, (2.0, 2.0), 21, [12, 16, 26, 43]),
        (4.0, (0.5, 2.0), 21, [70, 86, 117, 159]),
        (8.0, (1.0, 1.0), 23, [111, 147, 230, 316]),
        (0.5, (0.5, 0.5), 7, [5, 6, 9, 11]),
        (0.5, (1.0, 1.0), 11, [3, 4, 6, 11]),
    ],
)
def test_displaced_gaussians_have_the_tabled_ranks_which_are_not_low(
    reach: float, widths: tuple[float, float], side: int, expected: list[int]
) -> None:
    torch.manual_seed(0)
    offsets = (torch.rand(4096, 2, dtype=torch.float64) * 2 - 1) * reach
    sigma = widths[0] + (widths[1] - widths[0]) * torch.rand(4096, dtype=torch.float64)
    window = {"max_offset": reach, "max_sigma": (side // 2 - reach) / 4, "shift": "exact", "normalize": "sum"}
    across, down = (axis_values(offsets[:, a], sigma, **window) for a in (0, 1))
    assert across.shape[-1] == side
    found = ranks(down.unsqueeze(-1) * across.unsqueeze(-2))
    assert found == pytest.approx(expected, rel=0.02, abs=1)  # other draws of the 4096


def test_turned_gaussians_with_two_widths_need_more_directions() -> None:
    torch.manual_seed(0)
    y, x = torch.meshgrid(*[torch.arange(-6.0, 7.0, dtype=torch.float64)] * 2, indexing="ij")
    turn = torch.rand(4096, 1, 1, dtype=torch.float64) * torch.pi
    first, second = 0.5 + 1.5 * torch.rand(2, 4096, 1, 1, dtype=torch.float64)
    along, beside = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    bank = torch.exp(-((along / first).square() + (beside / second).square()) / 2)
    assert ranks(bank / bank.sum(dim=(1, 2), keepdim=True)) == pytest.approx([6, 9, 20, 37], abs=1)


def test_shapes_for_widths_up_to_four_serve_the_narrowest_badly() -> None:
    bank = centred(torch.linspace(0.5, 4, 1024, dtype=torch.float64), 3.0).flatten(1)  # a side of 25
    bank = bank / bank.norm(dim=1, keepdim=True)
    shapes = torch.linalg.svd(bank, full_matrices=False).Vh
    errors = [float((bank[0] - shapes[:r].T @ (shapes[:r] @ bank[0])).norm()) for r in (3, 4, 5, 6)]
    assert errors == pytest.approx([0.29, 0.12, 0.05, 0.02], abs=0.015)


@pytest.mark.parametrize(("rank", "error"), [(3, 0.05), (4, 0.01)])
def test_three_or_four_shapes_serve_widths_from_half_a_pixel_to_two(rank: int, error: float) -> None:
    torch.manual_seed(1)
    sigma = 0.5 + 1.5 * torch.rand(512, dtype=torch.float64)
    basis, bank = shape_basis(rank, dtype=torch.float64), centred(sigma, 2.0)
    rebuilt = torch.einsum("nr,rvu->nvu", basis.coefficients(sigma), basis.shapes)
    assert float((rebuilt - bank).norm() / bank.norm()) <= error


def test_the_basis_is_orthonormal_and_its_coefficients_are_differentiable() -> None:
    basis = shape_basis(4, dtype=torch.float64)
    flat = basis.shapes.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(4, dtype=torch.float64))
    sigma = torch.tensor([0.6, 1.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(basis.coefficients, sigma)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_low_rank_convolution_approaches_the_bilinear_one_with_the_rank(stride: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 11, 12, dtype=torch.float64), torch.randn(4, 3, 5, dtype=torch.float64)
    mu = torch.rand(5, 2, dtype=torch.float64) * 4 - 2
    sigma, bias = torch.linspace(0.5, 2, 5, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    full = gaussian_conv2d(x, weight, mu, sigma, bias, max_offset=2, shift="bilinear", stride=stride)
    for rank, error in ((3, 0.1), (4, 0.02), (9, 1e-4)):
        basis = shape_basis(rank, dtype=torch.float64)
        y = gaussian_conv2d_lowrank(x, weight, mu, sigma, bias, basis=basis, max_offset=2, stride=stride)
        assert float((y - full).norm() / full.norm()) < error


def test_autocast_lowers_the_pictures_but_not_places_and_widths() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(1, 3, 9, 8), torch.randn(4, 3, 5), torch.randn(4)
    mu, sigma = (torch.rand(5, 2) * 4 - 2).requires_grad_(), torch.linspace(0.5, 2, 5).requires_grad_()
    how = {"basis": shape_basis(3), "max_offset": 2}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = gaussian_conv2d_lowrank(x, weight, mu, sigma, bias, **how)
    lowered = gaussian_conv2d_lowrank(x.bfloat16(), weight.bfloat16(), mu, sigma, bias.bfloat16(), **how)
    torch.testing.assert_close(y, lowered, rtol=0, atol=0)
    ours, theirs = (torch.autograd.grad(out.sum(), (mu, sigma)) for out in (y, lowered))
    assert [g.dtype for g in ours] == [torch.float32] * 2
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_autocast_leaves_float64_alone() -> None:
    torch.manual_seed(0)
    x, weight, mu = (torch.randn(*shape, dtype=torch.float64) for shape in ((1, 3, 9, 8), (4, 3, 5), (5, 2)))
    arguments, how = (x, weight, mu.tanh(), torch.linspace(0.5, 2, 5)), {"basis": shape_basis(3), "max_offset": 2}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = gaussian_conv2d_lowrank(*arguments, **how)
    assert y.dtype == torch.float64
    torch.testing.assert_close(y, gaussian_conv2d_lowrank(*arguments, **how), rtol=0, atol=0)


def test_impossible_bases_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rank must lie in 1..9 for max_sigma = 2, got 10"):
        shape_basis(10)
    with pytest.raises(ValueError, match="0 < min_sigma < max_sigma, got 2 and 1"):
        shape_basis(2, min_sigma=2, max_sigma=1)
