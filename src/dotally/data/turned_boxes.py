"""Boxes on pictures that a camera has stored lying on their side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dotally.data.turned import turn_points
from dotally.data.voc_xml import Box


def turn_boxes(picture: Path, boxes: Sequence[Box], size: tuple[int, int]) -> list[Box]:
    """Turn boxes as the picture is turned when it is opened.

    Args:
        picture: Its file, whose EXIF orientation counts.
        boxes: (x0, y0, x1, y1) in pixels of the picture as it is stored, first and last included.
        size: (height, width) of the picture as it is opened, upright.
    """
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 2)
    pairs = turn_points(picture, corners, size)[0].reshape(-1, 2, 2)
    sides = np.concatenate([pairs.min(axis=1), pairs.max(axis=1)], axis=1)
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in sides.tolist()]
