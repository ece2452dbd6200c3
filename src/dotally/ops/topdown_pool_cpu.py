"""The top-down rules of pooling layers on the CPU: work only on cells whose gating is not zero."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dotally.ops.topdown_scatter import Scatter
from dotally.ops.topdown_statistics import Rule, spread
from dotally.ops.topdown_threshold import Bools, Floats, Ints, chunks

# (row, column) of pooled cells -> rows [A, kh] and columns [A, kw] of their windows; cells outside the map belong to
# the padding, cells of -1 to no window at all
Windows = Callable[[Ints, Ints], tuple[Ints, Ints]]
NO_CELL = np.iinfo(np.int64).min


@dataclass(frozen=True, kw_only=True)
class _Pooled:
    """A chunk of active cells: gating ``[A]``; index, value and two masks of their windows' cells, ``[A, cells]``."""

    gating: Floats
    index: Ints
    value: Floats
    inside: Bools
    counted: Bools


def strided_windows(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> Windows:
    """Return the windows of an ordinary pooling layer."""

    def windows(row: Ints, column: Ints) -> tuple[Ints, Ints]:
        down, right = (
            (place * stride[a] - padding[a])[:, None] + np.arange(kernel[a]) * dilation[a]
            for a, place in enumerate((row, column))
        )
        return down, right

    return windows


def adaptive_windows(size: tuple[int, int], output: tuple[int, int]) -> Windows:
    """Return the windows of adaptive pooling: ``floor(i * size / output)`` to ``ceil((i + 1) * size / output)``."""

    def windows(row: Ints, column: Ints) -> tuple[Ints, Ints]:
        down, right = (_adaptive(place, size[a], output[a]) for a, place in enumerate((row, column)))
        return down, right

    return windows


def _adaptive(place: Ints, size: int, output: int) -> Ints:
    start, stop = place * size // output, -(-(place + 1) * size // output)
    cells = start[:, None] + np.arange(int((stop - start).max(initial=0)))
    return np.where(cells < stop[:, None], cells, NO_CELL)


def max_pool2d_cpu(h: Tensor, g: Tensor, windows: Windows, *, halving: bool = False) -> Tensor:
    """Give each cell's gating to the first largest input of its window in raster order; see ``td_max_pool2d``.

    With ``halving`` the largest is that of the published reduction of four cells, which may look at fewer; cells
    outside the map are zeros there, and what they are given is lost.
    """
    scatter = Scatter(h.shape)
    for cells in _active(h, g, windows):
        if len(cells.gating):
            if halving:
                top = _first_of_halving(cells.value, h.shape[1])
            else:
                top = np.where(cells.inside, cells.value, -np.inf).argmax(axis=1)
            rows = np.arange(len(top))
            inside = cells.inside[rows, top]
            scatter.add(cells.index[rows, top][inside], cells.gating[inside].astype(np.float64))
    return scatter.result()


def _first_of_halving(values: Floats, channels: int) -> NDArray[np.intp]:
    """Return the first cell that equals what is left in cell 0 of ``[A, cells]`` after steps from ``channels / 2``."""
    left, cells, step = values.copy(), values.shape[1], channels // 2
    while step:
        pairs = min(step, max(cells - step, 0))
        left[:, :pairs] = np.maximum(left[:, :pairs], left[:, step : step + pairs])
        step //= 2
    return (values == left[:, :1]).argmax(axis=1)


def avg_pool2d_cpu(h: Tensor, g: Tensor, windows: Windows, rule: Rule) -> Tensor:
    """Divide each cell's gating among the inputs of its window; see ``td_avg_pool2d``."""
    scatter = Scatter(h.shape)
    for cells in _active(h, g, windows):
        wins = cells.counted if rule.release else cells.counted & (cells.value > 0)
        unit, place = np.nonzero(wins)
        keep, share, _ = spread(unit, cells.value[unit, place], cells.counted.sum(axis=1), rule)
        unit, place = unit[keep], place[keep]
        inside = cells.inside[unit, place]
        scatter.add(cells.index[unit, place][inside], (cells.gating[unit] * share)[inside])
    return scatter.result()


def _active(h: Tensor, g: Tensor, windows: Windows) -> Iterator[_Pooled]:
    value, gating = h.float().contiguous().numpy().ravel(), g.float().contiguous().numpy()
    height, width = h.shape[2:]
    active = np.flatnonzero(gating)
    if not len(active):
        return
    cells = windows(np.zeros(1, np.int64), np.zeros(1, np.int64))
    for chunk in chunks(len(active), cells[0].size * cells[1].size):
        unit = np.unravel_index(active[chunk], gating.shape)
        image, channel, row, column = unit
        down, right = (axis for axis in windows(row, column))
        y, x = down[:, :, None], right[:, None, :]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        plane = (image * h.shape[1] + channel)[:, None, None]
        index = np.where(inside, (plane * height + y) * width + x, 0)
        flat = (len(row), down.shape[1] * right.shape[1])
        yield _Pooled(
            gating=gating[unit],
            index=index.reshape(flat),
            value=np.where(inside, value[index], np.float32(0)).reshape(flat),
            inside=inside.reshape(flat),
            counted=((y != NO_CELL) & (x != NO_CELL)).reshape(flat),
        )
