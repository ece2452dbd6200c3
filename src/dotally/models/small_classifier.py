"""Small classifiers of pictures of 64x64 pixels, on which every way to localize is defined."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dotally.models.receptive_field import ReceptiveField, receptive_field
from dotally.models.registry import register
from dotally.models.vgg import conv_stack, initialise, scaled

# as in conv_stack: 3x3 convolutions with batch norm and ReLU, "M" a 2x2 max-pool
_SHAPES: tuple[int | Literal["M"], ...] = (16, "M", 32, "M", 48, "M", 64)
_TINY: tuple[int | Literal["M"], ...] = (64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512)


class SmallClassifier(nn.Module):
    """Convolutions, the mean over all positions, one linear layer: the form that class activation maps need.

    Class activation maps (Zhou et al., CVPR 2016, eq. 2) are ``classifier.weight @ features(x)``.

    Args:
        config: Layers as ``dotally.models.vgg.conv_stack`` takes them; the last is a convolution.
        num_classes: Number of classes C.
        width: Factor on every number of channels.
    """

    def __init__(self, config: Sequence[int | Literal["M"]], *, num_classes: int, width: float) -> None:
        super().__init__()
        self.features = conv_stack(config, width=width, batch_norm=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        channels = next(entry for entry in reversed(config) if entry != "M")
        self.classifier = nn.Linear(scaled(channels, width), num_classes)
        initialise(self, "he")

    @property
    def stride(self) -> int:
        """Side of a cell of the feature map in input pixels."""
        return self._field.stride

    @property
    def receptive_field(self) -> int:
        """Side of the square of input pixels that such a cell depends on."""
        return self._field.size

    @property
    def _field(self) -> ReceptiveField:
        return receptive_field(self.features)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, C]`` class scores of ``[B, 3, H, W]`` floating-point pictures, sides of at least 8 pixels."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), start_dim=1))


@register("shapes_net")
def shapes_net(*, num_classes: int = 8, width: float = 1.0) -> SmallClassifier:
    """Build four convolutions (16, 32, 48, 64 channels) with three pools, for :class:`~dotally.data.SyntheticShapes`.

    Args:
        num_classes: Number of classes.
        width: Factor on every number of channels.
    """
    return SmallClassifier(_SHAPES, num_classes=num_classes, width=width)


@register("tiny_imagenet_net")
def tiny_imagenet_net(*, num_classes: int = 200, width: float = 1.0) -> SmallClassifier:
    """Build eight convolutions (64 to 512 channels) with three pools, for photographs of 64x64 pixels.

    Args:
        num_classes: Number of classes; Tiny ImageNet has 200.
        width: Factor on every number of channels.
    """
    return SmallClassifier(_TINY, num_classes=num_classes, width=width)
