"""What layers cost: floating point operations, counted from shapes on a copy of the network without numbers."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn

from dotally.nn.gaussian_conv2d import GaussianConv2d
from dotally.ops.gaussian_plan import Layer, bank_work, dense_work, separable_work, why_not
from dotally.ops.gaussian_setting import Setting
from dotally.ops.gaussian_taps import blur_radius

Counted = nn.Conv2d | nn.ConvTranspose2d | nn.Linear | GaussianConv2d


class Positions(NamedTuple):
    """How often a layer's operations are done in one pass.

    Attributes:
        forward: Positions of its output; of a transposed convolution, of its input.
        backward: Those whose gradients are computed, once for its input and once for its weights, where asked for.
    """

    forward: int
    backward: int


def flops_per_position(layer: Counted) -> int:
    """Count what one position of the output takes; a multiplication and an addition are 2.

    Of a transposed convolution it is a position of the input. A Gaussian layer is counted by the execution that takes
    least (:mod:`dotally.ops.gaussian_plan`) or by its few shapes; making a dense kernel belongs to no position and is
    left out.
    """
    if isinstance(layer, GaussianConv2d):
        return _few_shapes(layer) if layer.setting.shape_rank is not None else _gaussian(layer)
    return 2 * layer.weight.numel()


def shadow(model: nn.Module) -> nn.Module:
    """Return a copy of a network with shapes but no numbers, on the "meta" device; nothing large is allocated."""
    memo: dict[int, object] = {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in model.parameters()}
    memo |= {id(buffer): buffer.to("meta") for buffer in model.buffers()}
    return copy.deepcopy(model, memo)


@contextmanager
def counting(model: nn.Module) -> Iterator[Mapping[str, Positions]]:
    """Note, by name, the positions of every counted layer in all passes made within."""
    found: dict[str, Positions] = {}

    def note(name: str, layer: Counted, x: Tensor, y: Tensor) -> None:
        channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        forward = y.numel() // channels
        if isinstance(layer, nn.ConvTranspose2d):
            forward = x.numel() // layer.in_channels
        gradients = (x.requires_grad + layer.weight.requires_grad) if y.requires_grad else 0
        before = found.get(name, Positions(0, 0))
        found[name] = Positions(before.forward + forward, before.backward + gradients * forward)

    hooks = [
        layer.register_forward_hook(lambda layer, x, y, name=name: note(name, layer, x[0], y))
        for name, layer in model.named_modules()
        if isinstance(layer, Counted)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _gaussian(layer: GaussianConv2d) -> int:
    own, stride, dilation = layer.setting, (layer.stride, layer.stride), (layer.dilation, layer.dilation)
    asked = Setting(layer.max_offset, layer.max_sigma, own.shift, layer.normalize, stride, dilation, "", own.grad_mode)
    sharing = "in" if own.sharing == "input" else own.sharing
    # a position of the output has stride x stride of the input
    channels = (layer.in_channels, layer.out_channels, layer.num_gaussians)
    shapes = Layer(1, *channels, *stride, sharing=sharing, one_sigma=own.one_sigma)
    dense = [dense_work(shapes, asked).matmul] if why_not("dense", shapes, asked) is None else []
    planes = [
        work.matmul + work.vector
        for name, count in (("separable", separable_work), ("bank", bank_work))
        if why_not(name, shapes, asked) is None
        for work in [count(shapes, asked)]
    ]
    return round(min(dense + planes))


def _few_shapes(layer: GaussianConv2d) -> int:
    """Operations of blurs by a few shapes, a Gaussian's mixture of them, its bilinear shift, and the product."""
    rank, taps, units = layer.setting.shape_rank or 0, 2 * blur_radius(layer.max_sigma) + 1, layer.num_gaussians
    plane = layer.stride**2 * (2 * rank * taps**2 + 2 * rank * units) + 8 * units
    return layer.in_channels * (plane + 2 * units * layer.out_channels)
