"""AlexNet in the one-column form of "One weird trick" (Krizhevsky, arXiv 1404.5997), as torchvision publishes it."""

import torch
from torch import Tensor, nn

from dotally.models.registry import register
from dotally.models.vgg import initialise, scaled


@register("alexnet")
class AlexNet(nn.Module):
    """AlexNet with the names and shapes of torchvision's state dict (``alexnet``).

    Args:
        num_classes: Number of classes C.
        width: Factor on every number of channels, 4096 hidden units included; torchvision's file fits 1.0.
        in_channels: Channels of the input.

    Raises:
        ValueError: If ``width`` is not positive.
    """

    def __init__(self, *, num_classes: int = 1000, width: float = 1.0, in_channels: int = 3) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (scaled(channels, width) for channels in (64, 192, 384, 256, 256))
        hidden = scaled(4096, width)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, c1, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(c1, c2, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(c2, c3, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c3, c4, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c4, c5, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(c5 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        )
        initialise(self, "he")

    def forward(self, x: Tensor) -> Tensor:
        """Return the class scores.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, sides of at least 63 pixels; ImageNet's weights
                expect the "imagenet" preset of :mod:`dotally.models.preprocessing`.

        Returns:
            ``[B, C]`` logits, whatever the size.
        """
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), start_dim=1))
