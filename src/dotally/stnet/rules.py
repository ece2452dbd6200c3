"""STNet's own rules: which inputs of a gated unit win, layer by layer.

They put the operators of :mod:`dotally.ops` to the layers of a network; the selection itself is defined there.
"""

import operator
from collections.abc import Hashable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dotally.ops import (
    td_adaptive_avg_pool2d,
    td_add,
    td_avg_pool2d,
    td_bridge,
    td_concat,
    td_conv2d,
    td_linear,
    td_max_pool2d,
)
from dotally.stnet.convolution import ConvolutionCall, read_convolution, unpad
from dotally.stnet.layer import Layer
from dotally.stnet.registry import MissingRuleError, Rule, register_rule
from dotally.stnet.structural import pass_through, rearrange


def convolution(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """Hand each unit's gating to one contiguous group of winners in one channel; 1x1 windows select as linear ones."""
    call = read_convolution(layer)
    if call.weight.shape[2:] == (1, 1):
        return (unpad(layer, _pointwise_convolution(layer, call, gating)),)
    return (unpad(layer, _select_contiguous(layer, call.h, call.weight, gating, **call.numbers)),)


def fully_connected(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """Hand each unit's gating to its statistically important inputs; over a flattened map select in space instead.

    The first fully connected layer of AlexNet is a convolution whose window is the whole map, and its gating is
    selected once more by the bridge before.
    """
    (h,) = layer.inputs
    if layer.map_shape is None:
        rows = _select_important(layer, h.reshape(-1, h.shape[-1]), layer.weight, gating.reshape(-1, gating.shape[-1]))
        return (rows.reshape(h.shape),)
    batch, window = len(h), layer.weight.reshape(-1, *layer.map_shape)
    bridged = gating if layer.is_top else _bridge(layer, gating)
    spatial = _select_contiguous(layer, h.reshape(batch, *layer.map_shape), window, bridged[:, :, None, None])
    return (spatial.flatten(1),)


def max_pool(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """Hand the gating to the first maximum of each window."""
    window = layer.options(kernel_size=None, stride=None, padding=0, dilation=1, ceil_mode=False)
    return (td_max_pool2d(layer.inputs[0], gating, **window, compat=layer.compat),)


def average_pool(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """Share the gating in proportion to the values in the window."""
    window = layer.options(kernel_size=None, stride=None, padding=0, ceil_mode=False)
    mode, offset = layer.settings.pool_mode, layer.settings.pool_offset
    return (td_avg_pool2d(layer.inputs[0], gating, **window, mode=mode, offset=offset, compat=layer.compat),)


def adaptive_average_pool(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """Share the gating in proportion to the values in the window; nothing to do where the sizes are equal."""
    (h,) = layer.inputs
    if h.shape == gating.shape:
        return (gating,)
    mode, offset, size = layer.settings.pool_mode, layer.settings.pool_offset, (gating.shape[-2], gating.shape[-1])
    return (td_adaptive_avg_pool2d(h, gating, size, mode=mode, offset=offset, compat=layer.compat),)


def spatial_mean(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """Treat ``x.mean((2, 3))`` as pooling of the whole map to one cell."""
    (h,) = layer.inputs
    axes = layer.options(dim=None)["dim"]
    if h.ndim != 4 or axes is None or {axis % 4 for axis in _as_tuple(axes)} != {2, 3}:
        raise MissingRuleError(f"{layer.label} averages other axes than height and width; there is no rule for that")
    return adaptive_average_pool(layer, gating.reshape(*h.shape[:2], 1, 1))


def concatenate(layer: Layer, gating: Tensor) -> tuple[Tensor, ...]:
    """Give every branch its channels' gating."""
    if layer.options(dim=0)["dim"] % gating.ndim != 1 or gating.ndim != 4:
        return tuple(rearrange(layer, gating))
    return tuple(td_concat(gating, [value.shape[1] for value in layer.inputs], dim=1))


def add(layer: Layer, gating: Tensor) -> tuple[Tensor, ...]:
    """Share the gating of a sum in proportion to the positive parts of its terms; a constant term gets nothing."""
    if len(layer.inputs) == 1:
        return pass_through(layer, gating)
    a, b = layer.inputs
    if a.shape != b.shape:
        raise MissingRuleError(f"{layer.label} adds {tuple(a.shape)} to {tuple(b.shape)}; broadcast sums have no rule")
    return tuple(td_add(a, b, gating))


def _select_contiguous(layer: Layer, h: Tensor, weight: Tensor, gating: Tensor, **numbers: Any) -> Tensor:
    constants = layer.settings
    return td_conv2d(
        h,
        weight,
        gating,
        **numbers,
        alpha=constants.alpha,
        lower_bound=constants.conv_lower_bound,
        eps=constants.conv_eps,
        compat=layer.compat,
    )


def _select_important(layer: Layer, h: Tensor, weight: Tensor, gating: Tensor) -> Tensor:
    constants, pointwise = layer.settings, h.ndim == 4
    return td_linear(
        h,
        weight,
        gating,
        mode=constants.pointwise_mode if pointwise else constants.linear_mode,
        offset=constants.pointwise_offset if pointwise else constants.linear_offset,
        lower_bound=constants.linear_lower_bound,
        eps=constants.linear_eps,
        compat=layer.compat,
    )


def _pointwise_convolution(layer: Layer, call: ConvolutionCall, gating: Tensor) -> Tensor:
    if call.stride == (1, 1) and call.padding == (0, 0) and call.groups == 1:
        return _select_important(layer, call.h, call.weight, gating)
    (down, right), (top, left) = call.stride, call.padding
    padded = F.pad(call.h, (left, left, top, top))
    height, width = gating.shape[-2:]
    seen = padded[:, :, ::down, ::right][:, :, :height, :width]
    triples = zip(seen.chunk(call.groups, 1), call.weight.chunk(call.groups), gating.chunk(call.groups, 1), strict=True)
    parts = [_select_important(layer, h.contiguous(), w, g.contiguous()) for h, w, g in triples]
    result = parts[0].new_zeros(padded.shape)
    result[:, :, ::down, ::right][:, :, :height, :width] = torch.cat(parts, dim=1)
    return result[:, :, top : top + call.h.shape[2], left : left + call.h.shape[3]]


def _bridge(layer: Layer, gating: Tensor) -> Tensor:
    constants = layer.settings
    if constants.bridge_mode == "all":
        return gating
    classes = (layer.top != 0).sum(1)
    if (classes != 1).any():
        where = int((classes != 1).nonzero()[0])
        raise ValueError(
            f"the bridge before {layer.name} wants exactly one class a picture, picture {where} has "
            f"{int(classes[where])}: explain them one by one (BottomUp.explain), or use bridge_mode='all'"
        )
    return td_bridge(
        gating,
        layer.top.sum(1),
        mode=constants.bridge_mode,
        offset=constants.bridge_offset,
        lower_bound=constants.linear_lower_bound,
        eps=constants.linear_eps,
        count_zeros=constants.bridge_count_zeros,
        compat=layer.compat,
    )


def _as_tuple(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


_RULES: dict[Rule, tuple[Hashable, ...]] = {
    convolution: (nn.Conv2d, F.conv2d, torch.conv2d),
    fully_connected: (nn.Linear, F.linear),
    max_pool: (nn.MaxPool2d, F.max_pool2d, torch.max_pool2d),
    average_pool: (nn.AvgPool2d, F.avg_pool2d),
    adaptive_average_pool: (nn.AdaptiveAvgPool2d, F.adaptive_avg_pool2d),
    spatial_mean: (torch.mean, torch.Tensor.mean),
}

for _rule, _kinds in _RULES.items():
    for _kind in _kinds:
        register_rule(_kind, _rule, methods=["stnet"])
for _kind in (torch.cat, torch.concat):
    register_rule(_kind, concatenate, methods=["stnet"], reads_input=False)
for _kind in (operator.add, torch.add, torch.Tensor.add):
    register_rule(_kind, add)
