"""The Gaussian convolution against its definition, and the properties that counting relies on."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from dotally.ops import gaussian_conv2d, gaussian_conv2d_reference

WINDOW = {"max_offset": 2.0, "max_sigma": 1.3}
LEADS = {"layer": (3,), "in": (4, 3), "pair": (5, 4, 3)}
EXECUTIONS = {"exact": ("dense", "separable", "auto"), "bilinear": ("dense", "bank", "auto")}
RELATIVE = {
    torch.float32: 1e-6,
    torch.float16: 5e-4,
    torch.bfloat16: 6e-3,
}  # issue: figures against a float64 reference


def inputs(
    sharing: str = "layer",
    *,
    one_sigma: bool = True,
    size: tuple[int, int] = (7, 9),
    batch: int = 2,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    mu = (torch.rand(*LEADS[sharing], 2, dtype=torch.float64) * 4 - 2).requires_grad_()
    sigma = (torch.rand(() if one_sigma else LEADS[sharing], dtype=torch.float64) + 0.25).requires_grad_()
    x = torch.randn(batch, 4, *size, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(5, 4, 3, dtype=torch.float64).to(dtype).requires_grad_()
    return x, weight, mu, sigma


def gradients(y: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.autograd.grad(y, leaves, upstream.to(y.dtype))


def distance(a: Tensor, b: Tensor) -> float:
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).norm() / b.norm())


CASES = [
    (shift, sharing, one_sigma, execution)
    for shift, sharing, one_sigma in itertools.product(EXECUTIONS, LEADS, (True, False))
    for execution in EXECUTIONS[shift]
    if sharing != "pair" or execution in ("dense", "auto")
]


@pytest.mark.parametrize(("shift", "sharing", "one_sigma", "execution"), CASES)
def test_every_execution_equals_the_definition_in_value_and_gradient(
    shift: Any, sharing: str, one_sigma: bool, execution: Any
) -> None:
    leaves, bias = inputs(sharing, one_sigma=one_sigma), torch.randn(5, dtype=torch.float64)
    for normalize, stride, dilation in (("sum", 1, 1), ("analytic", (1, 2), (2, 1)), ("none", (3, 2), (1, 2))):
        options: dict[str, Any] = {
            "shift": shift,
            "normalize": normalize,
            "stride": stride,
            "dilation": dilation,
            **WINDOW,
        }
        y = gaussian_conv2d(*leaves, bias, execution=execution, **options)
        expected = gaussian_conv2d_reference(*leaves, bias, **options)
        torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-11)
        for ours, theirs in zip(gradients(y, *leaves), gradients(expected, *leaves), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (5, 1), (16, 17), (2, 140)])
@pytest.mark.parametrize("shift", ["exact", "bilinear"])
def test_maps_smaller_than_the_window_and_odd_ones(size: tuple[int, int], shift: Any) -> None:
    leaves = inputs(size=size)
    expected = gaussian_conv2d_reference(*leaves, shift=shift, stride=2, **WINDOW)
    expected_gradients = gradients(expected, *leaves)
    for execution in EXECUTIONS[shift]:
        y = gaussian_conv2d(*leaves, shift=shift, stride=2, execution=execution, **WINDOW)
        torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-11)
        for ours, theirs in zip(gradients(y, *leaves), expected_gradients, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1)])
def test_narrow_gaussians_displaced_past_a_small_map(size: tuple[int, int]) -> None:
    x, weight, _, _ = inputs(size=size)
    mu = torch.tensor([[2.0, -2.0], [-1.9, 0.1], [1.5, 1.9]], dtype=torch.float64, requires_grad=True)
    leaves = x, weight, mu, torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    expected = gaussian_conv2d_reference(*leaves, **WINDOW)
    y = gaussian_conv2d(*leaves, execution="separable", **WINDOW)
    torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-11)
    for ours, theirs in zip(gradients(y, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("batch", "size"), [(0, (5, 6)), (2, (0, 6)), (2, (5, 0))])
@pytest.mark.parametrize("execution", ["dense", "bank"])
def test_nothing_in_gives_nothing_out_and_zero_gradients(batch: int, size: tuple[int, int], execution: Any) -> None:
    leaves = inputs(batch=batch, size=size)
    y = gaussian_conv2d(*leaves, shift="bilinear", stride=2, execution=execution, **WINDOW)
    assert y.shape == (batch, 5, -(-size[0] // 2), -(-size[1] // 2))
    for leaf, gradient in zip(leaves, torch.autograd.grad(y.sum(), leaves), strict=True):
        assert gradient.shape == leaf.shape
        assert not gradient.any()


@pytest.mark.parametrize("execution", ["dense", "bank"])
def test_memory_layout_of_the_input_does_not_matter(execution: Any) -> None:
    x, weight, mu, sigma = (leaf.detach() for leaf in inputs(size=(8, 9)))
    strided = torch.randn(2, 4, 9, 16, dtype=x.dtype).transpose(2, 3)[:, :, ::2]
    strided.copy_(x)
    expected = gaussian_conv2d(x, weight, mu, sigma, shift="bilinear", execution=execution, **WINDOW)
    for other in (strided, x.contiguous(memory_format=torch.channels_last)):
        y = gaussian_conv2d(other, weight, mu, sigma, shift="bilinear", execution=execution, **WINDOW)
        torch.testing.assert_close(y, expected)
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize(("shift", "execution"), [(s, e) for s, names in EXECUTIONS.items() for e in names[:2]])
def test_precision_is_that_of_the_input(dtype: torch.dtype, shift: Any, execution: Any) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 64, 12, 13).to(dtype).requires_grad_()
    weight = torch.randn(32, 64, 4).to(dtype).requires_grad_()
    mu, sigma = (torch.rand(4, 2) * 4 - 2).requires_grad_(), torch.tensor(0.8, requires_grad=True)
    leaves = x, weight, mu, sigma
    y = gaussian_conv2d(*leaves, shift=shift, execution=execution, **WINDOW)
    assert y.dtype == dtype
    upstream = torch.randn(y.shape).to(dtype)
    doubles = [leaf.detach().double().requires_grad_() for leaf in leaves]
    expected = gaussian_conv2d_reference(*doubles, shift=shift, **WINDOW)
    assert distance(y, expected) <= RELATIVE[dtype]
    ours = torch.autograd.grad(y, leaves, upstream)
    theirs = torch.autograd.grad(expected, doubles, upstream.double())
    limits = [RELATIVE[dtype]] * 2 + [1e-5 if dtype == torch.float32 else 4 * RELATIVE[dtype]] * 2
    for name, a, b, leaf, limit in zip(("x", "weight", "mu", "sigma"), ours, theirs, leaves, limits, strict=True):
        assert a.dtype == leaf.dtype
        assert distance(a, b) <= limit, name


def test_the_two_shifts_are_two_functions() -> None:
    leaves = inputs()
    exact, bilinear = (gaussian_conv2d(*leaves, shift=shift, **WINDOW) for shift in ("exact", "bilinear"))
    assert distance(bilinear, exact) > 0.05


@pytest.mark.parametrize("shift", ["exact", "bilinear"])
def test_shared_parameters_equal_repeated_ones(shift: Any) -> None:
    x, weight, mu, sigma = inputs("layer", one_sigma=False)
    shared = gaussian_conv2d(x, weight, mu, sigma, shift=shift, **WINDOW)
    for lead in ((4,), (5, 4)):
        repeated = mu.expand(*lead, 3, 2), sigma.expand(*lead, 3)
        torch.testing.assert_close(gaussian_conv2d(x, weight, *repeated, shift=shift, **WINDOW), shared)


@pytest.mark.parametrize("shift", ["exact", "bilinear"])
def test_mass_is_kept_which_counting_depends_on(shift: Any) -> None:
    x, weight, mu, sigma = inputs()
    padded = torch.nn.functional.pad(x, [9] * 4)  # the whole kernel fits
    y = gaussian_conv2d(padded, weight, mu, sigma, shift=shift, **WINDOW)
    expected = torch.einsum("oik,bihw->bo", weight, x)
    torch.testing.assert_close(y.sum(dim=(2, 3)), expected, rtol=1e-10, atol=1e-10)


def test_a_displacement_reads_the_pixel_it_points_to() -> None:
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 6] = 1  # two to the right of the middle, so mu = (2, 0) brings it there
    y = gaussian_conv2d(
        x, torch.ones(1, 1, 1), torch.tensor([[2.0, 0.0]]), torch.tensor(0.05), shift="bilinear", **WINDOW
    )
    assert int(y.flatten().argmax()) == 4 * 9 + 4


@pytest.mark.parametrize("shift", ["exact", "bilinear"])
def test_adding_a_pixel_to_mu_moves_the_output_by_one(shift: Any) -> None:
    x, weight, _, sigma = (leaf.detach() for leaf in inputs(size=(20, 21)))
    mu = torch.tensor([[0.3, -0.6], [-1.2, 0.4], [0.9, 0.0]], dtype=torch.float64)
    window = {"max_offset": 3.0, "max_sigma": 1.3, "shift": shift, "normalize": "none"}
    here, there = (gaussian_conv2d(x, weight, mu + step, sigma, **window) for step in (0, torch.tensor([1.0, 0.0])))
    inside = slice(8, -8)
    torch.testing.assert_close(there[:, :, inside, 8:-9], here[:, :, inside, 9:-8], rtol=1e-4, atol=1e-4)


def test_the_bilinear_gradient_at_a_whole_pixel_is_the_one_to_the_right() -> None:
    x, weight, _, sigma = inputs()
    for value in (0.0, -2.0, 2.0):  # the bounds too, where a clamped displacement lies: no dead gradient
        mu = torch.full((3, 2), value, dtype=torch.float64, requires_grad=True)
        for execution in ("dense", "bank"):
            leaves = x, weight, mu, sigma
            (at,) = gradients(gaussian_conv2d(*leaves, shift="bilinear", execution=execution, **WINDOW), mu)
            after = (mu.detach() + min(0.5, 2.5 - value) * 1e-3).requires_grad_()
            wide = {"max_offset": 2.9, "max_sigma": 1.3}
            (right,) = gradients(gaussian_conv2d(x, weight, after, sigma, shift="bilinear", **wide), after)
            assert distance(at, right) < 0.01


@pytest.mark.parametrize(("shift", "grad_mode"), [("exact", "exact"), ("bilinear", "exact"), ("bilinear", "dau")])
def test_a_unit_three_pixels_off_finds_its_place_and_width(shift: Any, grad_mode: Any) -> None:
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    blob = torch.exp(-((x - 8) ** 2 + (y - 8) ** 2) / 8)[None, None]
    window: dict[str, Any] = {"max_offset": 4.0, "max_sigma": 2.0, "shift": shift}
    weight, true_mu, true_sigma = torch.ones(1, 1, 1), torch.tensor([[2.3, -1.9]]), torch.tensor(1.6)
    target = gaussian_conv2d(blob, weight, true_mu, true_sigma, **window)
    mu, sigma = torch.zeros(1, 2, requires_grad=True), torch.tensor(0.6, requires_grad=True)
    optimizer = torch.optim.Adam([mu, sigma], lr=0.1)
    for _ in range(120):
        optimizer.zero_grad()
        error = gaussian_conv2d(blob, weight, mu, sigma, grad_mode=grad_mode, **window) - target
        error.square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            mu.clamp_(-4, 4)
            sigma.clamp_(0.2, 2)
    torch.testing.assert_close(mu.detach(), true_mu, atol=0.05, rtol=0)
    torch.testing.assert_close(sigma.detach(), true_sigma, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mu": torch.full((3, 2), 2.5)}, "mu must lie within max_offset = 2 pixels, got 2.5"),
        ({"mu": torch.full((3, 2), float("nan"))}, "got NaN"),
        ({"sigma": torch.tensor(0.0)}, r"sigma must lie in \(0, max_sigma = 1.3\] pixels, got 0"),
        ({"sigma": torch.tensor(1.5)}, r"sigma must lie in \(0, max_sigma = 1.3\] pixels, got 1.5"),
        ({"sigma": torch.tensor(float("nan"))}, "got nan"),
        ({"mu": torch.zeros(2, 2)}, r"mu must be \[3, 2\], \[4, 3, 2\] or \[5, 4, 3, 2\], got \[2, 2\]"),
        ({"sigma": torch.ones(2)}, r"sigma must be a scalar tensor or \[3\] as mu is, got \[2\]"),
        ({"weight": torch.ones(5, 3, 3)}, r"x has 4 channels, so weight must be \[C_out, 4, K\] .* got \[5, 3, 3\]"),
        ({"x": torch.ones(4, 7, 9)}, r"x must be floating point \[B, C_in, H, W\], got"),
        ({"bias": torch.ones(4)}, r"bias must be \[5\], got \[4\]"),
        ({"shift": "linear"}, "shift must be one of 'exact', 'bilinear', got 'linear'"),
        ({"normalize": "max"}, "normalize must be one of 'sum', 'analytic', 'none', got 'max'"),
        ({"execution": "fast"}, "execution must be one of"),
        ({"grad_mode": "dau"}, "grad_mode='dau' needs shift='bilinear', got shift='exact'"),
        ({"stride": 1.5}, "stride must be a positive integer or a pair of them, got 1.5"),
        ({"stride": 0}, "stride must be a positive integer or a pair of them, got 0"),
        ({"dilation": (1, 2, 3)}, r"dilation must be a positive integer or a pair of them, got \(1, 2, 3\)"),
        ({"max_offset": -1.0}, "max_offset must be a number of pixels >= 0, got -1.0"),
        ({"max_sigma": 0.0}, "max_sigma must be a number of pixels > 0, got 0.0"),
        ({"execution": "bank"}, "it computes shift='bilinear', asked was 'exact'; use execution='auto'"),
        ({"execution": "separable", "shift": "bilinear"}, "it computes shift='exact', asked was 'bilinear'"),
        ({"execution": "fused", "shift": "bilinear", "sigma": torch.ones(3)}, "it needs one scalar sigma"),
        ({"execution": "separable", "mu": torch.zeros(5, 4, 3, 2)}, "mu must be shared by the output channels"),
    ],
)
def test_wrong_arguments_are_named_with_what_is_allowed(change: dict[str, Any], message: str) -> None:
    x, weight, mu, sigma = (leaf.detach().float() for leaf in inputs())
    arguments = {"x": x, "weight": weight, "mu": mu, "sigma": sigma, **WINDOW, **change}
    with pytest.raises(ValueError, match=message):
        gaussian_conv2d(**arguments)
