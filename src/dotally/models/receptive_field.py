"""How far a network sees, computed from its layers instead of remembered."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

# they look at one position at a time; batch norm does so in eval mode, where it is a fixed scale and shift
_POINTWISE = (nn.ReLU, nn.BatchNorm2d, nn.Dropout, nn.Identity)


class ReceptiveField(NamedTuple):
    """What one output cell depends on, in input pixels.

    Attributes:
        size: Side of the square of input pixels that one output cell depends on.
        stride: Distance between the squares of two neighbouring cells.
    """

    size: int
    stride: int


class SeesLocally(ABC):
    """A base, beside ``nn.Module``, of the networks that say what their output cells depend on."""

    @property
    @abstractmethod
    def field(self) -> ReceptiveField:
        """What an output cell depends on; the network computes it from its layers."""

    @property
    def stride(self) -> int:
        """Side of an output cell in input pixels."""
        return self.field.stride

    @property
    def receptive_field(self) -> int:
        """Side of the square of input pixels an output cell depends on."""
        return self.field.size


def receptive_field(*layers: nn.Module) -> ReceptiveField:
    """Compute the receptive field of layers that follow each other.

    A window of ``k`` taps with dilation ``d`` on a grid of stride ``j`` widens the field by ``(k - 1) d j``
    pixels; its own stride multiplies ``j``.

    Args:
        layers: Convolutions, poolings and pointwise layers in the order of the forward pass;
            ``nn.Sequential`` is taken apart.

    Raises:
        ValueError: If a layer's window is not square, or its reach is not known to be finite.
    """
    size, stride = 1, 1
    for layer in _flatten(*layers):
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
            taps, step, dilation = (_side(n, layer) for n in (layer.kernel_size, layer.stride, layer.dilation))
        elif isinstance(layer, nn.AvgPool2d):
            taps, step, dilation = _side(layer.kernel_size, layer), _side(layer.stride, layer), 1
        elif isinstance(layer, _POINTWISE):
            continue
        else:
            raise ValueError(f"{type(layer).__name__} has no receptive field that is known to be finite")
        size += (taps - 1) * dilation * stride
        stride *= step
    return ReceptiveField(size, stride)


def _flatten(*layers: nn.Module) -> Iterator[nn.Module]:
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            yield from _flatten(*layer)
        else:
            yield layer


def _side(value: int | tuple[int, ...], layer: nn.Module) -> int:
    sides = {value} if isinstance(value, int) else set(value)
    if len(sides) != 1:
        raise ValueError(f"only square windows have a receptive field of one size, got {layer}")
    return sides.pop()
