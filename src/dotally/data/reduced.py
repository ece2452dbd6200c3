"""Decoding large JPEG pictures at a fraction of their size: fast, and sharper than smoothing them to it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# what is left has at least this many times the pixels that are wanted along each side
_SPARE = 2
# pixels of the wanted picture by which its far border may move
_SHIFT = 0.25


def open_reduced(path: Path, wanted: tuple[int, int], *, max_megapixels: float = 200) -> NDArray[np.uint8] | None:
    """Decode a JPEG picture at a half, a quarter or an eighth of its size, which its format makes cheap.

    Scaled down further, it differs little from what was decoded whole, and yet networks count otherwise in it: weights
    belong to the way in which their pictures were decoded.

    Args:
        path: The file.
        wanted: (height, width) that it will be scaled down to; twice that is left at least.
        max_megapixels: Larger pictures, before the reduction, are left to :func:`dotally.data.pictures.open_picture`.

    Returns:
        ``[H, W, 3]`` uint8, or None where it is not safe or useless: another format, turned by EXIF, neither grey nor
        RGB, too small, damaged, or with sides so far from multiples that pixels would move.
    """
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            (width, height), upright = image.size, image.getexif().get(0x0112, 1) == 1
            scale = _scale((height, width), wanted)
            if not upright or image.mode not in ("L", "RGB") or scale == 1 or width * height > max_megapixels * 1e6:
                return None
            image.draft(image.mode, (width // scale, height // scale))
            if image.size != (-(-width // scale), -(-height // scale)):
                return None
            return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # open_picture says what is wrong


def _scale(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    for scale in (8, 4, 2):
        large = all(side >= scale * _SPARE * goal for side, goal in zip(size, wanted, strict=True))
        shifts = ((-side % scale) / side * goal for side, goal in zip(size, wanted, strict=True))
        if large and max(shifts) <= _SHIFT:
            return scale
    return 1
