"""VGG-16 (Simonyan and Zisserman, ICLR 2015) and the layer stacks other networks take from it."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dotally.models.registry import register

Init = Literal["gaussian", "he"]

# output channels of 3x3 convolutions; "M" is a 2x2 max-pool (configuration D of the paper's table 1)
# fmt: off
VGG16_FEATURES: tuple[int | Literal["M"], ...] = (
    64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M",
)
# fmt: on


def conv_stack(
    config: Sequence[int | Literal["M"]],
    *,
    in_channels: int = 3,
    width: float = 1.0,
    batch_norm: bool = False,
    dilation: Sequence[int] | None = None,
) -> nn.Sequential:
    """Build 3x3 convolutions, each followed by ReLU, that keep the size, with 2x2 max-pools between them.

    Args:
        config: Output channels of each convolution, and "M" for each pool, in order.
        in_channels: Channels of the input.
        width: Factor on every number of channels; see :func:`scaled`.
        batch_norm: Put a batch normalisation between each convolution and its ReLU.
        dilation: One per convolution; 1 for all of them where not given.
    """
    dilations = iter(dilation if dilation is not None else [1] * len(config))
    layers: list[nn.Module] = []
    for entry in config:
        if entry == "M":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        out_channels, reach = scaled(entry, width), next(dilations)
        layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=reach, dilation=reach))
        if batch_norm:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU())
        in_channels = out_channels
    return nn.Sequential(*layers)


def scaled(channels: int, width: float) -> int:
    """Return ``channels * width``, rounded, at least 1; ValueError where ``width`` is not positive."""
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    return max(1, round(channels * width))


def initialise(model: nn.Module, how: Init) -> None:
    """Draw all convolution and linear weights afresh and zero their biases, in place.

    Args:
        model: Any network.
        how: "gaussian" has standard deviation 0.01, as the counting papers prescribe; "he" is the normal
            distribution of He et al. (ICCV 2015), eq. 10, which keeps the variance through any depth.

    Raises:
        ValueError: If ``how`` is neither.
    """
    if how not in ("gaussian", "he"):
        raise ValueError(f"init must be 'gaussian' or 'he', got {how!r}")
    for layer in model.modules():
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            continue
        if how == "gaussian":
            nn.init.normal_(layer.weight, std=0.01)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@register("vgg16")
class VGG16(nn.Module):
    """VGG-16 with the names and shapes of torchvision's state dict (``vgg16``, or ``vgg16_bn`` with batch norm).

    Args:
        num_classes: Number of classes C.
        width: Factor on every number of channels, 4096 hidden units included; torchvision's files fit 1.0.
        batch_norm: Batch normalisation after each convolution.
        in_channels: Channels of the input.
    """

    def __init__(
        self, *, num_classes: int = 1000, width: float = 1.0, batch_norm: bool = False, in_channels: int = 3
    ) -> None:
        super().__init__()
        self.features = conv_stack(VGG16_FEATURES, in_channels=in_channels, width=width, batch_norm=batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        hidden = scaled(4096, width)
        self.classifier = nn.Sequential(
            nn.Linear(scaled(512, width) * 7 * 7, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )
        initialise(self, "he")

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, sides of at least 32 pixels; ImageNet's weights
                expect the "imagenet" preset of :mod:`dotally.models.preprocessing`.

        Returns:
            ``[B, C]`` logits, whatever the size.
        """
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), start_dim=1))
