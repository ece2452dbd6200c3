"""How a convolution was called, whichever way it was written."""

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from dotally.stnet.layer import Layer, vjp


class ConvolutionCall(NamedTuple):
    """A convolution with zero padding only.

    Attributes:
        h: ``[B, C, H, W]`` input; already padded where the network pads with other values than zeros, or unevenly.
        weight: ``[O, C / groups, kh, kw]`` with batch normalisation folded in.
        stride: (y, x).
        padding: (y, x).
        dilation: (y, x).
        groups: Number of groups.
    """

    h: Tensor
    weight: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @property
    def numbers(self) -> dict[str, Any]:
        """Return stride, padding, dilation and groups as keywords."""
        return {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups")}

    def apply(self, h: Tensor, weight: Tensor) -> Tensor:
        """Convolve another input with another weight in the same way, without bias."""
        return F.conv2d(h, weight, **self.numbers)


def read_convolution(layer: Layer) -> ConvolutionCall:
    """Read how a ``nn.Conv2d`` or ``F.conv2d`` was called."""
    given = layer.options(weight=None, bias=None, stride=1, padding=0, dilation=1, groups=1)
    stride, dilation, padding = pair(given["stride"]), pair(given["dilation"]), given["padding"]
    h = layer.inputs[0].float()
    if _pads_outside(layer, padding):
        h, padding = F.pad(h, _margins(layer, padding), mode=_padding_mode(layer)), 0
    padding = 0 if padding == "valid" else padding
    return ConvolutionCall(h, layer.weight, stride, pair(padding), dilation, given["groups"])


def unpad(layer: Layer, gating: Tensor) -> Tensor:
    """Take the gating of ``ConvolutionCall.h`` back to the layer's own input."""
    if gating.shape == layer.inputs[0].shape:
        return gating
    margins, mode = _margins(layer, layer.options(weight=None, bias=None, stride=1, padding=0)["padding"]), None
    mode = _padding_mode(layer)
    return vjp(lambda h: F.pad(h, margins, mode=mode), [layer.inputs[0].float()], gating)[0]


def pair(value: int | tuple[int, ...] | list[int]) -> tuple[int, int]:
    """Return (y, x) of a number or a pair."""
    first, *rest = (value,) if isinstance(value, int) else tuple(value)
    return first, rest[0] if rest else first


def _padding_mode(layer: Layer) -> str:
    mode = layer.module.padding_mode if isinstance(layer.module, nn.Conv2d) else "zeros"
    return "constant" if mode == "zeros" else mode


def _pads_outside(layer: Layer, padding: Any) -> bool:
    return padding == "same" or (_padding_mode(layer) != "constant" and padding != "valid")


def _margins(layer: Layer, padding: Any) -> list[int]:
    """Return left, right, top, bottom."""
    if padding != "same":
        y, x = pair(padding)
        return [x, x, y, y]
    given = layer.options(weight=None, bias=None, stride=1, padding=0, dilation=1)
    totals = [d * (k - 1) for d, k in zip(pair(given["dilation"]), given["weight"].shape[2:], strict=True)]
    # as PyTorch: the odd one goes right and below
    return [side for total in reversed(totals) for side in (total // 2, total - total // 2)]
