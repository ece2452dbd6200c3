"""Dots as a picture, one for each picture: the background one colour, every dot a pixel or a small blob."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, label

from dotally.data.pictures import open_picture
from dotally.data.point_formats.dots import Dots, dots
from dotally.errors import AnnotationError, PictureError

_ALL_NEIGHBOURS = np.ones((3, 3), dtype=np.int8)
_MOST = 0.5  # of the pixels may be dots; a photograph has no background


def read(path: Path) -> list[Dots]:
    """Read one file.

    The most frequent colour is the background. Where most blobs are single pixels, every other pixel is a dot, so
    that neighbours stay two; where they are larger, as drawn with a brush, every blob is one.

    Raises:
        AnnotationError: It cannot be opened, is too large, or is an ordinary picture.
    """
    try:
        image = open_picture(path).image
    except PictureError as error:
        raise AnnotationError(str(error)) from error
    marked = _marked(image)
    if marked.mean() > _MOST:
        raise AnnotationError(f"{path}: no picture of dots: {marked.mean():.0%} of its pixels are not background")
    y, x = _places(marked)
    # the dot lies in the middle of its pixel
    marks = [(column + 0.5, row + 0.5, "") for row, column in zip(y.tolist(), x.tolist(), strict=True)]
    return [dots(path, marks, size=(marked.shape[0], marked.shape[1]))]


def _marked(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where ``[H, W, 3]`` is not the background."""
    colour = image.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    values, counts = np.unique(colour, return_counts=True)
    return colour != values[counts.argmax()]


def _places(marked: NDArray[np.bool_]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return row and column of every dot."""
    blobs, number = label(marked, _ALL_NEIGHBOURS)
    sizes = np.bincount(blobs.ravel())[1:]
    if not number or np.median(sizes) <= 2:
        y, x = np.nonzero(marked)
        return y.astype(np.float64), x.astype(np.float64)
    centres = np.array(center_of_mass(marked, blobs, range(1, number + 1)))
    return centres[:, 0], centres[:, 1]
