"""Where the Gaussians of a fresh layer stand and how wide they are."""

import math

import torch
from torch import Tensor

JITTER = 0.1  # pixels; tells units apart that would otherwise stay equal


def grid_sides(count: int) -> tuple[int, int]:
    """Split ``count`` units into columns and rows as square as whole numbers allow, columns first: 8 is 4 x 2."""
    rows = next(rows for rows in range(math.isqrt(count), 0, -1) if count % rows == 0)
    return count // rows, rows


def grid_offsets(count: int, max_offset: float) -> Tensor:
    """Place units in the middles of the cells of a grid over ``[-max_offset, max_offset]`` and half a pixel around.

    The n units of an axis stand at ``(j + 1/2) (2 m + 1) / n - 1/2 - m``, j = 0 .. n - 1: what DAU-ConvNet means by
    its initialisation; the published one puts all units on the diagonal, two of four on each other.

    Args:
        count: Number of units K.
        max_offset: Largest displacement m in pixels.

    Returns:
        ``[K, 2]`` float32 displacements (x, y) in pixels, within ``max_offset``.
    """
    columns, rows = (_axis(units, max_offset) for units in grid_sides(count))
    x, y = torch.meshgrid(columns, rows, indexing="xy")
    return torch.stack([x.flatten(), y.flatten()], dim=-1).clamp(-max_offset, max_offset)


def spread_sigmas(count: int, low: float, high: float) -> Tensor:
    """Return ``[count]`` float32 widths from ``low`` to ``high``, each larger than the last by the same factor."""
    return torch.logspace(math.log2(low), math.log2(high), count, base=2.0)


def _axis(units: int, max_offset: float) -> Tensor:
    return (torch.arange(units) + 0.5) * ((2 * max_offset + 1) / units) - 0.5 - max_offset
