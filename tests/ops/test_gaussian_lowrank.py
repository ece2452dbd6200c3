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
    energy = torch.linalg.svdvals(bank.flatten(1)).square().flip(0).cumsum(0).flip(0)
    left = (torch.cat([energy, energy.new_zeros(1)]) / energy[0]).sqrt()
    return [int((left > level).sum()) for level in LEVELS]


@pytest.mark.parametrize(("widest", "expected"), [(1.0, [2, 2, 3, 4]), (2.0, [3, 3, 4, 6]), (4.0, [3, 4, 6, 8])])
def test_centred_gaussians_have_the_tabled_ranks(widest: float, expected: list[int]) -> None:
    torch.manual_seed(0)
    sigma = 0.5 + (widest - 0.5) * torch.rand(1024, dtype=torch.float64)
    assert ranks(centred(sigma, widest)) == expected


def test_displaced_gaussians_have_no_low_rank() -> None:
    torch.manual_seed(0)
    offsets = torch.rand(4096, 2, dtype=torch.float64) * 8 - 4
    sigma = torch.tensor(0.5, dtype=torch.float64)
    across, down = (
        axis_values(offsets[:, a], sigma, max_offset=4.0, max_sigma=0.5, shift="exact", normalize="sum") for a in (0, 1)
    )
    assert ranks(down.unsqueeze(-1) * across.unsqueeze(-2)) == pytest.approx([74, 79, 93, 117], abs=2)


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


def test_impossible_bases_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rank must lie in 1..9 for max_sigma = 2, got 10"):
        shape_basis(10)
    with pytest.raises(ValueError, match="0 < min_sigma < max_sigma, got 2 and 1"):
        shape_basis(2, min_sigma=2, max_sigma=1)
