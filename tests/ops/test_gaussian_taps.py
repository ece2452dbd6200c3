"""Rows of taps: the two shifts apart by what was measured in float64, derivatives in closed form, no subnormals."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dotally.ops.gaussian_dense import dense_kernel
from dotally.ops.gaussian_taps import axis_taps, axis_values, blur_taps, half_width, shift_taps


def kernels(offsets: Tensor, sigma: float, shift: str) -> Tensor:
    """Return ``[N, k, k]`` Gaussians displaced by ``offsets [N, 2]``, both shifts in one window."""
    window: dict[str, Any] = {"max_offset": 1.0, "max_sigma": 2.0, "shift": shift, "normalize": "sum"}
    across, down = (axis_values(offsets[:, a], torch.tensor(sigma).double(), **window) for a in (0, 1))
    spare = half_width(1.0, 2.0, "bilinear") - across.shape[-1] // 2
    across, down = (torch.nn.functional.pad(row, (spare, spare)) for row in (across, down))
    return down.unsqueeze(-1) * across.unsqueeze(-2)


@pytest.mark.parametrize(
    ("sigma", "mean", "worst"),
    [(0.5, 0.178, 0.207), (0.7, 0.176, 0.258), (1.0, 0.107, 0.161), (1.5, 0.050, 0.075), (2.0, 0.029, 0.043)],
)
def test_a_bilinear_shift_is_as_far_from_the_exact_one_as_tabled(sigma: float, mean: float, worst: float) -> None:
    # the table does not say which offsets its mean is over; twentieths of a pixel with both ends give its digits,
    # a mean over the whole pixel without counting whole offsets twice is 4 % higher (0.186 at sigma 0.5)
    fraction = torch.linspace(0, 1, 21).double()
    offsets = torch.cartesian_prod(fraction, fraction)
    exact, bilinear = kernels(offsets, sigma, "exact"), kernels(offsets, sigma, "bilinear")
    relative = (bilinear - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    assert float(relative.mean()) == pytest.approx(mean, abs=0.001)
    half = torch.full((1, 2), 0.5).double()
    difference = kernels(half, sigma, "bilinear") - kernels(half, sigma, "exact")
    assert float(difference.norm() / kernels(half, sigma, "exact").norm()) == pytest.approx(worst, abs=0.001)


def test_the_peak_of_a_bilinear_shift_is_a_sixth_too_low_at_half_a_pixel() -> None:
    half = torch.full((1, 2), 0.5).double()
    peaks = [float(kernels(half, 0.5, shift).max()) for shift in ("bilinear", "exact")]
    assert peaks[0] / peaks[1] == pytest.approx(0.83, abs=0.01)


@pytest.mark.parametrize("normalize", ["sum", "analytic", "none"])
@pytest.mark.parametrize("shift", ["exact", "bilinear"])
def test_closed_forms_are_the_derivatives(shift: str, normalize: str) -> None:
    torch.manual_seed(0)
    offset = (torch.rand(6, dtype=torch.float64) * 4 - 2).requires_grad_()
    sigma = (torch.rand(6, dtype=torch.float64) + 0.2).requires_grad_()
    window: dict[str, Any] = {"max_offset": 2.0, "max_sigma": 1.2, "shift": shift, "normalize": normalize}
    value = axis_values(offset, sigma, **window)
    taps = axis_taps(offset.detach(), sigma.detach(), grad_mode="exact", **window)
    torch.testing.assert_close(value, taps.value)
    upstream = torch.randn_like(value)
    by_mu, by_sigma = torch.autograd.grad(value, (offset, sigma), upstream)
    torch.testing.assert_close((upstream * taps.by_mu).sum(-1), by_mu, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close((upstream * taps.by_sigma).sum(-1), by_sigma, rtol=1e-10, atol=1e-12)


def test_a_bilinear_row_is_a_blur_then_two_weights() -> None:
    offset, sigma = torch.tensor([1.3, -2.0, 2.0]).double(), torch.tensor(0.6).double()
    row = axis_values(offset, sigma, max_offset=2.0, max_sigma=1.0, shift="bilinear", normalize="sum")
    blur, _ = blur_taps(sigma, max_sigma=1.0, normalize="sum")
    splat, _ = shift_taps(offset, max_offset=2.0)
    composed = torch.stack(
        [torch.nn.functional.conv1d(s.view(1, 1, -1), blur.view(1, 1, -1), padding=8)[0, 0] for s in splat]
    )
    torch.testing.assert_close(row, composed)
    assert (splat != 0).sum(dim=1).tolist() == [2, 1, 1]


def test_no_tap_of_a_dense_kernel_is_subnormal() -> None:
    offset = torch.tensor([[-4.0], [0.3], [3.7]])
    for shift in ("exact", "bilinear"):
        row = axis_values(offset, torch.tensor(0.3), max_offset=4.0, max_sigma=2.0, shift=shift, normalize="sum")
        kernel = dense_kernel(torch.ones(3, 1, 1), row[:, None], row[:, None]).abs()
        assert not ((kernel > 0) & (kernel < 1e-30)).any()
        torch.testing.assert_close(kernel.sum(dim=(1, 2, 3)), torch.ones(3))
