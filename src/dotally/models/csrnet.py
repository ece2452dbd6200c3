"""CSRNet: VGG-16's first ten convolutions, then dilated ones (Li, Zhang and Chen, CVPR 2018)."""

from typing import Literal, get_args

from torch import Tensor, nn
from typing_extensions import override

from dotally.models.receptive_field import ReceptiveField, SeesLocally, receptive_field
from dotally.models.registry import register
from dotally.models.vgg import VGG16_FEATURES, Init, conv_stack, initialise, scaled

Backend = Literal["A", "B", "C", "D"]

# table 3 of the paper: the dilation of each back-end convolution
_DILATION: dict[Backend, tuple[int, ...]] = {
    "A": (1, 1, 1, 1, 1, 1),
    "B": (2, 2, 2, 2, 2, 2),
    "C": (2, 2, 2, 4, 4, 4),
    "D": (4, 4, 4, 4, 4, 4),
}
_BACKEND_CHANNELS = (512, 512, 512, 256, 128, 64)
# ten convolutions and three pools
_FRONTEND = VGG16_FEATURES[:13]


@register("csrnet")
class CSRNet(SeesLocally, nn.Module):
    """Density estimation at 1/8 of the picture's size; the sum of the map is the count.

    Without batch norm the state dict has the names of the authors' PyTorch checkpoints (``frontend.N``,
    ``backend.N``, ``output_layer``), and the front end those of VGG-16's ``features``.

    Args:
        backend: Dilations of the back end, table 3 of the paper; "B" (all 2) is the CSRNet of its results.
        width: Factor on every number of channels; published weights fit 1.0.
        batch_norm: Batch normalisation after each 3x3 convolution: what lets a narrow CSRNet learn from scratch.
        in_channels: Channels of the input.
        init: "gaussian" (0.01, section 3.2) or "he"; None takes "he" with batch norm and "gaussian" without.

    Raises:
        ValueError: If ``backend``, ``width`` or ``init`` is none of these.
    """

    def __init__(
        self,
        *,
        backend: Backend = "B",
        width: float = 1.0,
        batch_norm: bool = False,
        in_channels: int = 3,
        init: Init | None = None,
    ) -> None:
        super().__init__()
        if backend not in _DILATION:
            raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}, got {backend!r}")
        self.frontend = conv_stack(_FRONTEND, in_channels=in_channels, width=width, batch_norm=batch_norm)
        self.backend = conv_stack(
            _BACKEND_CHANNELS,
            in_channels=scaled(512, width),
            width=width,
            batch_norm=batch_norm,
            dilation=_DILATION[backend],
        )
        self.output_layer = nn.Conv2d(scaled(64, width), 1, kernel_size=1)
        initialise(self, init or ("he" if batch_norm else "gaussian"))

    @property
    @override
    def field(self) -> ReceptiveField:
        """188, 284, 380 or 476 pixels for A to D, every 8."""
        return receptive_field(self.frontend, self.backend, self.output_layer)

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the density.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, sides of at least 8 pixels. The poolings leave out
                the rest of a side that is no multiple of 8; whoever wants it counted pads first.

        Returns:
            ``[B, 1, H // 8, W // 8]`` heads per cell; nothing keeps it from being slightly negative.
        """
        return self.output_layer(self.backend(self.frontend(x)))
