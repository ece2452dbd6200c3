"""How far apart dots lie, and what follows from it for the size of pictures and the width of dots in a target."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from dotally.data.dotted import Dotted

# pixels between neighbours that a network of stride 8 tells apart with ease; more would only cost time
WANTED = 32.0
# between these a longest side is chosen, and within them a width: half a cell of stride 8 to one and a half
SIDES = 128, 2048
WIDTHS = 4.0, 12.0
# of the distance between neighbours; objects that touch are as large as they are far apart
WIDTH = 0.25


class Scale(NamedTuple):
    """How pictures are shrunk and dots drawn.

    Attributes:
        longest_side: Pixels that larger pictures are shrunk to; None shrinks none.
        sigma: Width of a dot in pixels of the shrunk picture.
    """

    longest_side: int | None
    sigma: float


def spacing(pictures: Sequence[Dotted]) -> float | None:
    """Return the median distance of a dot to the nearest one elsewhere in its picture, in pixels; None without any."""
    return _median([_nearest(np.unique(one.points, axis=0)) for one in pictures])


def chosen_scale(pictures: Sequence[Dotted], longest_side: int | Literal["auto"] | None = "auto") -> Scale:
    """Choose how far pictures are shrunk and how wide dots are: a quarter of the distance between neighbours.

    Distances are compared with the size of their own picture, so that a folder may mix resolutions.

    Args:
        pictures: At least one; they get one longest side together.
        longest_side: "auto" shrinks until neighbours lie about 32 pixels apart, and enlarges nothing.
    """
    sides = [max(one.size) for one in pictures]
    distances = [_nearest(np.unique(one.points, axis=0)) for one in pictures]
    wanted = _side(sides, distances) if longest_side == "auto" else longest_side
    if wanted is not None and wanted >= max(sides):
        wanted = None
    factors = [1.0 if wanted is None else min(1.0, wanted / side) for side in sides]
    apart = _median([some * factor for some, factor in zip(distances, factors, strict=True)])
    sigma = WIDTHS[1] if apart is None else min(max(WIDTH * apart, WIDTHS[0]), WIDTHS[1])
    return Scale(wanted, round(sigma, 1))


def _side(sides: Sequence[int], distances: Sequence[np.ndarray]) -> int:
    apart = _median([some / side for some, side in zip(distances, sides, strict=True)])
    side = max(sides) if apart is None else WANTED / apart
    return round(min(max(side, SIDES[0]), SIDES[1]))


def _median(distances: Sequence[np.ndarray]) -> float | None:
    together = np.concatenate(distances) if distances else np.zeros(0)
    return float(np.median(together)) if len(together) else None


def _nearest(points: np.ndarray) -> np.ndarray:
    if len(points) < 2:
        return np.zeros(0)
    distances: np.ndarray = cKDTree(points).query(points, k=2)[0]
    return distances[:, 1]
