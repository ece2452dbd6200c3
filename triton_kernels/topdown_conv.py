"""Top-down gating of convolutions: theta of every active unit, then its one group of touching winners.

A lane holds the winners of one channel's window as a bit board (``topdown_board``). The highest score wins, then the
lowest channel, then the first cell.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from triton_kernels import topdown_board, topdown_theta, topdown_worklist
from triton_kernels.topdown_worklist import Below, Worklist

LANES = 32  # of the second kernel: one warp, so that growing a group needs no barrier


def tile(channels: int, taps: int, lanes: int = LANES) -> tuple[int, int, int]:
    """Return how many units, channels and cells of a window the second kernel handles at once."""
    held = min(lanes, triton.next_power_of_2(channels))
    units = lanes // held
    # an atomic for every lane: what one returns need not reach lanes that merely repeat another's
    return units, held, max(lanes // units, min(triton.next_power_of_2(taps), 32))


@triton.jit
def _product(unit, space, channel, tap, mask, KH: tl.constexpr, KW: tl.constexpr):
    """Return weight times input at cells (channel, tap) of units' windows, 0 where masked or outside the map."""
    base, row, top, left = unit
    H, W, s_c, s_y, s_x, d_y, d_x = space
    i_y, i_x = top + tap // KW * d_y, left + tap % KW * d_x
    mask = mask & (i_y >= 0) & (i_y < H) & (i_x >= 0) & (i_x < W)
    b_p = tl.load(base + channel * s_c + i_y * s_y + i_x * s_x, mask=mask, other=0.0).to(tl.float32)
    return b_p * tl.load(row + channel * (KH * KW) + tap, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _boards(
    unit, space, cut, channel, present,
    KH: tl.constexpr, KW: tl.constexpr, BITS: tl.constexpr, TWO: tl.constexpr, WORD: tl.constexpr,
):  # fmt: skip
    """Return the boards of winners [U, C] of every channel."""
    lo = tl.zeros(present.shape, dtype=WORD)
    hi = lo
    for row in range(KH):  # a loop, for the compiler's sake; the loads of one row are in flight together
        for column in tl.static_range(KW):
            tap = row * KW + column
            b_p = _product(unit, space, channel, tap, present, KH, KW)
            winner = ((b_p > 0) & (b_p >= cut)).to(WORD)
            if TWO:
                lo |= tl.where(tap < BITS, winner, 0) << tl.minimum(tap, BITS - 1)
                hi |= tl.where(tap < BITS, 0, winner) << tl.maximum(tap - BITS, 0)
            else:
                lo |= winner << tap
    return lo, hi


@triton.jit
def _weigh(unit, space, channel, lo, hi, KH: tl.constexpr, KW: tl.constexpr, BITS: tl.constexpr, TWO: tl.constexpr):
    """Return (sum of the products, number) of the cells of each board: bit by bit, for boards are nearly empty."""
    b_sum = tl.zeros(lo.shape, dtype=tl.float32)
    b_area = tl.zeros(lo.shape, dtype=tl.float32)
    more = tl.max(tl.max(lo | hi, axis=1), axis=0)
    while more != 0:
        bit = lo & -lo
        shift = 0
        if TWO:
            shift = tl.where(lo == 0, BITS, 0)
            bit = tl.where(lo == 0, hi & -hi, bit)
            hi = tl.where(lo == 0, hi & (hi - 1), hi)
        lo = lo & (lo - 1)
        here = bit != 0
        exponent = (bit.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127  # of a power of two: which bit it is
        b_sum += _product(unit, space, channel, tl.where(here, exponent + shift, 0), here, KH, KW)
        b_area += tl.where(here, 1.0, 0.0)
        more = tl.max(tl.max(lo | hi, axis=1), axis=0)
    return b_sum, b_area


@triton.jit
def _best_groups(
    unit, space, channel, lo, hi, a_sum, a_area,
    KH: tl.constexpr, KW: tl.constexpr, BITS: tl.constexpr, TWO: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Return (score, low word, high word, sum) of the best group of each board, a score of -inf where it is empty."""
    score = tl.full(lo.shape, -float("inf"), dtype=tl.float32)
    best_sum = tl.zeros(lo.shape, dtype=tl.float32)
    best_lo, best_hi = lo, hi
    left = tl.max(tl.max(lo | hi, axis=1), axis=0)
    while left != 0:
        g_lo, g_hi = topdown_board.first_group(lo, hi, KH, KW, BITS, TWO, COLUMNS)
        g_sum, g_area = _weigh(unit, space, channel, g_lo, g_hi, KH, KW, BITS, TWO)
        g_score = tl.where(g_area > 0, a_sum * g_sum + a_area * g_area, -float("inf"))
        better = g_score > score  # groups come in the order of their first cells, so the first of equals stays
        score, best_sum = tl.where(better, g_score, score), tl.where(better, g_sum, best_sum)
        best_lo, best_hi = tl.where(better, g_lo, best_lo), tl.where(better, g_hi, best_hi)
        lo, hi = lo & ~g_lo, hi & ~g_hi
        left = tl.max(tl.max(lo | hi, axis=1), axis=0)
    return score, best_lo, best_hi, best_sum


@triton.jit(do_not_specialize=topdown_theta.GEOMETRY)
def _group_kernel(
    x, weight, cells, values, count, theta, sums, out_cells, out_count, capacity, chosen, eps, a_sum, a_area,
    N, OUT, HO, WO, H, W, PER_GROUP, s_b, s_g, s_c, s_y, s_x, t_y, t_x, p_y, p_x, d_y, d_x,
    KH: tl.constexpr, KW: tl.constexpr, BITS: tl.constexpr, TWO: tl.constexpr, WORD: tl.constexpr,
    COLUMNS: tl.constexpr, U: tl.constexpr, C: tl.constexpr, TAPS: tl.constexpr, RECORD: tl.constexpr,
):  # fmt: skip
    """Choose each listed unit's group and hand the unit's mass down to it."""
    n = tl.load(count)
    PER = N // (KH * KW)  # channels of a group
    for first in range(tl.program_id(0) * U, n, tl.num_programs(0) * U):
        i = first + tl.arange(0, U)[:, None]  # everything about units is [U, 1]
        cell = tl.load(cells + i, mask=i < n, other=0)
        b_theta = tl.load(theta + i, mask=i < n, other=0.0)
        live = b_theta > 0
        o, b = cell // (HO * WO) % OUT, cell // (HO * WO * OUT)
        group = o // PER_GROUP
        top, left = cell // WO % HO * t_y - p_y, cell % WO * t_x - p_x
        base = x + b.to(tl.int64) * s_b + group.to(tl.int64) * s_g
        row = weight + o.to(tl.int64) * N

        unit = (base, row, top, left)
        space = (H, W, s_c, s_y, s_x, d_y, d_x)
        score = tl.full([U, 1], -float("inf"), dtype=tl.float32)
        total = tl.full([U, 1], 1.0, dtype=tl.float32)
        source = tl.zeros([U, 1], dtype=tl.int32)
        lo = tl.zeros([U, 1], dtype=WORD)
        hi = lo
        for c in range(0, PER, C):
            channel = c + tl.arange(0, C)[None, :]
            w_lo, w_hi = _boards(unit, space, b_theta - eps, channel, live & (channel < PER), KH, KW, BITS, TWO, WORD)
            c_score, c_lo, c_hi, c_sum = _best_groups(
                unit, space, channel, w_lo, w_hi, a_sum, a_area, KH, KW, BITS, TWO, COLUMNS
            )
            highest = tl.max(c_score, axis=1)[:, None]
            lowest = tl.min(tl.where(c_score == highest, channel, PER), axis=1)[:, None]
            mine = channel == lowest
            better = highest > score
            score, source = tl.where(better, highest, score), tl.where(better, lowest, source)
            total = tl.where(better, tl.sum(tl.where(mine, c_sum, 0.0), axis=1)[:, None], total)
            lo = tl.where(better, tl.sum(tl.where(mine, c_lo, 0), axis=1)[:, None].to(WORD), lo)
            if TWO:
                hi = tl.where(better, tl.sum(tl.where(mine, c_hi, 0), axis=1)[:, None].to(WORD), hi)
        if RECORD:
            i = i.to(tl.int64)
            tl.store(chosen + 4 * i, tl.where(live, group * PER + source, -1).to(tl.int64), mask=i < n)
            tl.store(chosen + 4 * i + 1, lo.to(tl.int64), mask=i < n)
            tl.store(chosen + 4 * i + 2, hi.to(tl.int64), mask=i < n)
            bits = tl.where(live, total, 0.0).to(tl.int32, bitcast=True)
            tl.store(chosen + 4 * i + 3, bits.to(tl.int64), mask=i < n)

        g = tl.load(values + i, mask=live, other=0.0)
        plane = ((b * (OUT // PER_GROUP) + group) * PER + source) * (H * W)
        for t in range(0, KH * KW, TAPS):
            tap = t + tl.arange(0, TAPS)[None, :]
            bit = (lo >> tl.minimum(tap, BITS - 1).to(WORD)) & 1
            if TWO:
                bit = tl.where(tap < BITS, bit, (hi >> tl.minimum(tl.maximum(tap - BITS, 0), BITS - 1).to(WORD)) & 1)
            mask = live & (bit != 0) & (tap < KH * KW)
            mass = g * (_product(unit, space, source, tap, mask, KH, KW) / total)
            below = plane + (top + tap // KW * d_y) * W + left + tap % KW * d_x
            topdown_worklist.give(
                sums, out_cells, out_count, capacity,
                tl.reshape(below, [U * TAPS]), tl.reshape(mass, [U * TAPS]), tl.reshape(mask, [U * TAPS]),
            )  # fmt: skip


class Chosen:
    """What was chosen for each unit of a worklist, in its order; only the first ``count`` rows mean anything.

    Args:
        theta: ``[numel]`` float32, 0 where the unit hands nothing down.
        group: ``[numel, 4]`` int64: input channel (-1 where dropped), low and high word of the group's cells, and the
            bits of the float32 sum of its products; empty unless asked for.
        bits: Bits of the low word.
    """

    def __init__(self, *, theta: Tensor, group: Tensor, bits: int) -> None:
        self.theta, self.group, self.bits = theta, group, bits


def geometry(
    h: Tensor,
    weight: Tensor,
    units: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> tuple[int, ...]:
    """Return the numbers ``topdown_theta.GEOMETRY`` in its order; pairs are (vertical, horizontal)."""
    outputs, per_group = weight.shape[0], weight.shape[1]
    s_b, s_c, s_y, s_x = h.stride()
    sizes = (weight[0].numel(), outputs, *units[2:], *h.shape[2:], outputs // groups)
    return (*sizes, s_b, per_group * s_c, s_c, s_y, s_x, *stride, *padding, *dilation)


def dense_layout(h: Tensor) -> Tensor:
    """Return the tensor itself where 32-bit offsets reach all of it, else a contiguous copy."""
    reach = sum((side - 1) * step for side, step in zip(h.shape, h.stride(), strict=True))
    h = h if 0 <= reach < topdown_worklist.LIMIT else h.contiguous()
    if h.numel() > topdown_worklist.LIMIT:
        raise ValueError(f"an input of shape {list(h.shape)} has more than {topdown_worklist.LIMIT} values")
    return h


def conv2d(
    h: Tensor,
    weight: Tensor,
    units: Worklist,
    *,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    alpha: float,
    lower_bound: float,
    eps: float,
    workspace: Tensor | None = None,
    record: bool = False,
    programs: int | None = None,
    lanes: int = LANES,
) -> tuple[Worklist, Chosen]:
    """Hand the mass of a convolution's units down to its input; arguments as ``td_conv2d``, unchecked.

    Args:
        h: ``[B, C, H, W]`` input of the convolution, any float type and strides.
        weight: ``[O, C / groups, kh, kw]``, kh * kw <= 124.
        units: Worklist of shape ``[B, O, H', W']``.
        stride: (vertical, horizontal), as padding and dilation.
        padding: Zeros around the input.
        dilation: Distance of the window's cells.
        groups: Groups of channels.
        alpha: Weight of the sum beside the area in a group's score, in [0, 1].
        lower_bound: Units whose products sum to this or less are dropped.
        eps: Slack below theta.
        workspace: See :class:`~triton_kernels.topdown_worklist.Below`.
        record: Whether the chosen groups are recorded.
        programs: Programs to start.
        lanes: Units times channels that the second kernel handles at once.
    """
    h, weight = dense_layout(h), weight.contiguous()
    below = Below(h.shape, h, workspace)
    theta = torch.empty_like(units.values)
    kernel = (weight.shape[2], weight.shape[3])
    words = topdown_board.board(kernel)
    group = theta.new_empty((len(theta) if record else 0, 4), dtype=torch.int64)
    chosen = Chosen(theta=theta, group=group, bits=words.bits)
    if not units.capacity or not h.numel():
        return below.finish(), chosen
    numbers = geometry(h, weight, units.shape, stride, padding, dilation, groups)
    topdown_theta.launch(h, weight, units, theta, numbers, lower_bound, kernel, programs)
    at_once = tile(weight.shape[1], words.taps, lanes)
    # the same order of scores, and exact for whole numbers: sum + (1 - alpha) / alpha * area
    a_sum, a_area = (1.0, (1 - alpha) / alpha) if alpha > 0 else (0.0, 1.0)
    warps = max(lanes // 32, 1)
    _group_kernel[(programs or units.programs(at_once[0], warps),)](
        *(h, weight, units.cells, units.values, units.count, theta, *below.arguments, chosen.group),
        *(eps, a_sum, a_area, *numbers),
        *(*kernel, words.bits, words.two, words.word, (*words.not_first, *words.not_last)),
        *(*at_once, record),
        num_warps=warps,
        enable_fp_fusion=False,
    )
    return below.finish(), chosen
