"""Counters of plain convolutions, as CSRNet's table 1 (CVPR 2018) holds them against MCNN."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from typing_extensions import override

from dotally.models.receptive_field import ReceptiveField, SeesLocally, receptive_field
from dotally.models.registry import register
from dotally.models.vgg import initialise, scaled

Form = Literal["column1", "column2", "column3", "deeper"]
# (output channels, side of the kernel) of each convolution, "M" for a pool
_LAYERS: dict[Form, tuple[tuple[int, int] | Literal["M"], ...]] = {
    "column1": ((16, 9), "M", (32, 7), "M", (16, 7), (8, 7)),
    "column2": ((20, 7), "M", (40, 5), "M", (20, 5), (10, 5)),
    "column3": ((24, 5), "M", (48, 3), "M", (24, 3), (12, 3)),
    "deeper": ((32, 3), "M", (64, 3), "M", (64, 3), "M", (32, 3), (32, 3)),
}


@register("plain_counter")
class PlainCounter(SeesLocally, nn.Module):
    """One column of MCNN alone, or the "deeper CNN" of small kernels that does better with fewer weights.

    Weights without biases, the table's numbers of parameters are exact: 57.75k and 45.99k (columns 1 and 2, grey),
    25.14k and 83.84k (column 3 and the deeper network, RGB).

    Args:
        form: "column1", "column2", "column3" (MCNN's large, medium and small kernels) or "deeper".
        width: Factor on every number of channels.
        in_channels: Channels of the input.

    Raises:
        ValueError: If ``form`` is none of these or ``width`` is not positive.
    """

    def __init__(self, form: Form = "deeper", *, width: float = 1.0, in_channels: int = 3) -> None:
        super().__init__()
        if form not in _LAYERS:
            raise ValueError(f"form must be one of {', '.join(get_args(Form))}, got {form!r}")
        self.features = _stack(_LAYERS[form], in_channels=in_channels, width=width)
        last = [entry for entry in _LAYERS[form] if entry != "M"][-1]
        self.output_layer = nn.Conv2d(scaled(last[0], width), 1, kernel_size=1)
        initialise(self, "he")

    @property
    @override
    def field(self) -> ReceptiveField:
        """Every 4 pixels; every 8 of "deeper"."""
        return receptive_field(self.features, self.output_layer)

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the density.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, sides of at least a stride; the poolings leave out the rest
                of a side that is no multiple of it.

        Returns:
            ``[B, 1, H // stride, W // stride]`` heads per cell; nothing keeps it from being slightly negative.
        """
        return self.output_layer(self.features(x))


def _stack(entries: Sequence[tuple[int, int] | Literal["M"]], *, in_channels: int, width: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for entry in entries:
        if entry == "M":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        channels, kernel = scaled(entry[0], width), entry[1]
        layers += [nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2), nn.ReLU()]
        in_channels = channels
    return nn.Sequential(*layers)
