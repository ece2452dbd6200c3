"""Top-down gating of linear layers and of the bridge: theta, statistics, table and shares of a unit in one program."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from triton_kernels import topdown_theta, topdown_worklist
from triton_kernels.topdown_conv import dense_layout, geometry
from triton_kernels.topdown_worklist import Below, Worklist

MODES = {"stat": 0, "all": 1, "top1": 2}


@triton.jit
def _count(b_p, least, center, b_number, b_sum, b_square, b_zero):
    """Add one block of products to the moments of those that are positive and >= least."""
    kept = (b_p > 0) & (b_p >= least)
    b_number += tl.where(kept, 1.0, 0.0)
    b_sum += tl.where(kept, b_p, 0.0)
    b_square += tl.where(kept, (b_p - center) * (b_p - center), 0.0)
    b_zero += tl.where(b_p == 0, 1.0, 0.0)
    return b_number, b_sum, b_square, b_zero


@triton.jit
def _moments(held, window, least, center, WEIGHTED: tl.constexpr, BLOCK: tl.constexpr, HELD: tl.constexpr):
    """Return (number, sum, squares about the center) of the positive products >= least, and the number of zeros."""
    b_number = tl.zeros([BLOCK], dtype=tl.float32)
    b_sum = tl.zeros([BLOCK], dtype=tl.float32)
    b_square = tl.zeros([BLOCK], dtype=tl.float32)
    b_zero = tl.zeros([BLOCK], dtype=tl.float32)
    if HELD > 0:
        for j in tl.static_range(HELD):
            b_number, b_sum, b_square, b_zero = _count(held[j], least, center, b_number, b_sum, b_square, b_zero)
    else:
        for n in range(0, window[4], BLOCK):
            b_p = topdown_theta.products(window, n + tl.arange(0, BLOCK), 1, 1, WEIGHTED)
            b_number, b_sum, b_square, b_zero = _count(b_p, least, center, b_number, b_sum, b_square, b_zero)
    padding = tl.cdiv(window[4], BLOCK) * BLOCK - window[4]
    return tl.sum(b_number), tl.sum(b_sum), tl.sum(b_square), tl.sum(b_zero) - padding


@triton.jit
def cut_of(largest, mean, std, OFFSET: tl.constexpr, TABLE: tl.constexpr):
    """Return the cut OFFSET rows below the first row (m, s) of the table whose m * mean + s * std anybody reaches."""
    ROWS: tl.constexpr = len(TABLE) // 2
    row = ROWS - 1
    for j in tl.static_range(ROWS):
        reached = largest >= TABLE[2 * (ROWS - 1 - j)] * mean + TABLE[2 * (ROWS - 1 - j) + 1] * std
        row = tl.where(reached, ROWS - 1 - j, row)
    row = tl.minimum(row + OFFSET, ROWS - 1)
    cut = 0.0
    for j in tl.static_range(ROWS):
        cut = tl.where(row == j, TABLE[2 * j] * mean + TABLE[2 * j + 1] * std, cut)
    return tl.minimum(cut, largest)  # rounding never leaves a unit without survivors


@triton.jit(do_not_specialize=topdown_theta.GEOMETRY)
def _linear_kernel(
    x, weight, cells, values, count, sums, out_cells, out_count, capacity, lower_bound, eps,
    N, OUT, HO, WO, H, W, PER_GROUP, s_b, s_g, s_c, s_y, s_x, t_y, t_x, p_y, p_x, d_y, d_x,
    MODE: tl.constexpr, OFFSET: tl.constexpr, TABLE: tl.constexpr, COUNT_ZEROS: tl.constexpr,
    WEIGHTED: tl.constexpr, BLOCK: tl.constexpr, HELD: tl.constexpr,
):  # fmt: skip
    """Choose the survivors of every listed unit and hand the unit's mass down to them."""
    n = tl.load(count)
    for i in range(tl.program_id(0), n, tl.num_programs(0)):
        cell = tl.load(cells + i)
        o, b, place = cell // (H * W) % OUT, cell // (H * W * OUT), cell % (H * W)
        top, left = place // W, place % W
        row = weight + o.to(tl.int64) * N
        window = (x + b.to(tl.int64) * s_b, row, top, left, N, H, W, s_c, s_y, s_x, 1, 1)
        held = topdown_theta.hold(window, cell, 1, 1, WEIGHTED, BLOCK, HELD)
        theta, largest = topdown_theta.find_theta(held, window, lower_bound, 1, 1, WEIGHTED, BLOCK, HELD)
        if theta > 0:
            least = theta - eps
            if MODE == 0:
                number, total, _, zeros = _moments(held, window, least, 0.0, WEIGHTED, BLOCK, HELD)
                if COUNT_ZEROS:
                    number += tl.where(theta < eps, zeros, 0.0)
                mean = total / number
                _, _, squares, _ = _moments(held, window, least, mean, WEIGHTED, BLOCK, HELD)
                least = tl.maximum(least, cut_of(largest, mean, tl.sqrt(squares / number), OFFSET, TABLE))
            if MODE == 2:
                least, total = largest, largest
            else:
                _, total, _, _ = _moments(held, window, least, 0.0, WEIGHTED, BLOCK, HELD)
            g = tl.load(values + i)
            start = b * N * (H * W) + place
            given = 0
            # read once more rather than from registers: unrolled, the atomics of all blocks spill
            for block in range(0, N, BLOCK):
                o_n = block + tl.arange(0, BLOCK)
                b_p = topdown_theta.products(window, o_n, 1, 1, WEIGHTED)
                kept = (b_p > 0) & (b_p >= least)
                if MODE == 2:  # the first of the largest
                    kept &= (o_n == tl.min(tl.where(kept, o_n, N))) & (given == 0)
                survivors = tl.sum(kept.to(tl.int32))
                given += survivors
                if survivors > 0:
                    mass = g * (b_p / total)
                    topdown_worklist.give(sums, out_cells, out_count, capacity, start + o_n * (H * W), mass, kept)


def linear(
    h: Tensor,
    weight: Tensor | None,
    units: Worklist,
    *,
    mode: str,
    offset: int,
    table: list[float] | tuple[float, ...],
    lower_bound: float,
    eps: float,
    count_zeros: bool = False,
    workspace: Tensor | None = None,
    programs: int | None = None,
) -> Worklist:
    """Hand the mass of a linear layer's units down to its inputs; arguments as ``td_linear``, unchecked.

    Args:
        h: ``[B, I]`` or ``[B, I, H, W]``, any float type.
        weight: ``[O, I]`` or ``[O, I, 1, 1]``; None for the bridge, whose products are ``h`` itself.
        units: Worklist of shape ``[B, O]`` or ``[B, O, H, W]``; ``[B]`` for the bridge.
        mode: ``"stat"``, ``"all"`` or ``"top1"``.
        offset: Rows to go down in the table.
        table: Rows (m, s) in a row.
        lower_bound: Units whose products sum to this or less are dropped.
        eps: Slack below theta.
        count_zeros: Whether zeros are counted where theta < eps.
        workspace: See :class:`~triton_kernels.topdown_worklist.Below`.
        programs: Programs to start.
    """
    below = Below(h.shape, h, workspace)
    if not units.capacity or not h.numel():
        return below.finish()
    maps = dense_layout(h if h.ndim == 4 else h[:, :, None, None])
    outputs = 1 if weight is None else weight.shape[0]
    rows = maps if weight is None else weight.contiguous()
    window = torch.empty(outputs, h.shape[1], 1, 1, device="meta")  # a 1x1 convolution's weights, without the memory
    numbers = geometry(maps, window, maps.shape, (1, 1), (0, 0), (1, 1), 1)
    how = topdown_theta.plan(h.shape[1])
    _linear_kernel[(programs or units.programs(1, how.warps),)](
        *(maps, rows, units.cells, units.values, units.count, *below.arguments, lower_bound, eps, *numbers),
        *(MODES[mode], offset, tuple(table), count_zeros, weight is not None),
        *(how.block, how.blocks if how.resident else 0),
        num_warps=how.warps,
        maxnreg=how.registers,
        enable_fp_fusion=False,
    )
    return below.finish()
