"""What a rule sees of a layer."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from dotally.stnet.settings import Compat, Settings


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One call of a module, function or tensor method during the bottom-up pass.

    Attributes:
        name: Path of the module in the network, or the name of the call.
        kind: Module class, function or tensor method.
        module: The user's module, None for a function or method.
        inputs: The tensors it was given that depend on the picture, in order.
        run: The call again with other values for ``inputs``; no hook fires, nothing is changed in place.
        options: ``options(stride=1, padding=0)`` looks up what the layer was called with: attributes of the module, or
            arguments of the call after its first, in the order and with the defaults of the function's signature.
        settings: Constants of the pass.
        compat: "fixed" or "release".
        batch_norm: The batch normalisation that alone follows a convolution or linear layer, else None.
        is_top: No other weighted layer lies between this one and the class scores.
        map_shape: ``(C, H, W)`` of the map that a linear layer sees flattened; None where it sees no map.
        top: ``[B, C]`` gating of the class scores.
    """

    name: str
    kind: Hashable
    module: nn.Module | None
    inputs: tuple[Tensor, ...]
    run: Callable[..., Tensor]
    options: Callable[..., dict[str, Any]]
    settings: Settings
    compat: Compat
    batch_norm: nn.Module | None
    is_top: bool
    map_shape: tuple[int, int, int] | None
    top: Tensor

    @property
    def label(self) -> str:
        """Name and kind for messages, ``features.3 (Conv2d)``."""
        return f"{self.name} ({getattr(self.kind, '__name__', self.kind)})"

    @cached_property
    def weight(self) -> Tensor:
        """Weight ``[out, in, ...]`` with a following batch normalisation folded into it, float32."""
        weight: Tensor = self.options(weight=None)["weight"]
        weight = weight.detach().float()
        return weight if self.batch_norm is None else weight * _per_output(batch_norm_scale(self.batch_norm), weight)


def batch_norm_scale(norm: nn.Module) -> Tensor:
    r"""Return :math:`\gamma / \sqrt{\sigma^2 + \epsilon}` for each channel, float32, from the running statistics."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    if norm.running_var is None:
        raise ValueError("batch normalisation without running statistics (track_running_stats=False) is not constant")
    scale = (norm.running_var.float() + norm.eps).rsqrt()
    return scale if norm.weight is None else norm.weight.detach().float() * scale


def fold_batch_norm(layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    r"""Fold an evaluation-mode batch normalisation into the convolution or linear layer in front of it.

    :math:`W' = s W`, :math:`b' = s (b - \mu) + \beta` with :math:`s = \gamma / \sqrt{\sigma^2 + \epsilon}`.

    Returns:
        Weight, shaped like the layer's, and bias ``[out]``; neither module is changed.
    """
    scale = batch_norm_scale(norm)
    mean = torch.zeros_like(scale) if norm.running_mean is None else norm.running_mean
    bias = torch.zeros_like(scale) if layer.bias is None else layer.bias.detach()
    shift = torch.zeros_like(scale) if norm.bias is None else norm.bias.detach()
    return layer.weight.detach() * _per_output(scale, layer.weight), scale * (bias - mean) + shift


def vjp(function: Callable[..., Tensor], inputs: Sequence[Tensor], gating: Tensor) -> tuple[Tensor, ...]:
    """Take a gating backwards through a function by its derivative at ``inputs``.

    Returns:
        One tensor shaped like each input, float32; zeros for an input the output does not depend on.
    """
    with torch.enable_grad():
        leaves = [value.detach().requires_grad_() for value in inputs]
        output = function(*leaves)
    grads = torch.autograd.grad(output, leaves, gating.to(output.dtype), allow_unused=True)
    pairs = zip(grads, inputs, strict=True)
    return tuple(torch.zeros_like(value) if grad is None else grad.float() for grad, value in pairs)


def _per_output(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (weight.ndim - 1))
