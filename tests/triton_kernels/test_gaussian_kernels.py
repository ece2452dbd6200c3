"""The Gaussian kernels, interpreted (or on a GPU), against plain float64 sums; outputs start as NaN."""

import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from triton_kernels import gaussian_blur, gaussian_conv, gaussian_grad, gaussian_prepare

# relative L2: float32 sums of at most a few thousand terms; float16 rounds the plane, the samples and the result
TOLERANCE = {torch.float32: 1e-6, torch.float16: 5e-4}

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.cpu().double() - expected).norm() / expected.norm())


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_blur(x: Tensor, taps: Tensor, dilation: tuple[int, int], pad: int) -> Tensor:
    """Return ``[B, H + 2 pad, W + 2 pad, C]`` float64."""
    kernel = (taps[:, 0, :, None] * taps[:, 1, None, :]).sum(dim=0).double().expand(x.shape[3], 1, -1, -1)
    reach = [pad + taps.shape[2] // 2 * step for step in dilation]
    planes = x.double().permute(0, 3, 1, 2)
    return F.conv2d(planes, kernel, padding=reach, dilation=dilation, groups=x.shape[3]).permute(0, 2, 3, 1)


# below a tile, a tile, one above; a channel block, one above; steps that differ
@pytest.mark.parametrize(
    ("shape", "dilation", "terms"),
    [((1, 1, 1, 3), (1, 1), 1), ((2, 8, 17, 16), (1, 1), 2), ((1, 9, 5, 65), (3, 2), 1)],
)
def test_blur_equals_the_sum_of_dense_filters_and_its_border_holds_what_it_throws_there(
    shape: tuple[int, ...], dilation: tuple[int, int], terms: int, device: torch.device
) -> None:
    x, taps, pad = normal(*shape), normal(terms, 2, 5, seed=1), 3
    plane = gaussian_blur.blur(x.to(device), taps.to(device), dilation=dilation, pad=pad, channels=128)
    expected = plain_blur(x, taps, dilation, pad)
    rows, columns = expected.shape[1:3]
    assert relative(plane[:, :rows, :columns, : shape[3]], expected) < TOLERANCE[torch.float32]
    assert plane[..., shape[3] :].abs().max() == 0
    assert plane.isfinite().all()


def test_a_cropped_plane_is_zero_outside_the_map(device: torch.device) -> None:
    x, taps = normal(1, 4, 6, 3).to(device), normal(1, 2, 5, seed=1).to(device)
    whole = gaussian_blur.blur(x, taps, dilation=(1, 1), pad=2, channels=16)
    plane = gaussian_blur.blur(x, taps, dilation=(1, 1), pad=2, channels=16, crop=True)
    assert torch.equal(plane[:, 2:6, 2:8], whole[:, 2:6, 2:8])
    plane[:, 2:6, 2:8] = 0
    assert plane.abs().max() == 0


def test_the_blur_with_flipped_taps_is_its_adjoint(device: torch.device) -> None:
    x, upstream, taps = normal(1, 5, 7, 2), normal(1, 5, 7, 2, seed=1), normal(1, 2, 5, seed=2)
    there = gaussian_blur.blur(x.to(device), taps.to(device), dilation=(1, 1), pad=0, channels=16)
    back = gaussian_blur.blur(upstream.to(device), taps.flip(2).to(device), dilation=(1, 1), pad=0, channels=16)
    one = (there[:, :5, :7, :2].cpu().double() * upstream).sum()
    assert one == pytest.approx(float((back[:, :5, :7, :2].cpu().double() * x).sum()), rel=1e-5)


def shifted(plane: Tensor, offset: tuple[int, int], fraction: Tensor, pad: int, size: tuple[int, int]) -> Tensor:
    """Return the bilinear sample ``[B, H, W, C]`` of a float64 plane."""
    total = torch.zeros(1, dtype=torch.float64)
    for y in (0, 1):
        for x in (0, 1):
            share = (fraction[0] if y else 1 - fraction[0]) * (fraction[1] if x else 1 - fraction[1])
            top, left = pad + offset[0] + y, pad + offset[1] + x
            total = total + share * plane[:, top : top + size[0], left : left + size[1]]
    return total


def product(
    dtype: torch.dtype, size: tuple[int, int], inputs: int, outputs: int, device: torch.device
) -> tuple[Tensor, Tensor, gaussian_conv.Displacements, list[Tensor]]:
    """Return a plane, weights, displacements and the float64 samples of the plane at each of three units."""
    pad, offsets = 2, [(-2, 1), (0, 0), (1, -1)]
    rows, columns = -(-size[0] // 8) * 8 + 2 * pad, -(-size[1] // 16) * 16 + 2 * pad
    plane = normal(2, rows, columns, gaussian_conv.padded(inputs)).to(dtype)
    plane[..., inputs:] = 0
    fraction = torch.rand(3, 2, generator=torch.Generator().manual_seed(1))
    cells = torch.tensor([y * columns + x for y, x in offsets], dtype=torch.int32)
    there = gaussian_conv.Displacements(offset=cells.to(device), fraction=fraction.to(device), step=(1, 1))
    samples = [
        shifted(plane.double(), o, f.double(), pad, size)[..., :inputs] for o, f in zip(offsets, fraction, strict=True)
    ]
    return plane.to(device), normal(outputs, inputs, 3, seed=2).to(dtype), there, samples


SIZES = [((1, 1), 3, 1), ((9, 17), 17, 70)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("size", "inputs", "outputs"), SIZES)
def test_the_product_equals_the_sum_over_displaced_planes(
    dtype: torch.dtype, size: tuple[int, int], inputs: int, outputs: int, device: torch.device
) -> None:
    plane, weight, there, samples = product(dtype, size, inputs, outputs, device)
    packed = gaussian_prepare.pack(weight.to(device), dtype, precision="ieee")
    y = gaussian_conv.convolve(plane, packed, there, size=size, pad=2, outputs=outputs, precision="ieee")
    expected = sum(sample @ weight[..., k].double().T for k, sample in enumerate(samples))
    assert relative(y, expected) < TOLERANCE[dtype]  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("size", "inputs", "outputs"), SIZES)
def test_the_weight_gradient_equals_the_samples_times_the_output_gradient(
    dtype: torch.dtype,
    size: tuple[int, int],
    inputs: int,
    outputs: int,
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gaussian_grad, "PROGRAMS", 12)  # several patches to a share, as in a large map
    plane, _, there, samples = product(dtype, size, inputs, outputs, device)
    grad = normal(2, *size, outputs, seed=3).to(dtype)
    found = gaussian_grad.weight_gradient(plane, grad.to(device), there, pad=2, precision="ieee")
    expected = torch.stack([torch.einsum("byxc,byxo->co", sample, grad.double()) for sample in samples])
    assert relative(found[:, :inputs, :outputs], expected) < TOLERANCE[dtype]


def ten_bits(x: Tensor) -> Tensor:
    """Return finite x as TF32 has it, float64: a leading bit and ten more, ties away from zero."""
    mantissa, exponent = torch.frexp(x.double())
    return torch.ldexp(mantissa.sign() * (mantissa.abs() * 2**11 + 0.5).floor(), exponent - 11)


def test_a_tf32_product_takes_rounded_factors(device: torch.device) -> None:
    # tensor cores would cut them, and each product shrink; an interpreted product takes whole float32, and shows it
    plane, weight, there, _ = product(torch.float32, (3, 5), 17, 4, device)
    plane = (plane.cpu() * 4096).round() / 4096  # few bits: the samples are exact, with ties among them
    there.fraction = (there.fraction.cpu() * 8).floor() / 8
    samples = [
        shifted(plane.double(), o, f.double(), 2, (3, 5))[..., :17]
        for o, f in zip([(-2, 1), (0, 0), (1, -1)], there.fraction, strict=True)
    ]
    plane, there.fraction = plane.to(device), there.fraction.to(device)
    grad = normal(2, 3, 5, 4, seed=3)
    packed = gaussian_prepare.pack(weight.to(device), torch.float32, precision="tf32")
    rounded = gaussian_prepare.rounded(grad.to(device), precision="tf32")
    y = gaussian_conv.convolve(plane, packed, there, size=(3, 5), pad=2, outputs=4, precision="tf32")
    dweight = gaussian_grad.weight_gradient(plane, rounded, there, pad=2, precision="tf32")[:, :17, :4]
    for form, low, high in ((ten_bits, 0, 1e-6), (Tensor.double, 5e-5, 5e-4)):
        product_sum = sum(form(sample) @ form(weight[..., k]).T for k, sample in enumerate(samples))
        gradient = torch.stack([torch.einsum("byxc,byxo->co", form(sample), form(grad)) for sample in samples])
        assert low <= relative(y, product_sum) < high  # type: ignore[arg-type]
        assert low <= relative(dweight, gradient) < high


def test_repeated_runs_are_bitwise_equal(device: torch.device) -> None:
    def run() -> tuple[Tensor, Tensor]:
        plane, weight, there, _ = product(torch.float32, (5, 6), 3, 4, device)
        packed = gaussian_prepare.pack(weight.to(device), torch.float32, precision="ieee")
        y = gaussian_conv.convolve(plane, packed, there, size=(5, 6), pad=2, outputs=4, precision="ieee")
        return y, gaussian_grad.weight_gradient(plane, y, there, pad=2, precision="ieee")

    assert all(torch.equal(one, two) for one, two in zip(run(), run(), strict=True))


def test_no_kernel_adds_to_memory_that_others_add_to() -> None:
    # in a free order, which sums of floats feel; an interpreter runs programs one by one, so it cannot show that
    for module in (gaussian_blur, gaussian_conv, gaussian_grad, gaussian_prepare):
        assert "tl.atomic" not in inspect.getsource(module)


def test_channels_are_padded_to_what_a_tile_divides() -> None:
    assert [gaussian_conv.padded(n) for n in (1, 16, 17, 64, 65, 300, 512)] == [16, 16, 32, 64, 128, 320, 512]
    for n in (1, 17, 65, 300, 512):
        for dtype in (torch.float16, torch.float32):
            tile = gaussian_conv.tile_of(512, gaussian_conv.padded(n), dtype=dtype, precision="tf32", small=False)
            assert gaussian_conv.padded(n) % tile.outputs == 0
