"""GauNet (Cheng et al., CVPR 2022): counting networks whose convolutions are sums of displaced Gaussians.

Its published code cannot run; what is built here follows its backbone files where they are readable (which layers, how
many Gaussians) and figure 3 where these cannot be what was meant. By default, layers have free weights, one width and
bilinear shifts, as the operator which that code calls, but displacements that the whole layer shares, which is fast.
``preset="gaunet"`` is the figure's layer; its fusion weights leave each pair of channels a filter of one sign, so on
pictures without negative values about half of a first layer's channels start dead.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from dotally.models.gaussian_field import gaussian_field
from dotally.models.mcnn import MCNN
from dotally.models.receptive_field import ReceptiveField, SeesLocally
from dotally.models.registry import register
from dotally.models.resnet50_counter import OutputForm, ResNet50Counter
from dotally.models.sanet import Form, SANet
from dotally.models.vgg import VGG16_FEATURES, conv_stack, initialise, scaled
from dotally.nn import GaussianConv2d, gaussianize, parameter_groups
from dotally.nn.gaussian_setting import Preset

Arrangement = Literal["pyramid", "sequence"]
_BACKEND_CHANNELS = (512, 512, 512, 256, 128, 64)
# ten convolutions and three pools, as in CSRNet
_FRONTEND = VGG16_FEATURES[:13]
# Gaussians of the last two layers of MCNN's columns; all others have 16
_MCNN_LAST = {"branch1": 2, "branch2": 4, "branch3": 8}
_MCNN_FIRST = 16


class TrainedInGroups(nn.Module):
    """A network whose displacements and widths are not pulled anywhere by weight decay."""

    def parameter_groups(self, *, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Return what an optimizer is built from; see :func:`dotally.nn.parameter_groups`.

        All learn at one rate, as in the published code: it multiplies the gradients of displacements by 500, which
        its optimizer, Adam, divides out again.
        """
        return parameter_groups(self, lr=lr, weight_decay=weight_decay, mu_lr_scale=1.0)


@register("gaunet_mcnn")
class GauNetMCNN(TrainedInGroups, MCNN):
    """MCNN with Gaussians in every layer: 16 in the first two of each column and the last, then 2, 4 and 8.

    Args:
        width: Factor on every number of channels.
        in_channels: Channels of the input.
        preset: None, "gaunet" (figure 3) or "dau"; see the module and :class:`dotally.nn.GaussianConv2d`.
        layer: Further arguments of the Gaussian layers, such as ``{"shift": "exact", "max_sigma": 1.0}``.

    Raises:
        ValueError: If ``width`` is not positive or ``preset`` is unknown.
    """

    def __init__(
        self,
        *,
        width: float = 1.0,
        in_channels: int = 1,
        preset: Preset | None = None,
        layer: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(width=width, in_channels=in_channels)
        kind = _kind(preset, layer)
        gaussianize(self, ["branch*.0", "branch*.3", "fuse.0"], num_gaussians=_MCNN_FIRST, **kind)
        for column, count in _MCNN_LAST.items():
            gaussianize(self, [f"{column}.6", f"{column}.8"], num_gaussians=count, **kind)
        # with either sign, the last ReLU could cut off everything from the start
        fuse = self.fuse[0]
        assert isinstance(fuse, GaussianConv2d)
        with torch.no_grad():
            fuse.weight.abs_()

    @property
    @override
    def field(self) -> ReceptiveField:
        """The first column's, every 4 pixels."""
        return max(gaussian_field(column, self.fuse) for column in (self.branch1, self.branch2, self.branch3))


@register("gaunet_csrnet")
class GauNetCSRNet(TrainedInGroups, SeesLocally, nn.Module):
    """CSRNet's front end, then back ends of six Gaussian layers each; nothing is dilated.

    Args:
        gaussians: Gaussians K of each back end.
        arrangement: "pyramid" puts the back ends side by side, each with a 1x1 convolution of its own whose results
            add up (figure 3); "sequence" puts them one after the other, as the published code does, with a last
            Gaussian layer of 8.
        width: Factor on every number of channels; ImageNet weights fit 1.0.
        batch_norm: Batch normalisation after each layer but the last.
        in_channels: Channels of the input.
        preset: None, "gaunet" (figure 3) or "dau"; see the module and :class:`dotally.nn.GaussianConv2d`.
        layer: Further arguments of the Gaussian layers, such as ``{"shift": "exact", "max_sigma": 1.0}``.
        max_offset: Largest displacement in cells of 8 pixels; 2 is how far a layer of CSRNet B reaches.

    Raises:
        ValueError: If an argument is none of these.
    """

    def __init__(
        self,
        *,
        gaussians: Sequence[int] = (2, 4, 8),
        arrangement: Arrangement = "pyramid",
        width: float = 1.0,
        batch_norm: bool = False,
        in_channels: int = 3,
        preset: Preset | None = None,
        layer: Mapping[str, Any] | None = None,
        max_offset: float = 2,
    ) -> None:
        super().__init__()
        if not isinstance(gaussians, Sequence) or not gaussians:
            raise ValueError(f"gaussians must name each back end's K, as (2, 4, 8) does, got {gaussians!r}")
        if arrangement not in ("pyramid", "sequence"):
            raise ValueError(f"arrangement must be 'pyramid' or 'sequence', got {arrangement!r}")
        self.arrangement = arrangement
        self.frontend = conv_stack(_FRONTEND, in_channels=in_channels, width=width, batch_norm=batch_norm)
        initialise(self.frontend, "he")
        kind = {"max_offset": max_offset, **_kind(preset, layer)}
        channels = [scaled(count, width) for count in _BACKEND_CHANNELS]
        backends, entry = [], scaled(512, width)
        for count in gaussians:
            convolutions = [
                GaussianConv2d(i, o, count, bias=not batch_norm, **kind)
                for i, o in zip([entry, *channels], channels, strict=False)
            ]
            backends.append(_stack(convolutions, batch_norm=batch_norm))
            entry = channels[-1] if arrangement == "sequence" else entry
        self.backends = nn.ModuleList(backends)
        if arrangement == "sequence":
            self.output_layer: nn.Module = GaussianConv2d(channels[-1], 1, 8, **kind)
        else:
            self.output_layer = nn.Conv2d(len(backends) * channels[-1], 1, kernel_size=1)
            initialise(self.output_layer, "he")

    @property
    @override
    def field(self) -> ReceptiveField:
        """Every 8 pixels; as far as displacements and widths may ever grow."""
        path = list(self.backends) if self.arrangement == "sequence" else [self.backends[0]]
        return gaussian_field(self.frontend, *path, self.output_layer)

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the density.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, sides of at least 8 pixels; the poolings leave out the rest
                of a side that is no multiple of 8.

        Returns:
            ``[B, 1, H // 8, W // 8]`` heads per cell; nothing keeps it from being slightly negative.
        """
        x = self.frontend(x)
        if self.arrangement == "sequence":
            for backend in self.backends:
                x = backend(x)
            return self.output_layer(x)
        # a 1x1 convolution on the concatenation is the sum of one on each
        return self.output_layer(torch.cat([backend(x) for backend in self.backends], dim=1))


@register("gaunet_sanet")
class GauNetSANet(TrainedInGroups, SANet):
    """SANet with Gaussians in place of every convolution; the transposed ones stay.

    A layer's largest displacement is how far the kernel it replaces reached, at least 1 pixel. How many Gaussians the
    paper has is not known.

    Args:
        num_gaussians: Gaussians K of each layer.
        width: Factor on every number of channels.
        form: "paper" or "c3"; see :class:`SANet`.
        in_channels: Channels of the input.
        preset: None, "gaunet" (figure 3) or "dau"; see the module and :class:`dotally.nn.GaussianConv2d`.
        layer: Further arguments of the Gaussian layers, such as ``{"shift": "exact", "max_sigma": 1.0}``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        num_gaussians: int = 4,
        width: float = 1.0,
        form: Form = "paper",
        in_channels: int = 3,
        preset: Preset | None = None,
        layer: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(width=width, form=form, in_channels=in_channels)
        gaussianize(self, "*", num_gaussians=num_gaussians, **_kind(preset, layer))


@register("gaunet_resnet50_counter")
class GauNetResNet50Counter(TrainedInGroups, ResNet50Counter):
    """ResNet-50 counter with Gaussians in place of the bottlenecks' 3x3 convolutions (figure 3).

    The published code replaces a 1x1 shortcut of the third stage instead.

    Args:
        num_gaussians: Gaussians K of each layer; 4 in the published code.
        stages: Stages (1 to 3) whose bottlenecks change; the figure draws the second, the code touches the third.
        width: Factor on every number of channels; ImageNet weights fit 1.0.
        form: "linear" or "c3"; see :class:`ResNet50Counter`.
        in_channels: Channels of the input.
        preset: None, "gaunet" (figure 3) or "dau"; see the module and :class:`dotally.nn.GaussianConv2d`.
        layer: Further arguments of the Gaussian layers, such as ``{"shift": "exact", "max_sigma": 1.0}``.
        max_offset: Largest displacement in cells of the layer's input.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        num_gaussians: int = 4,
        stages: Sequence[int] = (2, 3),
        width: float = 1.0,
        form: OutputForm = "linear",
        in_channels: int = 3,
        preset: Preset | None = None,
        layer: Mapping[str, Any] | None = None,
        max_offset: float = 2,
    ) -> None:
        super().__init__(width=width, form=form, in_channels=in_channels)
        if not stages or not set(stages) <= {1, 2, 3}:
            raise ValueError(f"stages must be some of 1, 2, 3, got {list(stages)}")
        names = [f"layer{stage}.*.conv2" for stage in stages]
        kind = {"max_offset": max_offset, **_kind(preset, layer)}
        gaussianize(self, names, num_gaussians=num_gaussians, **kind)


def _kind(preset: Preset | None, layer: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"preset": preset, "shift": "bilinear", **(layer or {})}


def _stack(convolutions: Sequence[nn.Module], *, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for convolution in convolutions:
        layers.append(convolution)
        if batch_norm:
            assert isinstance(convolution, GaussianConv2d)
            layers.append(nn.BatchNorm2d(convolution.out_channels))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)
