"""Top-down gating of pools: a lane owns one active unit of a maximum pool, a warp one of an average pool."""

import triton
import triton.language as tl
from torch import Tensor

from triton_kernels import topdown_worklist
from triton_kernels.topdown_conv import dense_layout
from triton_kernels.topdown_linear import MODES, cut_of
from triton_kernels.topdown_worklist import Below, Worklist

BLOCK = 128
WINDOW = 64  # cells of an average pool's window that a program looks at together
NUMBERS = ["C", "HO", "WO", "H", "W", "s_b", "s_c", "s_y", "s_x"]
NUMBERS += ["k_y", "k_x", "t_y", "t_x", "p_y", "p_x", "d_y", "d_x"]  # one binary serves all pools


@triton.jit(do_not_specialize=NUMBERS)
def _max_kernel(
    x, cells, values, count, sums, out_cells, out_count, capacity,
    C, HO, WO, H, W, s_b, s_c, s_y, s_x, k_y, k_x, t_y, t_x, p_y, p_x, d_y, d_x,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Hand each listed unit's mass to the first of the largest values of its window."""
    n = tl.load(count)
    for first in range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK):
        i = first + tl.arange(0, BLOCK)
        cell = tl.load(cells + i, mask=i < n, other=0)
        plane = cell // (HO * WO)
        base = x + (plane // C).to(tl.int64) * s_b + (plane % C).to(tl.int64) * s_c
        top, left = cell // WO % HO * t_y - p_y, cell % WO * t_x - p_x
        largest = tl.full([BLOCK], -float("inf"), dtype=tl.float32)
        place = tl.full([BLOCK], -1, dtype=tl.int32)
        for tap in range(k_y * k_x):
            i_y, i_x = top + tap // k_x * d_y, left + tap % k_x * d_x
            inside = (i < n) & (i_y >= 0) & (i_y < H) & (i_x >= 0) & (i_x < W)
            b_h = tl.load(base + i_y * s_y + i_x * s_x, mask=inside, other=0.0).to(tl.float32)
            better = inside & ((b_h > largest) | (place < 0))
            largest, place = tl.where(better, b_h, largest), tl.where(better, i_y * W + i_x, place)
        b_mass = tl.load(values + i, mask=i < n, other=0.0)
        below = plane * (H * W) + place
        topdown_worklist.give(sums, out_cells, out_count, capacity, below, b_mass, place >= 0)


@triton.jit
def _cells(base, top, left, columns, o_tap, taps, H, W, s_y, s_x):
    """Return values (0 outside the map) and places of cells of a window in raster order."""
    i_y, i_x = top + o_tap // columns, left + o_tap % columns
    inside = (o_tap < taps) & (i_y >= 0) & (i_y < H) & (i_x >= 0) & (i_x < W)
    return tl.load(base + i_y * s_y + i_x * s_x, mask=inside, other=0.0).to(tl.float32), i_y * W + i_x


@triton.jit(do_not_specialize=NUMBERS)
def _avg_kernel(
    x, cells, values, count, sums, out_cells, out_count, capacity,
    C, HO, WO, H, W, s_b, s_c, s_y, s_x, k_y, k_x, t_y, t_x, p_y, p_x, d_y, d_x,
    ADAPTIVE: tl.constexpr, MODE: tl.constexpr, OFFSET: tl.constexpr, TABLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Divide each listed unit's mass among the positive cells of its window."""
    n = tl.load(count)
    o_block = tl.arange(0, BLOCK)
    for i in range(tl.program_id(0), n, tl.num_programs(0)):
        cell = tl.load(cells + i)
        g = tl.load(values + i)
        plane, row, column = cell // (HO * WO), cell // WO % HO, cell % WO
        base = x + (plane // C).to(tl.int64) * s_b + (plane % C).to(tl.int64) * s_c
        top, left, rows, columns = row * t_y - p_y, column * t_x - p_x, k_y, k_x
        if ADAPTIVE:
            top, left = row * H // HO, column * W // WO
            rows, columns = tl.cdiv((row + 1) * H, HO) - top, tl.cdiv((column + 1) * W, WO) - left
        taps = rows * columns

        b_total = tl.zeros([BLOCK], dtype=tl.float32)
        b_number = tl.zeros([BLOCK], dtype=tl.float32)
        b_largest = tl.zeros([BLOCK], dtype=tl.float32)
        for t in range(0, taps, BLOCK):
            b_h, _ = _cells(base, top, left, columns, t + o_block, taps, H, W, s_y, s_x)
            b_total += tl.where(b_h > 0, b_h, 0.0)
            b_number += tl.where(b_h > 0, 1.0, 0.0)
            b_largest = tl.maximum(b_largest, b_h)
        largest = tl.max(b_largest)
        total = tl.where(largest > 0, tl.sum(b_total), 1.0)  # without a positive cell nothing is given
        least = 0.0
        if MODE == 0:
            mean = total / taps
            b_square = tl.zeros([BLOCK], dtype=tl.float32)
            for t in range(0, taps, BLOCK):
                b_h, _ = _cells(base, top, left, columns, t + o_block, taps, H, W, s_y, s_x)
                b_square += tl.where(b_h > 0, (b_h - mean) * (b_h - mean), 0.0)
            squares = tl.sum(b_square) + mean * mean * (taps - tl.sum(b_number))  # the others count as zeros
            least = cut_of(largest, mean, tl.sqrt(squares / taps), OFFSET, TABLE)
            b_total = tl.zeros([BLOCK], dtype=tl.float32)
            for t in range(0, taps, BLOCK):
                b_h, _ = _cells(base, top, left, columns, t + o_block, taps, H, W, s_y, s_x)
                b_total += tl.where((b_h > 0) & (b_h >= least), b_h, 0.0)
            total = tl.where(largest > 0, tl.sum(b_total), 1.0)
        first = 0
        if MODE == 2:
            b_first = tl.full([BLOCK], 2147483647, dtype=tl.int32)
            for t in range(0, taps, BLOCK):
                b_h, _ = _cells(base, top, left, columns, t + o_block, taps, H, W, s_y, s_x)
                b_first = tl.minimum(b_first, tl.where(b_h == largest, t + o_block, 2147483647))
            first, total = tl.min(b_first), tl.where(largest > 0, largest, 1.0)
        for t in range(0, taps, BLOCK):
            b_h, b_place = _cells(base, top, left, columns, t + o_block, taps, H, W, s_y, s_x)
            kept = (b_h > 0) & (b_h >= least)
            if MODE == 2:
                kept &= t + o_block == first
            mass = g * (b_h / total)
            topdown_worklist.give(sums, out_cells, out_count, capacity, plane * (H * W) + b_place, mass, kept)


def max_pool2d(
    h: Tensor,
    units: Worklist,
    *,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    workspace: Tensor | None = None,
    programs: int | None = None,
) -> Worklist:
    """Hand the mass of a maximum pool's units down to its input; arguments as ``td_max_pool2d``, unchecked.

    Args:
        h: ``[B, C, H, W]``, any float type and strides.
        units: Worklist of shape ``[B, C, H', W']``.
        kernel: (height, width) of the window.
        stride: (vertical, horizontal), as padding and dilation.
        padding: Cells around the input, which never win.
        dilation: Distance of the window's cells.
        workspace: See :class:`~triton_kernels.topdown_worklist.Below`.
        programs: Programs to start.
    """
    below = Below(h.shape, h, workspace)
    if units.capacity and h.numel():
        h = dense_layout(h)
        numbers = (h.shape[1], *units.shape[2:], *h.shape[2:], *h.stride(), *kernel, *stride, *padding, *dilation)
        _max_kernel[(programs or units.programs(BLOCK),)](
            *(h, units.cells, units.values, units.count, *below.arguments, *numbers), BLOCK
        )
    return below.finish()


def avg_pool2d(
    h: Tensor,
    units: Worklist,
    *,
    kernel: tuple[int, int] | None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    mode: str,
    offset: int,
    table: list[float] | tuple[float, ...],
    workspace: Tensor | None = None,
    programs: int | None = None,
) -> Worklist:
    """Divide the mass of an average pool's units among their windows; arguments as ``td_avg_pool2d``, unchecked.

    Args:
        h: ``[B, C, H, W]``, any float type and strides.
        units: Worklist of shape ``[B, C, H', W']``.
        kernel: (height, width) of the window; None for the windows of adaptive pooling to H' x W'.
        stride: (vertical, horizontal), as padding.
        padding: Cells around the input; zeros that count in the statistics.
        mode: ``"all"``, ``"stat"`` or ``"top1"``.
        offset: Rows to go down in the table.
        table: Rows (m, s) in a row.
        workspace: See :class:`~triton_kernels.topdown_worklist.Below`.
        programs: Programs to start.
    """
    below = Below(h.shape, h, workspace)
    if units.capacity and h.numel():
        h = dense_layout(h)
        sides = (h.shape[1], *units.shape[2:], *h.shape[2:])
        numbers = (*sides, *h.stride(), *(kernel or (0, 0)), *stride, *padding, 1, 1)
        _avg_kernel[(programs or units.programs(1, 1),)](
            *(h, units.cells, units.values, units.count, *below.arguments, *numbers),
            *(kernel is None, MODES[mode], offset, tuple(table), WINDOW),
            num_warps=1,
            enable_fp_fusion=False,
        )
    return below.finish()
