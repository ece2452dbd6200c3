"""Boxes of pixels: how much two of them share, and how they are drawn around the high places of a map."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

Compat = Literal["fixed", "release"]
Contours = Literal["largest", "all"]

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def box_iou(a: Tensor, b: Tensor, *, compat: Compat = "fixed") -> Tensor:
    """Return the intersection of boxes over their union, with the first and the last pixel part of a box.

    Widths are x1 - x0 + 1 and heights likewise, those of the intersection too. The released STNet moreover calls it 0
    unless max(x0) < min(x1) and max(y0) < min(y1), so that boxes one pixel wide never match anything.

    Args:
        a: ``[..., 4]`` (x0, y0, x1, y1) in pixels.
        b: Likewise, of a shape that goes with that of ``a``.
        compat: "fixed" as defined, "release" with that exception.

    Returns:
        ``[...]`` float64 in [0, 1]; 0 where a number is NaN.

    Raises:
        ValueError: If ``compat`` is neither.
    """
    if compat not in ("fixed", "release"):
        raise ValueError(f"compat must be 'fixed' or 'release', got {compat!r}")
    a, b = a.double(), b.double()
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    extent = (high - low + 1).clamp(min=0)
    if compat == "release":
        extent = extent.where(high > low, 0)
    shared = extent.prod(-1)
    union = _area(a) + _area(b) - shared
    return torch.where(shared > 0, shared / union, 0)


def best_iou(predicted: Tensor, boxes: Tensor, count: Tensor, *, compat: Compat = "fixed") -> Tensor:
    """Return the IoU of each picture's predicted box with the annotated box that it fits best.

    Args:
        predicted: ``[B, 4]``, one box a picture.
        boxes: ``[sum N, 4]``, the annotated boxes of all pictures in a row.
        count: ``[B]`` int64, how many of these belong to each picture, at least one.
        compat: See :func:`box_iou`.

    Returns:
        ``[B]`` float64.

    Raises:
        ValueError: If shapes and counts disagree, or a picture has no annotated box.
    """
    if predicted.shape != (len(count), 4) or boxes.shape != (int(count.sum()), 4):
        raise ValueError(
            f"expected {len(count)} predicted and {int(count.sum())} annotated boxes of 4 numbers, got "
            f"{list(predicted.shape)} and {list(boxes.shape)}"
        )
    if (count < 1).any():
        raise ValueError("every picture needs an annotated box to be judged by; pictures for training have none")
    picture = torch.arange(len(count), device=count.device).repeat_interleave(count)
    overlap = box_iou(predicted[picture], boxes, compat=compat)
    return overlap.new_zeros(len(count)).scatter_reduce(0, picture, overlap, "amax")


def normalise_maps(maps: Tensor) -> Tensor:
    """Stretch each map from its minimum to its maximum; constant maps and those with NaN or infinity become zero.

    Args:
        maps: ``[B, H, W]``.

    Returns:
        ``[B, H, W]`` float32 in [0, 1], 0 and 1 attained where a map is not zero.
    """
    low, high = (reduce(maps.float(), dim=(1, 2), keepdim=True) for reduce in (torch.amin, torch.amax))
    usable = torch.isfinite(high - low) & (high > low)
    return torch.where(usable, (maps - low) / torch.where(usable, high - low, 1), 0)


def map_boxes(maps: Tensor, threshold: float) -> Tensor:
    """Return the box around the largest 8-connected group of cells above ``threshold`` of each normalised map.

    The largest has the most cells; of equals it is the one met first in raster order. Where no cell is above the
    threshold the box is the first pixel, (0, 0, 0, 0).

    Args:
        maps: ``[B, H, W]``, of any scale; see :func:`normalise_maps`.
        threshold: Share of the maximum, 0 or more and less than 1.

    Returns:
        ``[B, 4]`` float32, (x0, y0, x1, y1) in cells, first and last included.
    """
    scores = normalise_maps(maps).cpu().numpy()
    found = [component_boxes(one > threshold, "largest")[0] for one in scores]
    return torch.tensor(np.array(found).reshape(-1, 4), dtype=torch.float32, device=maps.device)


def component_boxes(mask: NDArray[np.bool_], contours: Contours) -> NDArray[np.int64]:
    """Return ``[K, 4]`` boxes of the 8-connected groups of a mask ``[H, W]``, of all of them or of the largest.

    There is always one: that of the first pixel where the mask is empty.
    """
    labels, number = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    if number == 0:
        return np.zeros((1, 4), dtype=np.int64)
    slices = ndimage.find_objects(labels)
    if contours == "largest":
        slices = [slices[np.bincount(labels.ravel())[1:].argmax()]]
    return np.array([(x.start, y.start, x.stop - 1, y.stop - 1) for y, x in slices], dtype=np.int64)


def _area(box: Tensor) -> Tensor:
    return (box[..., 2:] - box[..., :2] + 1).clamp(min=0).prod(-1)
