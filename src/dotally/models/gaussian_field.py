"""How far networks with Gaussian layers and residual blocks see."""

from torch import nn

from dotally.models.receptive_field import ReceptiveField, receptive_field
from dotally.models.resnet import longest_path
from dotally.nn import GaussianConv2d


def gaussian_field(*layers: nn.Module) -> ReceptiveField:
    """Compute the receptive field of layers that follow each other, as :func:`receptive_field` does.

    A Gaussian layer counts with the window that every displacement and width it may learn fits into.

    Args:
        layers: What :func:`receptive_field` takes, Gaussian layers and bottlenecks.
    """
    size, stride = 1, 1
    for layer in longest_path(*layers):
        field = _of_one(layer)
        size += (field.size - 1) * stride
        stride *= field.stride
    return ReceptiveField(size, stride)


def _of_one(layer: nn.Module) -> ReceptiveField:
    if isinstance(layer, GaussianConv2d):
        return ReceptiveField((layer.kernel_size[0] - 1) * layer.dilation + 1, layer.stride)
    return receptive_field(layer)
