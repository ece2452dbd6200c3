"""Sizes to which published codes bring their pictures: results on the large sets compare only under one rule.

Only the size is theirs. Every rule is applied with our bilinear, antialiased resize, while the codes use MATLAB's
``imresize``, OpenCV's or Pillow's; points are scaled by the exact factor of each axis.
"""

import math
from collections.abc import Callable

Size = tuple[int, int]
"""(height, width) in pixels."""
Fit = Callable[[Size], Size]
# the codes that want multiples all want those of 16
_MULTIPLE = 16


def short_side(size: Size, *, least: int, most: int) -> Size:
    """Bring the shorter side into ``least`` .. ``most``; the other one follows, rounded.

    UCF-QNRF in Bayesian loss (ICCV 2019) and DM-Count (2020): 512 to 2048.
    """
    short = min(size)
    target = min(max(short, least), most)
    height, width = size
    if height < width:
        return target, round(width * (target / short))
    return round(height * (target / short)), target


def long_side(size: Size, *, most: int) -> Size:
    """Bring the longer side down to ``most``; sides are cut to whole pixels, nothing grows.

    PET (2023): 1536 on UCF-QNRF, 2048 on JHU-CROWD++ and NWPU-Crowd.
    """
    factor = max(max(size) / most, 1.0)
    return max(1, int(size[0] / factor)), max(1, int(size[1] / factor))


def both_sides(size: Size, *, least: int, most: int) -> Size:
    """Bring the longer side down to ``most``, then the shorter one up to ``least``, rounding after each step.

    FIDTM and CLTR on UCF-QNRF, FIDTM on JHU-CROWD++: 512 and 2048.
    """
    size = _scaled(size, min(1.0, most / max(size)))
    return _scaled(size, max(1.0, least / min(size)))


def fill_square(size: Size, *, side: int) -> Size:
    """Make a picture as large as fits into a square, small ones too; sides are the nearest multiples.

    UCF-QNRF in the C^3 Framework (Gao et al., 2019): 1024.
    """
    return _multiples(size, side / max(size))


def fill_square_at_least(size: Size, *, side: int, least: Size) -> Size:
    """As :func:`fill_square`, but a side shorter than ``least`` (height, width) grows to it, and may leave the square.

    NWPU-Crowd's sample code (Wang et al., TPAMI 2020): 2048, at least 576 x 768.
    """
    rate = side / max(size)
    for axis in (0, 1):
        if _multiples(size, rate)[axis] < least[axis]:
            rate = least[axis] / size[axis]
    return _multiples(size, rate)


def clamped(size: Size, *, least: int, most: int) -> Size:
    """Fill a square of ``most``, raise short sides to ``least``, cut to multiples; extreme pictures are distorted.

    NWPU-Crowd in DM-Count (2020): 384 to 1920.
    """
    rate = most / max(size)
    for side in size:
        if int(side * rate / _MULTIPLE) * _MULTIPLE < least:
            rate = least / side
    height, width = (min(max(int(side * rate / _MULTIPLE) * _MULTIPLE, least), most) for side in size)
    return height, width


def at_least(size: Size, *, least: Size, grow: bool) -> Size:
    """Enlarge to at least ``least`` (height, width) with sides that are multiples; large pictures keep their size.

    IIM on UCF-QNRF (``grow``) and JHU-CROWD++: 768 x 1024.

    Args:
        size: (height, width).
        least: (height, width).
        grow: Whether the sides of large pictures go to the next multiple above, even from a multiple, or are cut.
    """
    down, right = size[0] / least[0], size[1] / least[1]
    if down >= 1 and right >= 1:
        height, width = ((side // _MULTIPLE + grow) * _MULTIPLE for side in size)
        return height, width
    if right > down:
        return least[0], (int(size[1] / down) // _MULTIPLE + 1) * _MULTIPLE
    return (int(size[0] / right) // _MULTIPLE + 1) * _MULTIPLE, least[1]


def nearest_multiples(size: Size) -> Size:
    """Round both sides to the nearest multiples.

    UCF_CC_50 in the C^3 Framework.
    """
    return _multiples(size, 1.0)


def shrunk(size: Size, *, factor: float) -> Size:
    """Scale both sides by ``factor``, up to whole pixels.

    MTC in TasselNetV2+ (Lu and Cao, 2020): an eighth.
    """
    return math.ceil(size[0] * factor), math.ceil(size[1] * factor)


def exactly(size: Size, *, target: Size) -> Size:
    """Return ``target`` (height, width), whatever the size: for sets whose pictures all have one size."""
    return target


def _multiples(size: Size, rate: float) -> Size:
    # MATLAB's int16() rounds halves up
    height, width = (max(1, math.floor(side * rate / _MULTIPLE + 0.5)) * _MULTIPLE for side in size)
    return height, width


def _scaled(size: Size, rate: float) -> Size:
    return max(1, round(size[0] * rate)), max(1, round(size[1] * rate))
