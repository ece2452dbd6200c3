"""Maps at the size of the picture: class hypotheses, what a gating's surviving cells say, and any map resized."""

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from dotally.stnet.boxes import BoxRule, kept_cells
from dotally.stnet.geometry import Axis, Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray


def class_hypothesis(
    gating: Tensor, rule: BoxRule, geometry: Geometry, image_size: tuple[int, int], *, sigma: float | None = None
) -> Tensor:
    """Spread every surviving cell over its receptive field, and blur.

    Args:
        gating: ``[B, C, h, w]`` at any layer.
        rule: Which cells survive; ``collapse="intact"`` adds up the channels' survivors.
        geometry: Where that layer's cells lie.
        image_size: (height, width) of the picture in pixels.
        sigma: Of the Gaussian blur, in pixels, 0 for none. None: a fortieth of the longer side (5.6 at 224).

    Returns:
        ``[B, 1, height, width]`` float32 on the CPU.

    Raises:
        ValueError: If ``sigma`` is negative.
    """
    if sigma is not None and sigma < 0:
        raise ValueError(f"sigma must not be negative, got {sigma}")
    kept = kept_cells(gating, rule)
    values = gating.amax(1, keepdim=True) if rule.collapse == "max" else gating
    values = values.sum(1, keepdim=True) if rule.collapse == "sum" else values
    cells = (values * kept).sum(1).double().cpu()
    spread = _squares(cells, geometry, image_size)
    width = max(image_size) / 40 if sigma is None else sigma
    blurred = [ndimage.gaussian_filter(one, width, mode="reflect") for one in spread.numpy()]
    return torch.from_numpy(np.stack(blurred)).float()[:, None]


def score_map(maps: Tensor, image_size: tuple[int, int], *, sigma: float = 0.0) -> Tensor:
    """Bring maps of any method to the picture's size, as metrics and pictures want them.

    Args:
        maps: ``[B, 1, h, w]``.
        image_size: (height, width) of the picture in pixels.
        sigma: Of a Gaussian blur after resizing, in pixels; STNet's maps are sparse and gain by one.

    Returns:
        ``[B, 1, height, width]`` float32 on the maps' device, resized bilinearly.

    Raises:
        ValueError: If ``sigma`` is negative.
    """
    if sigma < 0:
        raise ValueError(f"sigma must not be negative, got {sigma}")
    resized = F.interpolate(maps.float(), image_size, mode="bilinear", align_corners=False)
    if sigma == 0:
        return resized
    blurred = ndimage.gaussian_filter(resized.cpu().numpy(), (0, 0, sigma, sigma), mode="reflect")
    return torch.from_numpy(blurred).to(maps.device)


def paint_hypothesis(hypothesis: Tensor) -> "NDArray[np.uint8]":
    """Paint a class hypothesis in jet colours, from 0.4 times its minimum to 0.8 times its maximum.

    Args:
        hypothesis: ``[H, W]``.

    Returns:
        ``[H, W, 3]`` uint8 RGB.
    """
    from matplotlib import colormaps

    low, high = 0.4 * float(hypothesis.min()), 0.8 * float(hypothesis.max())
    shade = ((hypothesis.double() - low) / max(high - low, 1e-30)).clamp(0, 1).cpu().numpy()
    return (colormaps["jet"](shade)[..., :3] * 255).round().astype(np.uint8)


def _squares(cells: Tensor, geometry: Geometry, image_size: tuple[int, int]) -> Tensor:
    """Add each cell's value to the pixels it sees: corners of a difference image, then summed up."""
    batch, height, width = len(cells), *image_size
    corners = cells.new_zeros(batch, (height + 1) * (width + 1))
    (top, bottom), (left, right) = _reach(geometry.y, height), _reach(geometry.x, width)
    for rows, columns, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        place = rows[:, None] * (width + 1) + columns
        corners.index_add_(1, place.flatten(), sign * cells.flatten(1))
    summed = corners.view(batch, height + 1, width + 1).cumsum(1).cumsum(2)
    # what remains of the differences where nothing was spread is rounding
    return summed[:, :-1, :-1].clamp(min=0) if bool((cells >= 0).all()) else summed[:, :-1, :-1]


def _reach(axis: Axis, limit: int) -> tuple[Tensor, Tensor]:
    """Return the first pixel of every cell's field, and the one after its last."""
    first = torch.arange(axis.size) * axis.stride + axis.start - axis.field // 2
    return first.clamp(0, limit), (first + axis.field).clamp(0, limit)
