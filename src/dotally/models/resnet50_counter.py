"""ResNet-50 as a counter: its first three stages at 1/8 of the picture, then two 1x1 convolutions."""

from typing import Literal, get_args

from torch import Tensor, nn
from typing_extensions import override

from dotally.models.gaussian_field import gaussian_field
from dotally.models.receptive_field import ReceptiveField, SeesLocally
from dotally.models.registry import register
from dotally.models.resnet import EXPANSION, residual_stage
from dotally.models.vgg import initialise, scaled

OutputForm = Literal["linear", "c3"]


@register("resnet50_counter")
class ResNet50Counter(SeesLocally, nn.Module):
    """Density estimation at 1/8 of the picture's size; the sum of the map is the count.

    The "Res50" of C-3-Framework, on which GauNet builds: the third stage keeps its resolution, the fourth is left out.
    C-3 repeats each cell 8 times in either direction at the end, to compare with maps of full size; here a cell is a
    cell. Names of ``conv1`` to ``layer3`` are those of torchvision's ``resnet50``.

    Args:
        width: Factor on every number of channels; ImageNet weights fit 1.0.
        form: "c3" ends with a ReLU as C-3 does, which can die and leave an empty map; "linear" without.
        in_channels: Channels of the input.

    Raises:
        ValueError: If ``width`` is not positive or ``form`` is neither.
    """

    def __init__(self, *, width: float = 1.0, form: OutputForm = "linear", in_channels: int = 3) -> None:
        super().__init__()
        if form not in get_args(OutputForm):
            raise ValueError(f"form must be one of {', '.join(get_args(OutputForm))}, got {form!r}")
        c1, c2, c3 = (scaled(channels, width) for channels in (64, 128, 256))
        self.conv1 = nn.Conv2d(in_channels, c1, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(c1)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = residual_stage(c1, c1, 3)
        self.layer2 = residual_stage(EXPANSION * c1, c2, 4, stride=2)
        self.layer3 = residual_stage(EXPANSION * c2, c3, 6)
        hidden = scaled(128, width)
        self.head = nn.Sequential(
            nn.Conv2d(EXPANSION * c3, hidden, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(hidden, 1, kernel_size=1),
            nn.ReLU() if form == "c3" else nn.Identity(),
        )
        initialise(self, "he")

    @property
    @override
    def field(self) -> ReceptiveField:
        """187 pixels every 8 (in eval mode; batch statistics see more)."""
        return gaussian_field(
            self.conv1, self.bn1, self.relu, self.maxpool, self.layer1, self.layer2, self.layer3, self.head
        )

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the density.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, any size; ImageNet's weights expect the "imagenet" preset of
                :mod:`dotally.models.preprocessing`.

        Returns:
            ``[B, 1, ceil(H / 8), ceil(W / 8)]`` heads per cell; nothing keeps those of "linear" from being
            slightly negative.
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.head(self.layer3(self.layer2(self.layer1(x))))
