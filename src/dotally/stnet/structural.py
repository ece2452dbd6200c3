"""Rules that every method of attribution shares: layers that move values about, or change them where they are."""

import operator
from collections.abc import Hashable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dotally.stnet.layer import Layer, vjp
from dotally.stnet.registry import MissingRuleError, register_rule


def pass_through(layer: Layer, gating: Tensor) -> tuple[Tensor]:
    """Hand the gating down unchanged: the rule of activations, dropout and normalisation.

    A unit is only ever gated where its value is positive, so a ReLU needs nothing else.

    Raises:
        MissingRuleError: The layer has several inputs or changes the shape.
    """
    if len(layer.inputs) != 1 or layer.inputs[0].shape != gating.shape:
        shapes = ", ".join(str(tuple(value.shape)) for value in layer.inputs)
        raise MissingRuleError(
            f"{layer.label} turns {shapes} into {tuple(gating.shape)}: pass_through is for one input of the same "
            f"shape. Give it a rule with dotally.stnet.register_rule"
        )
    return (gating,)


def rearrange(layer: Layer, gating: Tensor) -> tuple[Tensor, ...]:
    """Put each gating where its value came from: the rule of flatten, view, indexing, concatenation and padding."""
    return vjp(layer.run, layer.inputs, gating)


_POINTWISE: tuple[Hashable, ...] = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
    nn.LocalResponseNorm,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    F.relu,
    F.relu6,
    F.leaky_relu,
    torch.relu,
    torch.Tensor.relu,
    F.dropout,
    F.dropout2d,
    torch.dropout,
    F.local_response_norm,
    torch.Tensor.contiguous,
    # with one input that depends on the picture: an offset or a scale; with two there is no rule
    operator.mul,
    operator.truediv,
    operator.sub,
    torch.mul,
    torch.div,
    torch.sub,
    torch.Tensor.mul,
    torch.Tensor.div,
    torch.Tensor.sub,
    # precision
    torch.Tensor.float,
    torch.Tensor.to,
)
_REARRANGING: tuple[Hashable, ...] = (
    nn.Flatten,
    nn.Unflatten,
    nn.ZeroPad2d,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.ChannelShuffle,
    torch.flatten,
    torch.reshape,
    torch.squeeze,
    torch.unsqueeze,
    torch.permute,
    torch.transpose,
    torch.Tensor.flatten,
    torch.Tensor.view,
    torch.Tensor.reshape,
    torch.Tensor.squeeze,
    torch.Tensor.unsqueeze,
    torch.Tensor.permute,
    torch.Tensor.transpose,
    torch.cat,
    torch.concat,
    F.pad,
    operator.getitem,
)

for _kind in _POINTWISE:
    register_rule(_kind, pass_through, reads_input=False)
for _kind in _REARRANGING:
    register_rule(_kind, rearrange, reads_input=False)
