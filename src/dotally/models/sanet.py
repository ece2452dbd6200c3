"""SANet, the scale aggregation network (Cao et al., ECCV 2018)."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dotally.models.registry import register
from dotally.models.vgg import initialise, scaled

Form = Literal["paper", "c3"]
# output channels of the four scale aggregation modules
_ENCODER: dict[Form, tuple[int, int, int, int]] = {"paper": (64, 128, 128, 64), "c3": (64, 128, 128, 128)}
_KERNELS = (1, 3, 5, 7)
_POOLED = 8


@register("sanet")
class SANet(nn.Module):
    """Density at the picture's own size: aggregated scales, then transposed convolutions; its sum is the count.

    Instance normalisation sees the whole map, so a cell depends on all of the picture.

    Args:
        width: Factor on every number of channels.
        form: "paper" ends its encoder with 64 channels (0.91 M parameters, as its table says) and its last layer is
            linear; "c3" is that of C-3-Framework, from which GauNet's code comes, with 128 (1.39 M) and a last ReLU,
            which often dies and leaves an empty map (re-implementations report this of most random starts).
        in_channels: Channels of the input.

    Raises:
        ValueError: If ``width`` is not positive or ``form`` is neither.
    """

    def __init__(self, *, width: float = 1.0, form: Form = "paper", in_channels: int = 3) -> None:
        super().__init__()
        if form not in _ENCODER:
            raise ValueError(f"form must be one of {', '.join(get_args(Form))}, got {form!r}")
        c1, c2, c3, c4 = (4 * scaled(channels // 4, width) for channels in _ENCODER[form])
        d1, d2, d3 = (scaled(channels, width) for channels in (64, 32, 16))
        self.encoder = nn.Sequential(
            ScaleAggregation(in_channels, c1, reduce=False),
            nn.MaxPool2d(kernel_size=2, stride=2),
            ScaleAggregation(c1, c2),
            nn.MaxPool2d(kernel_size=2, stride=2),
            ScaleAggregation(c2, c3),
            nn.MaxPool2d(kernel_size=2, stride=2),
            ScaleAggregation(c3, c4),
        )
        self.decoder = nn.Sequential(
            *_normalised(nn.Conv2d(c4, d1, 9, padding=4, bias=False)),
            *_normalised(nn.ConvTranspose2d(d1, d1, 2, stride=2, bias=False)),
            *_normalised(nn.Conv2d(d1, d2, 7, padding=3, bias=False)),
            *_normalised(nn.ConvTranspose2d(d2, d2, 2, stride=2, bias=False)),
            *_normalised(nn.Conv2d(d2, d3, 5, padding=2, bias=False)),
            *_normalised(nn.ConvTranspose2d(d3, d3, 2, stride=2, bias=False)),
            *_normalised(nn.Conv2d(d3, d3, 3, padding=1, bias=False)),
        )
        self.output_layer = nn.Conv2d(d3, 1, kernel_size=1)
        self.activation = nn.ReLU() if form == "c3" else nn.Identity()
        initialise(self, "he")

    @property
    def stride(self) -> int:
        """Side of an output cell in input pixels: 1."""
        return 1

    @property
    def receptive_field(self) -> None:
        """None: normalised by statistics of the whole map, a cell depends on every pixel."""
        return None

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the density.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, any size; sides that are no multiple of 8, or shorter than
                16, are padded with zeros on the right and at the bottom, and the density there is cut off.

        Returns:
            ``[B, 1, H, W]`` heads per pixel; nothing keeps those of "paper" from being slightly negative.
        """
        height, width = x.shape[-2:]
        # instance norm has no statistics of a map of one cell
        down, right = (max(16, -(-length // _POOLED) * _POOLED) - length for length in (height, width))
        x = self.decoder(self.encoder(F.pad(x, (0, right, 0, down))))
        return self.activation(self.output_layer(x))[..., :height, :width]


class ScaleAggregation(nn.Module):
    """Kernels of 1, 3, 5 and 7 side by side, a quarter of the output channels each (figure 3 of the paper).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, a multiple of 4.
        reduce: Whether the larger kernels see half as many channels as the output has, through 1x1 convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, *, reduce: bool = True) -> None:
        super().__init__()
        quarter = out_channels // 4
        branches = []
        for kernel in _KERNELS:
            layers: list[nn.Module] = []
            channels = in_channels
            if reduce and kernel > 1:
                channels = 2 * quarter
                layers += _normalised(nn.Conv2d(in_channels, channels, 1, bias=False))
            layers += _normalised(nn.Conv2d(channels, quarter, kernel, padding=kernel // 2, bias=False))
            branches.append(nn.Sequential(*layers))
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, out_channels, H, W]``, not negative."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def _normalised(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(convolution.out_channels, affine=True), nn.ReLU()]
