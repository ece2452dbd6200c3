"""Dots on pictures that a camera has stored lying on their side."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Points = NDArray[np.float64]
_ORIENTATION = 0x0112


def turn_points(picture: Path, points: Points, size: tuple[int, int]) -> tuple[Points, tuple[int, int]]:
    """Turn dots as the picture is turned when it is opened.

    Args:
        picture: Its file, whose EXIF orientation counts.
        points: ``[N, 2]`` (x, y) in pixels of the picture as it is stored.
        size: (height, width) of the picture as it is opened, upright.

    Returns:
        The points in pixels of the upright picture, and (height, width) as it is stored.
    """
    orientation = _orientation(picture)
    stored = (size[1], size[0]) if orientation >= 5 else size
    x, y = points.T
    if orientation in (2, 3, 7, 8):
        x = _mirrored(x, stored[1])
    if orientation in (3, 4, 6, 7):
        y = _mirrored(y, stored[0])
    return np.stack((y, x) if orientation >= 5 else (x, y), axis=1), stored


def _mirrored(places: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Mirror places within ``length`` pixels so that each stays within its pixel, whole numbers too."""
    fraction = places - np.floor(places)
    return length - 1 - np.floor(places) + np.where(fraction > 0, 1 - fraction, 0)


def _orientation(picture: Path) -> int:
    try:
        with Image.open(picture) as image:
            value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken metadata, or a picture that is refused elsewhere
        return 1
    return value if value in range(1, 9) else 1
