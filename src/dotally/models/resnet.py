"""ResNet-50 (He et al., CVPR 2016) and the residual stages other networks take from it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dotally.models.registry import register
from dotally.models.vgg import initialise, scaled

# a bottleneck gives four times as many channels as it computes with
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions beside a shortcut, figure 5 (right) of the paper; the stride is the 3x3's.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the 3x3 convolution; the output has four times as many.
        stride: Stride of the 3x3 convolution; other than 1, or a change of channels, puts a 1x1 convolution
            and a batch norm (``downsample``) into the shortcut.
    """

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        out_channels = EXPANSION * channels
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, 4 * channels, ceil(H / stride), ceil(W / stride)]``, not negative."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        return self.relu3(self.bn3(self.conv3(x)) + shortcut)


def residual_stage(in_channels: int, channels: int, blocks: int, *, stride: int = 1) -> nn.Sequential:
    """Build ``blocks`` bottlenecks; the first takes ``in_channels`` and ``stride``.

    Returns:
        A stage that gives ``4 * channels`` channels.
    """
    first = Bottleneck(in_channels, channels, stride=stride)
    return nn.Sequential(first, *(Bottleneck(EXPANSION * channels, channels) for _ in range(blocks - 1)))


def longest_path(*layers: nn.Module) -> Iterator[nn.Module]:
    """Yield what lies on the way through ``layers`` that sees farthest: bottlenecks without their shortcuts."""
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            yield from longest_path(*layer)
        elif isinstance(layer, Bottleneck):
            yield from (layer.conv1, layer.conv2, layer.conv3)
        else:
            yield layer


@register("resnet50")
class ResNet50(nn.Module):
    """ResNet-50 with the names and shapes of torchvision's state dict (``resnet50``).

    Args:
        num_classes: Number of classes C.
        width: Factor on every number of channels; torchvision's files fit 1.0.
        in_channels: Channels of the input.

    Raises:
        ValueError: If ``width`` is not positive.
    """

    def __init__(self, *, num_classes: int = 1000, width: float = 1.0, in_channels: int = 3) -> None:
        super().__init__()
        # table 1 of the paper
        c1, c2, c3, c4 = (scaled(channels, width) for channels in (64, 128, 256, 512))
        self.conv1 = nn.Conv2d(in_channels, c1, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(c1)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = residual_stage(c1, c1, 3)
        self.layer2 = residual_stage(EXPANSION * c1, c2, 4, stride=2)
        self.layer3 = residual_stage(EXPANSION * c2, c3, 6, stride=2)
        self.layer4 = residual_stage(EXPANSION * c3, c4, 3, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(EXPANSION * c4, num_classes)
        initialise(self, "he")

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, any size; ImageNet's weights expect the "imagenet" preset
                of :mod:`dotally.models.preprocessing`.

        Returns:
            ``[B, C]`` logits, whatever the size.
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), start_dim=1))
