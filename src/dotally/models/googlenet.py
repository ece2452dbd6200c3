"""GoogLeNet (Szegedy et al., CVPR 2015) with batch normalisation, as torchvision publishes it."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dotally.models.registry import register
from dotally.models.vgg import initialise, scaled


class ConvNormReLU(nn.Module):
    """A convolution without bias, batch normalisation, ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=False)
        # TensorFlow's epsilon, with which the published weights were trained
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, out_channels, H', W']``, not negative."""
        return self.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four views of one map, concatenated: 1x1, 3x3, a second 3x3 where the paper has 5x5, and a max-pool.

    Args:
        in_channels: Channels of the input.
        one: Channels of the 1x1 convolution, as the next five before scaling (a row of the paper's table 1).
        three_reduce: Channels of the 1x1 convolution in front of the first 3x3.
        three: Channels of the first 3x3 convolution.
        five_reduce: Channels of the 1x1 convolution in front of the second 3x3.
        five: Channels of the second 3x3 convolution.
        pool: Channels of the 1x1 convolution behind the max-pool.
        width: Factor on these channels.
    """

    def __init__(
        self,
        in_channels: int,
        one: int,
        three_reduce: int,
        three: int,
        five_reduce: int,
        five: int,
        pool: int,
        *,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        full = (one, three_reduce, three, five_reduce, five, pool)
        one, three_reduce, three, five_reduce, five, pool = (scaled(channels, width) for channels in full)
        self.out_channels = one + three + five + pool
        self.branch1 = ConvNormReLU(in_channels, one, 1)
        self.branch2 = nn.Sequential(
            ConvNormReLU(in_channels, three_reduce, 1), ConvNormReLU(three_reduce, three, 3, padding=1)
        )
        # torchvision's weights have 3x3 windows here, not the paper's 5x5
        self.branch3 = nn.Sequential(
            ConvNormReLU(in_channels, five_reduce, 1), ConvNormReLU(five_reduce, five, 3, padding=1)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True), ConvNormReLU(in_channels, pool, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, out_channels, H, W]``."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class AuxiliaryHead(nn.Module):
    """A classifier half way up, for the loss only (section 5 of the paper)."""

    def __init__(self, in_channels: int, num_classes: int, width: float) -> None:
        super().__init__()
        channels, hidden = scaled(128, width), scaled(1024, width)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = ConvNormReLU(in_channels, channels, 1)
        self.fc1 = nn.Linear(channels * 4 * 4, hidden)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, num_classes]`` logits."""
        hidden = self.relu(self.fc1(torch.flatten(self.conv(self.pool(x)), start_dim=1)))
        return self.fc2(self.dropout(hidden))


class GoogLeNetScores(NamedTuple):
    """What a GoogLeNet with auxiliary heads returns while it trains, each ``[B, C]`` logits.

    Attributes:
        logits: Of the network's end.
        aux2: Of the head after inception 4d.
        aux1: Of the head after inception 4a.
    """

    logits: Tensor
    aux2: Tensor
    aux1: Tensor


@register("googlenet")
class GoogLeNet(nn.Module):
    """GoogLeNet with the names and shapes of torchvision's state dict (``googlenet``).

    Args:
        num_classes: Number of classes C.
        width: Factor on every number of channels; torchvision's file fits 1.0.
        aux_logits: The two auxiliary heads; torchvision's file holds (untrained) ones.
        transform_input: Turn pictures of the "imagenet" preset into those of -1..1 that torchvision's weights were
            trained on, ported from TensorFlow.
        in_channels: Channels of the input.

    Raises:
        ValueError: If ``width`` is not positive, or ``transform_input`` meets other than three channels.
    """

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        width: float = 1.0,
        aux_logits: bool = False,
        transform_input: bool = False,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if transform_input and in_channels != 3:
            raise ValueError(f"transform_input is for three channels, got in_channels={in_channels}")
        self.transform_input = transform_input
        narrow, wide = scaled(64, width), scaled(192, width)
        inception = partial(Inception, width=width)
        self.conv1 = ConvNormReLU(in_channels, narrow, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.conv2 = ConvNormReLU(narrow, narrow, 1)
        self.conv3 = ConvNormReLU(narrow, wide, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.inception3a = inception(wide, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(self.inception3a.out_channels, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.inception4a = inception(self.inception3b.out_channels, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(self.inception4a.out_channels, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(self.inception4b.out_channels, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(self.inception4c.out_channels, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(self.inception4d.out_channels, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True)
        self.inception5a = inception(self.inception4e.out_channels, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(self.inception5a.out_channels, 384, 192, 384, 48, 128, 128)
        self.aux1 = AuxiliaryHead(self.inception4a.out_channels, num_classes, width) if aux_logits else None
        self.aux2 = AuxiliaryHead(self.inception4d.out_channels, num_classes, width) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(self.inception5b.out_channels, num_classes)
        initialise(self, "he")

    def forward(self, x: Tensor) -> Tensor | GoogLeNetScores:
        """Return the class scores.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, sides of at least 15 pixels; ImageNet's weights expect
                the "imagenet" preset of :mod:`dotally.models.preprocessing`.

        Returns:
            ``[B, C]`` logits, whatever the size; while training with auxiliary heads, :class:`GoogLeNetScores`.
        """
        if self.transform_input:
            x = _imagenet_to_unit(x)
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        middle = self.inception4a(x)
        late = self.inception4d(self.inception4c(self.inception4b(middle)))
        x = self.inception5b(self.inception5a(self.maxpool4(self.inception4e(late))))
        logits = self.fc(self.dropout(torch.flatten(self.avgpool(x), start_dim=1)))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return GoogLeNetScores(logits, self.aux2(late), self.aux1(middle))
        return logits


def _imagenet_to_unit(x: Tensor) -> Tensor:
    # (x * std + mean - 0.5) / 0.5 channel by channel, without a tensor that would have to be moved to the device
    moments = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
    planes = [x[:, c : c + 1] * (std / 0.5) + (mean - 0.5) / 0.5 for c, (mean, std) in enumerate(moments)]
    return torch.cat(planes, dim=1)
