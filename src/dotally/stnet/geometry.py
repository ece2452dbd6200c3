"""Where the cells of a layer lie in the picture, and how far they see."""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn

from dotally.stnet.convolution import pair
from dotally.stnet.network import Network, Observed


class Axis(NamedTuple):
    """One direction of a layer's grid, in pixels of the picture.

    Attributes:
        size: Cells.
        stride: Distance between two cells.
        field: Side of the receptive field.
        start: Centre of the first cell's receptive field, rounded down layer by layer as in the release.
    """

    size: int
    stride: int
    field: int
    start: int

    def through(self, size: int, kernel: int, stride: int, dilation: int = 1) -> "Axis":
        """Return the axis behind a window; its padding follows from the sizes."""
        span = (kernel - 1) * dilation + 1
        margin = math.ceil(((size - 1) * stride - self.size + span) / 2)
        start = int(self.start + ((span - 1) / 2 - margin) * self.stride)
        return Axis(size, self.stride * stride, self.field + (span - 1) * self.stride, start)


class Geometry(NamedTuple):
    """Both directions of a layer's grid."""

    y: Axis
    x: Axis


_CONVOLUTIONS = (nn.Conv2d, F.conv2d, torch.conv2d)
_MAX_POOLS = (nn.MaxPool2d, F.max_pool2d, torch.max_pool2d)
_AVERAGE_POOLS = (nn.AvgPool2d, F.avg_pool2d)
_ADAPTIVE_POOLS = (nn.AdaptiveAvgPool2d, F.adaptive_avg_pool2d, nn.AdaptiveMaxPool2d, F.adaptive_max_pool2d)


def geometry_of(network: Network, observed: Observed, step: fx.Node) -> Geometry | None:
    """Compute where a step's cells lie in the picture.

    Where branches meet, the one that sees farthest counts.

    Returns:
        None where the step's result is no map of regular cells: behind a linear layer, or behind branches of
        different strides.
    """
    found: dict[fx.Node, Geometry | None] = {}
    for node in network.steps:
        shape = observed.shapes.get(node)
        if node is network.image and shape is not None:
            found[node] = Geometry(Axis(shape[2], 1, 1, 0), Axis(shape[3], 1, 1, 0))
        elif shape is not None and node in network.depends_on_image:
            found[node] = _behind(network, observed, node, found) if len(shape) == 4 else None
        if node is step:
            return found.get(step)
    return None


def _behind(
    network: Network, observed: Observed, node: fx.Node, found: dict[fx.Node, Geometry | None]
) -> Geometry | None:
    branches = [found[source] for source in network.sources(node) if source in found]
    known = [branch for branch in branches if branch is not None]
    if not known or len(known) < len(branches) or len({(g.y.stride, g.x.stride) for g in known}) > 1:
        return None
    geometry = max(known, key=lambda branch: (branch.y.field, branch.x.field))
    height, width = observed.shapes[node][2:]
    window = _window(network, observed, node, geometry, (height, width))
    if window is not None:
        kernel, stride, dilation = window
        return Geometry(
            geometry.y.through(height, kernel[0], stride[0], dilation[0]),
            geometry.x.through(width, kernel[1], stride[1], dilation[1]),
        )
    return geometry if (height, width) == (geometry.y.size, geometry.x.size) else None


def _window(
    network: Network, observed: Observed, node: fx.Node, before: Geometry, size: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None:
    def options(**defaults: Any) -> dict[str, Any]:
        return network.options(node, observed.values, defaults)

    kind = network.kind(node)
    if _is(kind, _CONVOLUTIONS):
        given = options(weight=None, bias=None, stride=1, padding=0, dilation=1)
        return pair(given["weight"].shape[2:]), pair(given["stride"]), pair(given["dilation"])
    if _is(kind, _MAX_POOLS):
        given = options(kernel_size=None, stride=None, padding=0, dilation=1)
        return pair(given["kernel_size"]), pair(given["stride"] or given["kernel_size"]), pair(given["dilation"])
    if _is(kind, _AVERAGE_POOLS):
        given = options(kernel_size=None, stride=None)
        return pair(given["kernel_size"]), pair(given["stride"] or given["kernel_size"]), (1, 1)
    if _is(kind, _ADAPTIVE_POOLS) and before.y.size % size[0] == 0 and before.x.size % size[1] == 0:
        side = (before.y.size // size[0], before.x.size // size[1])
        return side, side, (1, 1)
    return None


def _is(kind: object, kinds: tuple[object, ...]) -> bool:
    return any(known in kinds for known in (kind.__mro__ if isinstance(kind, type) else (kind,)))
