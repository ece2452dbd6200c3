"""Excitation backprop, its contrastive form, and the plain gradient, as rules of the same engine.

Zhang et al., Top-down Neural Attention by Excitation Backprop (ECCV 2016): a unit hands its probability of winning to
its inputs in proportion to input times positive weight, eq. 4.
"""

from collections.abc import Callable, Hashable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dotally.stnet.convolution import read_convolution, unpad
from dotally.stnet.layer import Layer, vjp
from dotally.stnet.registry import register_rule


def excite(linear_map: Callable[[Tensor], Tensor], h: Tensor, gating: Tensor) -> Tensor:
    """Share every output's gating among its inputs in proportion to their contributions.

    Args:
        linear_map: A linear map with weights that are not negative.
        h: Its input; negative values, which occur in the picture only, get nothing.
        gating: Shaped like its output; of either sign.

    Returns:
        Shaped like ``h``. Gating of an output without any contribution is lost.
    """
    positive = _near_one(h.float().clamp(min=0))
    total = linear_map(positive)
    ratio = torch.where(total > torch.finfo(total.dtype).tiny, gating / total, 0.0)
    return positive * vjp(linear_map, [positive], ratio)[0]


def _near_one(h: Tensor) -> Tensor:
    """Scale each picture by a power of two, so that its largest value is 0.5 to 1: shares stay, quotients stay finite.

    In two steps, because the power itself may lie outside float32.
    """
    exponent = torch.frexp(h.flatten(1).amax(1)).exponent
    half = exponent.div(2, rounding_mode="floor")
    for part in (half, exponent - half):
        h = h * torch.exp2(-part.to(h.dtype)).view(-1, *[1] * (h.ndim - 1))
    return h


def convolution(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """Share in proportion to ``h w+`` over the window."""
    call = read_convolution(layer)
    return (unpad(layer, excite(lambda h: call.apply(h, call.weight.clamp(min=0)), call.h, gating)),)


def fully_connected(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """Share in proportion to ``h w+``."""
    weight = layer.weight.clamp(min=0)
    return (excite(lambda h: F.linear(h, weight), layer.inputs[0], gating),)


def average(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """Share in proportion to the values averaged."""
    return (excite(layer.run, layer.inputs[0], gating),)


def differentiate(layer: Layer, gating: Tensor) -> tuple[Tensor, ...]:
    """Take the derivative: the whole of the "gradient" method, and excitation backprop's rule for max-pooling."""
    return vjp(layer.run, layer.inputs, gating)


def contrast_convolution(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """As :func:`convolution`; at the top less what the class's opposite would excite."""
    if not layer.is_top:
        return convolution(layer, gating)
    call = read_convolution(layer)
    return (unpad(layer, _contrast(call.apply, call.h, call.weight, gating)),)


def contrast_fully_connected(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """As :func:`fully_connected`; at the top less what the class's opposite would excite (section 3.3)."""
    if not layer.is_top:
        return fully_connected(layer, gating)
    return (_contrast(F.linear, layer.inputs[0], layer.weight, gating),)


def _contrast(bilinear_map: Callable[[Tensor, Tensor], Tensor], h: Tensor, weight: Tensor, gating: Tensor) -> Tensor:
    """Return what the weight excites less what its opposite does, both scaled to the same mass in each picture."""
    excited = []
    for sign in (weight.clamp(min=0), (-weight).clamp(min=0)):
        excited.append(excite(partial(_with_weight, bilinear_map, sign), h, gating))
    masses = [part.flatten(1).sum(1).view(-1, *[1] * (part.ndim - 1)) for part in excited]
    scale = torch.where(masses[1] > 0, masses[0] / masses[1], 0.0)
    return excited[0] - scale * excited[1]


def _with_weight(bilinear_map: Callable[[Tensor, Tensor], Tensor], weight: Tensor, h: Tensor) -> Tensor:
    return bilinear_map(h, weight)


_CONVOLUTIONS: tuple[Hashable, ...] = (nn.Conv2d, F.conv2d, torch.conv2d)
_LINEAR: tuple[Hashable, ...] = (nn.Linear, F.linear)
_AVERAGES: tuple[Hashable, ...] = (
    nn.AvgPool2d,
    F.avg_pool2d,
    nn.AdaptiveAvgPool2d,
    F.adaptive_avg_pool2d,
    torch.mean,
    torch.Tensor.mean,
)
_MAXIMA: tuple[Hashable, ...] = (
    nn.MaxPool2d,
    F.max_pool2d,
    torch.max_pool2d,
    nn.AdaptiveMaxPool2d,
    F.adaptive_max_pool2d,
)

for _kind in _CONVOLUTIONS:
    register_rule(_kind, convolution, methods=["excitation"])
    register_rule(_kind, contrast_convolution, methods=["contrastive"])
for _kind in _LINEAR:
    register_rule(_kind, fully_connected, methods=["excitation"])
    register_rule(_kind, contrast_fully_connected, methods=["contrastive"])
for _kind in _AVERAGES:
    register_rule(_kind, average, methods=["excitation", "contrastive"])
for _kind in _MAXIMA:
    # STNet's own rule for plain max-pooling is an operator, registered in rules.py
    register_rule(_kind, differentiate)
