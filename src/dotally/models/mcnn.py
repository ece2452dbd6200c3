"""MCNN, the multi-column network (Zhang et al., CVPR 2016), as its published PyTorch weights have it."""

from torch import Tensor, nn
import torch

from dotally.models.receptive_field import receptive_field
from dotally.models.registry import register
from dotally.models.vgg import Init, initialise, scaled


@register("mcnn")
class MCNN(nn.Module):
    """Three columns of large, medium and small kernels over a grey picture; the sum of the map is the count.

    Figure 3 of the paper.

    Args:
        width: Factor on every number of channels; published weights fit 1.0.
        in_channels: Channels of the input.
        init: "gaussian" (0.01, as published) or "he".
    """

    def __init__(self, *, width: float = 1.0, in_channels: int = 1, init: Init = "gaussian") -> None:
        super().__init__()
        self.branch1 = _column((16, 32, 16, 8), (9, 7, 7, 7), in_channels=in_channels, width=width)
        self.branch2 = _column((20, 40, 20, 10), (7, 5, 5, 5), in_channels=in_channels, width=width)
        self.branch3 = _column((24, 48, 24, 12), (5, 3, 3, 3), in_channels=in_channels, width=width)
        self.fuse = nn.Conv2d(sum(scaled(n, width) for n in (8, 10, 12)), 1, kernel_size=1)
        initialise(self, init)

    def forward(self, x):
        return self.fuse(torch.cat([self.branch1(x), self.branch2(x), self.branch3(x)], dim=1))


def _column(channels, kernels, *, in_channels, width):
    layers: list[nn.Module] = []
    for index, (n, k) in enumerate(zip(channels, kernels)):
        n = scaled(n, width)
        layers += [nn.Conv2d(in_channels, n, k, padding=k // 2), nn.ReLU()]
        if index < 2:
            layers.append(nn.MaxPool2d(2))
        in_channels = n
    return nn.Sequential(*layers)
