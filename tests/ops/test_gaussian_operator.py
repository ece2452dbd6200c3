"""The Gaussian convolution as PyTorch sees it: registration, gradients in float64, compile, export, autocast."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dotally.nn import GaussianConv2d
from dotally.ops import gaussian_conv2d
from dotally.ops.gaussian_operator import convolve, gradients

WINDOW = {"max_offset": 1.5, "max_sigma": 0.6}


def inputs(*lead: int, one_sigma: bool = True, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Fractions of the displacements lie in [0.2, 0.8], away from the kinks of the bilinear form."""
    torch.manual_seed(0)
    whole = torch.randint(-1, 1, (*lead, 2, 2)).to(dtype)
    mu = (whole + 0.2 + 0.6 * torch.rand(*lead, 2, 2, dtype=dtype)).requires_grad_()
    sigma = (0.3 + 0.25 * torch.rand(() if one_sigma else (*lead, 2), dtype=dtype)).requires_grad_()
    x = torch.randn(2, 3, 5, 6, dtype=dtype, requires_grad=True)
    return x, torch.randn(4, 3, 2, dtype=dtype, requires_grad=True), mu, sigma


def settings(shift: str, execution: str, grad_mode: str = "exact", stride: int = 1) -> tuple[Any, ...]:
    return (1.5, 0.6, shift, "sum", [stride, 1], [1, 2], execution, grad_mode)


@pytest.mark.parametrize(("shift", "execution"), [("exact", "separable"), ("bilinear", "bank"), ("bilinear", "dense")])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_registration_is_sound(shift: str, execution: str, channels_last: bool) -> None:
    x, *rest = inputs()
    if channels_last:
        x = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(convolve.default, (x, *rest, *settings(shift, execution, stride=2)))


@pytest.mark.parametrize("one_sigma", [True, False])
@pytest.mark.parametrize(
    ("lead", "shift", "execution"),
    [((3,), "exact", "separable"), ((3,), "bilinear", "bank"), ((4, 3), "bilinear", "dense")],
)
def test_the_registration_is_sound_for_every_sharing(
    lead: tuple[int, ...], shift: str, execution: str, one_sigma: bool
) -> None:
    grad_mode = "dau" if shift == "bilinear" and one_sigma else "exact"
    leaves = inputs(*lead, one_sigma=one_sigma)
    torch.library.opcheck(convolve.default, (*leaves, *settings(shift, execution, grad_mode)))


def test_the_registration_of_the_kernels_is_sound(device: torch.device) -> None:
    x, *rest = inputs(dtype=torch.float32)
    leaves = [leaf.detach().to(device).requires_grad_() for leaf in (x[:1, :, :2, :3], *rest)]
    near = {"atol": 1e-4, "rtol": 1e-4}
    torch.library.opcheck(convolve.default, (*leaves, *settings("bilinear", "fused")), **near)


def test_the_registration_of_the_backward_is_sound() -> None:
    leaves = [leaf.detach() for leaf in inputs()]
    for execution, wanted in itertools.product(("bank", "dense"), ([True, True, True], [False, True, False])):
        upstream = torch.randn(2, 4, 5, 6, dtype=torch.float64)
        torch.library.opcheck(gradients.default, (upstream, *leaves, *settings("bilinear", execution), wanted))


@pytest.mark.parametrize("normalize", ["sum", "analytic", "none"])
@pytest.mark.parametrize(
    ("shift", "execution"), [("exact", "dense"), ("exact", "separable"), ("bilinear", "dense"), ("bilinear", "bank")]
)
def test_gradients_are_those_of_finite_differences(shift: Any, execution: Any, normalize: Any) -> None:
    for lead, one_sigma in (((), True), ((3,), False)):
        leaves = inputs(*lead, one_sigma=one_sigma)
        options: dict[str, Any] = {"shift": shift, "execution": execution, "normalize": normalize, "stride": (1, 2)}
        assert torch.autograd.gradcheck(
            lambda *leaves, options=options: gaussian_conv2d(*leaves, **options, **WINDOW),
            leaves,
            atol=1e-7,
            rtol=1e-5,
            fast_mode=True,
        )


def test_gradients_by_pair_are_those_of_finite_differences() -> None:
    for shift in ("exact", "bilinear"):
        leaves = inputs(4, 3, one_sigma=False)
        assert torch.autograd.gradcheck(
            lambda *leaves, shift=shift: gaussian_conv2d(*leaves, shift=shift, **WINDOW), leaves, fast_mode=True
        )


def test_the_dense_execution_has_second_derivatives() -> None:
    leaves = inputs()
    assert torch.autograd.gradgradcheck(
        lambda *leaves: gaussian_conv2d(*leaves, execution="dense", **WINDOW), leaves, fast_mode=True
    )


@pytest.mark.parametrize("frozen", range(4))
def test_what_is_frozen_gets_no_gradient_and_changes_no_other(frozen: int) -> None:
    leaves = list(inputs())
    full = torch.autograd.grad(gaussian_conv2d(*leaves, shift="bilinear", execution="bank", **WINDOW).sum(), leaves)
    leaves[frozen] = leaves[frozen].detach()
    learned = [leaf for leaf in leaves if leaf.requires_grad]
    y = gaussian_conv2d(*leaves, shift="bilinear", execution="bank", **WINDOW)
    for ours, theirs in zip(
        torch.autograd.grad(y.sum(), learned), [g for i, g in enumerate(full) if i != frozen], strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("shift", "execution"), [("exact", "auto"), ("exact", "separable"), ("bilinear", "bank")])
def test_it_compiles_into_one_graph(shift: Any, execution: Any) -> None:
    leaves = inputs(dtype=torch.float32)

    def step(*leaves: Tensor) -> Tensor:
        return gaussian_conv2d(*leaves, shift=shift, execution=execution, **WINDOW).square().sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*leaves), step(*leaves))
    for ours, theirs in zip(
        torch.autograd.grad(compiled(*leaves), leaves), torch.autograd.grad(step(*leaves), leaves), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


class Dense(nn.Module):
    """The smallest network that holds a Gaussian convolution."""

    def __init__(self, shift: Any) -> None:
        super().__init__()
        _, weight, mu, sigma = inputs(dtype=torch.float32)
        self.weight, self.mu, self.sigma = (nn.Parameter(leaf.detach()) for leaf in (weight, mu, sigma))
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        return gaussian_conv2d(
            x, self.weight, self.mu, self.sigma, shift=self.shift, execution="dense", stride=2, **WINDOW
        )


@pytest.mark.parametrize("shift", ["exact", "bilinear"])
def test_the_dense_execution_exports_for_any_size(shift: str) -> None:
    network = Dense(shift).eval()
    sizes = {axis: torch.export.Dim(f"size{axis}", min=3 if axis else 1) for axis in (0, 2, 3)}
    program = torch.export.export(network, (torch.randn(2, 3, 9, 8),), dynamic_shapes=(sizes,))
    assert not [node for node in program.graph.nodes if "dotally" in str(node.target)]
    other = torch.randn(3, 3, 14, 11)
    torch.testing.assert_close(program.module()(other), network(other))


class EveryLayer(nn.Module):
    """Layers of all kinds that export, side by side: one export, since each takes seconds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        small: dict[str, Any] = {"max_offset": 1.5, "max_sigma": 1.0, "execution": "dense"}
        kinds: list[dict[str, Any]] = [{}, {"shift": "bilinear", "stride": 2}, {"preset": "dau"}, {"preset": "gaunet"}]
        kinds[-1]["sigma"] = (0.5, 1.0)
        self.layers = nn.ModuleList(GaussianConv2d(3, 2, 2, **{**small, **kind}) for kind in kinds)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [layer(x) for layer in self.layers]


def test_the_dense_execution_of_every_layer_goes_into_one_onnx_file_for_any_size(tmp_path: Path) -> None:
    import onnxruntime  # a second to open, for this test alone

    network, file = EveryLayer().eval(), tmp_path / "dense.onnx"
    sizes = {axis: torch.export.Dim(f"size{axis}", min=3 if axis else 1) for axis in (0, 2, 3)}
    torch.onnx.export(
        network, (torch.randn(2, 3, 9, 8),), file, dynamo=True, external_data=False, dynamic_shapes=(sizes,)
    )
    assert list(tmp_path.iterdir()) == [file]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    other = torch.randn(3, 3, 14, 11)
    found = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    for ours, theirs in zip(network(other), found, strict=True):
        torch.testing.assert_close(ours.detach(), torch.from_numpy(theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shift", "execution"), [("exact", "dense"), ("exact", "separable"), ("bilinear", "bank")])
def test_autocast_lowers_the_pictures_but_not_the_places(shift: Any, execution: Any) -> None:
    leaves = inputs(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = gaussian_conv2d(*leaves, shift=shift, execution=execution, **WINDOW)
    lowered = leaves[0].bfloat16(), leaves[1].bfloat16(), *leaves[2:]
    torch.testing.assert_close(y, gaussian_conv2d(*lowered, shift=shift, execution=execution, **WINDOW), rtol=0, atol=0)
    assert y.dtype == torch.bfloat16
    assert [g.dtype for g in torch.autograd.grad(y.sum(), leaves)] == [torch.float32] * 4


@pytest.mark.parametrize(("shift", "execution"), [("exact", "dense"), ("exact", "separable"), ("bilinear", "bank")])
def test_autocast_leaves_float64_alone_as_it_does_for_conv2d(shift: Any, execution: Any) -> None:
    leaves, rest = inputs(dtype=torch.float64), settings(shift, execution)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, registered = gaussian_conv2d(*leaves, shift=shift, execution=execution, **WINDOW), convolve(*leaves, *rest)
    assert y.dtype == registered.dtype == torch.float64
    expected = gaussian_conv2d(*leaves, shift=shift, execution=execution, **WINDOW)
    torch.testing.assert_close(y, expected, rtol=0, atol=0)


def test_autocast_holds_for_the_registered_operator_too() -> None:
    leaves, rest = inputs(dtype=torch.float32), settings("bilinear", "bank")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = convolve(*leaves, *rest)
    expected = convolve(leaves[0].bfloat16(), leaves[1].bfloat16(), *leaves[2:], *rest)
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    (by_mu,) = torch.autograd.grad(y.sum(), leaves[2])
    assert by_mu.dtype == torch.float32


def test_fused_says_why_it_cannot_run() -> None:
    leaves = inputs(dtype=torch.float64)
    with pytest.raises(ValueError, match=r"execution='fused' cannot compute this: .+; use execution='auto'"):
        gaussian_conv2d(*leaves, shift="bilinear", execution="fused", **WINDOW)
