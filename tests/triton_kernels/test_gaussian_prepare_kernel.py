"""Taps, displacements and packed weights of one launch each, against the reference's plain PyTorch."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dotally.ops.gaussian_taps import axis_taps
from triton_kernels import gaussian_conv, gaussian_prepare

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def prepared(mu: Tensor, sigma: Tensor, device: torch.device, **changed: Any) -> gaussian_prepare.Prepared:
    how: dict[str, Any] = {"radius": 3, "columns": 40, "max_offset": 2.5, "normalize": "sum", "step": (1, 1)}
    return gaussian_prepare.prepare(mu.to(device), sigma.to(device), **(how | changed))


# the narrowest window, an odd one, the widest; widths that leave taps of zero, and wide ones
@pytest.mark.parametrize(("radius", "sigma"), [(1, 0.05), (3, 0.7), (12, 0.2), (12, 3.0)])
@pytest.mark.parametrize("normalize", ["sum", "analytic", "none"])
def test_taps_and_their_slopes_are_those_of_the_reference(
    radius: int, sigma: float, normalize: str, device: torch.device
) -> None:
    found = prepared(torch.zeros(1, 2), torch.tensor(sigma), device, radius=radius, normalize=normalize)
    width = torch.tensor(sigma).double()
    window: dict[str, Any] = {"max_offset": 0, "max_sigma": radius / 4, "shift": "exact", "normalize": normalize}
    value, by_mu, by_sigma = axis_taps(torch.zeros_like(width), width, grad_mode="exact", **window)
    expected = {
        "blur": [(value, value)],
        "by_sigma": [(by_sigma, value), (value, by_sigma)],
        "by_x": [(value, by_mu)],
        "by_y": [(by_mu, value)],
    }
    for name, terms in expected.items():
        ours, theirs = getattr(found, name).cpu().double(), torch.stack([torch.stack(term) for term in terms])
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-12)
        assert getattr(found, name).data_ptr() % 16 == 0  # else the blur would be compiled twice
    assert torch.equal(found.blur[0, 0].cpu() == 0, value == 0)
    assert torch.equal(found.blur, found.blur.flip(2))  # its own adjoint


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("units", [1, 3, 17])
def test_displacements_are_whole_cells_and_fractions_both_ways(
    units: int, dtype: torch.dtype, device: torch.device
) -> None:
    mu = ((torch.rand(units, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1) * 2.5).to(dtype)
    mu[0] = torch.tensor([-2.0, 2.5])  # whole, and the largest
    found = prepared(mu, torch.tensor(0.5), device, step=(3, 2))
    for way, sign in ((found.there, 1), (found.back, -1)):
        signed = sign * mu.float()
        whole = signed.floor()
        assert torch.equal(way.offset.cpu(), (whole[:, 1] * 3 * 40 + whole[:, 0] * 2).int())
        assert torch.equal(way.fraction.cpu(), (signed - whole).flip(1))
        assert way.offset.data_ptr() % 16 == way.fraction.data_ptr() % 16 == 0
        assert way.step == (3, 2)


def test_no_displacement_leaves_the_plane_and_nan_stays_visible(device: torch.device) -> None:
    mu = torch.tensor([[1e9, -1e9], [math.inf, -math.inf], [math.nan, 1.0]])
    for way in (prepared(mu, torch.tensor(0.5), device).there, prepared(mu, torch.tensor(0.5), device).back):
        assert way.offset.abs().max() <= 3 * 40 + 3
        assert way.fraction[:2].isfinite().all()
        assert way.fraction[2].isnan().tolist() == [False, True]


@pytest.mark.filterwarnings("ignore:.*encountered in divide:RuntimeWarning")
@pytest.mark.parametrize("sigma", [0.0, math.nan])
def test_a_width_that_is_no_width_gives_nan(sigma: float, device: torch.device) -> None:
    assert prepared(torch.zeros(1, 2), torch.tensor(sigma), device).blur.isnan().any()


def test_two_preparations_are_bitwise_equal(device: torch.device) -> None:
    mu = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))
    one, two = (prepared(mu, torch.tensor(0.6), device) for _ in range(2))
    assert torch.equal(one.blur, two.blur)
    assert torch.equal(one.by_sigma, two.by_sigma)
    assert torch.equal(one.back.fraction, two.back.fraction)


# below a block, a block and one more; K odd; as the backward pass reads it too: transposed, and channels first
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", [(1, 3, 1), (64, 16, 4), (65, 130, 3)])
@pytest.mark.parametrize("channels_last", [True, False, None])
@pytest.mark.parametrize("swapped", [False, True])
def test_weights_are_cast_transposed_and_padded_with_zeros(
    dtype: torch.dtype, shape: tuple[int, ...], channels_last: bool | None, swapped: bool, device: torch.device
) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weight = weight.transpose(0, 1) if swapped else weight
    outputs, channels, _ = weight.shape
    found = gaussian_prepare.pack(weight.to(device), dtype, precision="ieee", channels_last=channels_last).cpu()
    sides = (0, gaussian_conv.padded(outputs) - outputs, 0, gaussian_conv.padded(channels) - channels)
    expected = torch.nn.functional.pad(weight.to(dtype).permute(2, 1, 0), sides)
    last = dtype == torch.float32 if channels_last is None else channels_last
    assert torch.equal(found, expected.transpose(1, 2) if last else expected)


def bits(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64).to(torch.int32).view(torch.float32)


def test_tf32_rounds_to_ten_bits_and_keeps_what_is_no_number(device: torch.device) -> None:
    exact, below, tie, above = 0x3F802000, 0x3F802FFF, 0x3F803000, 0x3F803001
    found = gaussian_prepare.rounded(bits(exact, below, tie, above, 1 << 31).to(device), precision="tf32").cpu()
    assert torch.equal(found, bits(exact, exact, 0x3F804000, 0x3F804000, 1 << 31))
    carried = gaussian_prepare.rounded(bits(0xBFFFFFFF, 0x7F800000, 0xFF800000).to(device), precision="tf32").cpu()
    assert torch.equal(carried, bits(0xC0000000, 0x7F800000, 0xFF800000))
    # a GPU's NaN, the usual one, and both with a sign
    nan = bits(0x7FFFFFFF, 0x7FC00000, 0xFFFFFFFF, 0xFFC00000)
    assert gaussian_prepare.rounded(nan.to(device), precision="tf32").isnan().all()
    weight = torch.stack([nan, bits(below, tie, above, 0x7F800000)])[:, None]
    packed = gaussian_prepare.pack(weight.to(device), torch.float32, precision="tf32").cpu()
    assert packed[:, 0, 0].isnan().all()
    assert torch.equal(packed[:, 1, 0], bits(exact, 0x3F804000, 0x3F804000, 0x7F800000))


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, "ieee"), (torch.float16, "tf32")])
def test_other_products_take_what_they_are_given(dtype: torch.dtype, precision: str, device: torch.device) -> None:
    x = torch.randn(2, 3, 1, generator=torch.Generator().manual_seed(0)).to(dtype).to(device)
    assert gaussian_prepare.rounded(x, precision=precision) is x
    packed = gaussian_prepare.pack(x, dtype, precision=precision, channels_last=True)
    assert torch.equal(packed[0, :2, :3], x[..., 0])
