"""Stage 2 for convolutions: the one group of touching winners, in one input channel, that carries a unit's signal."""

from dataclasses import dataclass

import numpy as np

from dotally.errors import DotallyError
from dotally.ops.topdown_threshold import Bools, Doubles, Floats, Ints, sums

PUBLISHED_LABELS = 36  # places of the published table of labels, which are counted from 1
TOUCHING = np.ones((3, 3), np.int8)  # all eight neighbours


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups of winners of many units, ordered by unit, then channel, then first cell in raster order.

    Attributes:
        label: ``[W]`` the group of each winner.
        window: ``[G]`` the (unit, channel) a group lies in, as ``unit * channels + channel``.
        total: ``[G]`` sum of the products.
        area: ``[G]`` number of winners.
    """

    label: Ints
    window: Ints
    total: Doubles
    area: Ints


def group(flat: Ints, value: Floats, kernel: tuple[int, int]) -> Groups:
    """Split the winners of each unit and channel into 8-connected groups.

    Args:
        flat: ``[W]`` ascending indices into products of shape ``[units, channels, kernel height, kernel width]``.
        value: ``[W]`` the products.
        kernel: (height, width).
    """
    window, cell = np.divmod(flat, kernel[0] * kernel[1])
    label = _raster_labels(window, cell, kernel)
    count = int(label.max(initial=-1)) + 1
    window_of = np.empty(count, np.int64)
    window_of[label] = window
    return Groups(
        label=label,
        window=window_of,
        total=sums(label, value, count),
        area=np.bincount(label, minlength=count),
    )


def _raster_labels(window: Ints, cell: Ints, kernel: tuple[int, int]) -> Ints:
    """Label all windows in one go: side by side in one picture, an empty column between them."""
    from scipy import ndimage  # late: every network's import brings this module along

    start = np.diff(window, prepend=-1) != 0
    left = (np.cumsum(start) - 1) * (kernel[1] + 1)
    row, column = np.divmod(cell, kernel[1])
    column += left
    picture = np.zeros((kernel[0], int(left.max(initial=-1)) + kernel[1] + 1), np.int8)
    picture[row, column] = 1
    label = ndimage.label(picture, TOUCHING)[0][row, column]

    # number the groups by their first winner: the winners lie in the order of units, channels and cells
    first = np.zeros(int(label.max(initial=0)) + 1, np.int64)
    first[label[::-1]] = np.arange(len(label))[::-1]
    opens = np.zeros(len(label), np.int64)
    opens[first[1:]] = 1
    return (np.cumsum(opens) - 1)[first[label]]


def check_published_labels(groups: Groups) -> None:
    """Refuse as many separate groups in one window as the published table of labels does not hold.

    Raises:
        DotallyError: In a window of 11x11, the largest that is published, 36 groups are possible.
    """
    if np.bincount(groups.window).max(initial=0) >= PUBLISHED_LABELS:
        raise DotallyError(
            f"compat='release': a window has {PUBLISHED_LABELS} separate groups, for which the published code writes "
            "outside its memory; use compat='fixed'"
        )


def best(groups: Groups, channels: int, alpha: float, release: bool) -> Bools:
    """Choose the groups with the highest ``alpha * sum + (1 - alpha) * area`` of their unit.

    Compared is the sum plus (1 - alpha) / alpha times the area, so that whole numbers tie exactly at alpha = 0.2.

    Exact ties: the lowest channel, then the group whose first cell comes first in raster order. With ``release``, as
    published: within a channel the last of equal groups, and every channel that reaches the unit's maximum.

    Returns:
        ``[G]`` whether a group was chosen.
    """
    if not len(groups.window):
        return np.zeros(0, np.bool_)
    score = groups.total + (1 - alpha) / alpha * groups.area if alpha > 0 else groups.area.astype(np.float64)
    unit = groups.window // channels
    opens = np.diff(unit, prepend=-1) != 0
    chosen = score == np.maximum.reduceat(score, np.flatnonzero(opens))[np.cumsum(opens) - 1]
    place = np.flatnonzero(chosen)
    drop = np.diff(groups.window[place], append=-1) == 0 if release else np.diff(unit[place], prepend=-1) == 0
    chosen[place[drop]] = False
    return chosen
