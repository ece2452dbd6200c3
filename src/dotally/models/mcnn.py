"""MCNN, the multi-column network (Zhang et al., CVPR 2016), as its published PyTorch weights have it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from dotally.models.receptive_field import ReceptiveField, SeesLocally, receptive_field
from dotally.models.registry import register
from dotally.models.vgg import initialise, scaled


@register("mcnn")
class MCNN(SeesLocally, nn.Module):
    """Columns of large, medium and small kernels over a grey picture; the sum of the map is the count.

    Figure 3 of the paper. The published weights (crowdcount-mcnn) have a ReLU after the last layer too, which
    the figure does not show; without it their counts are far off. The last layer's weights are drawn positive
    here, so that this ReLU is not dead from the start.

    Args:
        width: Factor on every number of channels; published weights fit 1.0.
        in_channels: Channels of the input.

    Raises:
        ValueError: If ``width`` is not positive.
    """

    def __init__(self, *, width: float = 1.0, in_channels: int = 1) -> None:
        super().__init__()
        self.branch1 = _column((16, 32, 16, 8), kernels=(9, 7, 7, 7), in_channels=in_channels, width=width)
        self.branch2 = _column((20, 40, 20, 10), kernels=(7, 5, 5, 5), in_channels=in_channels, width=width)
        self.branch3 = _column((24, 48, 24, 12), kernels=(5, 3, 3, 3), in_channels=in_channels, width=width)
        fuse = nn.Conv2d(sum(scaled(channels, width) for channels in (8, 10, 12)), 1, kernel_size=1)
        self.fuse = nn.Sequential(fuse, nn.ReLU())
        initialise(self, "gaussian")
        # with either sign, the last ReLU cuts off everything from the start in about one seed of ten
        with torch.no_grad():
            fuse.weight.abs_()

    @property
    @override
    def field(self) -> ReceptiveField:
        """72 pixels, the first column's, every 4."""
        return max(receptive_field(column, self.fuse) for column in (self.branch1, self.branch2, self.branch3))

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the density.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, sides of at least 4 pixels; published weights expect
                the "mcnn" preset of :mod:`dotally.models.preprocessing`. The poolings leave out the rest of a
                side that is no multiple of 4.

        Returns:
            ``[B, 1, H // 4, W // 4]`` heads per cell, never negative.
        """
        return self.fuse(torch.cat([self.branch1(x), self.branch2(x), self.branch3(x)], dim=1))


def _column(channels: Sequence[int], *, kernels: Sequence[int], in_channels: int, width: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (full, kernel) in enumerate(zip(channels, kernels, strict=True)):
        out_channels = scaled(full, width)
        layers += [nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2), nn.ReLU()]
        if index < 2:
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        in_channels = out_channels
    return nn.Sequential(*layers)
