"""Interference reduction of top-down gating: the products of a unit, and the smallest that survives its cancellation.

A unit's products lie in registers as a tuple of blocks; very large units read theirs again on every pass. theta is the
smallest positive product v for which the sum of all products <= v is positive. It is found without sorting: a dozen
halvings of the interval leave a product or two, and a bisection between the next candidates, on the bits of the
floats, ends at a product itself. Sums have a fixed order.
"""

import triton
import triton.language as tl
from torch import Tensor

from triton_kernels.topdown_worklist import Worklist

GEOMETRY = ["N", "OUT", "HO", "WO", "H", "W", "PER_GROUP", "s_b", "s_g", "s_c", "s_y", "s_x"]
GEOMETRY += ["t_y", "t_x", "p_y", "p_x", "d_y", "d_x"]  # one binary serves all layers of a kernel size
ROUNDS = tl.constexpr(12)  # halvings of the value before candidates are looked at; cheaper per pass than those
INFINITY = tl.constexpr(float("inf"))


class Plan:
    """How a program holds the products of one unit: ``blocks`` blocks of ``block`` products, in registers or not.

    ``registers`` bounds what a thread may use: left alone, ptxas spills a few values for the sake of occupancy.
    """

    def __init__(self, *, block: int, blocks: int, warps: int, registers: int, resident: bool = True) -> None:
        self.block, self.blocks, self.warps, self.registers = block, blocks, warps, registers
        self.resident = resident


def plan(products: int) -> Plan:
    """Return the plan for units of so many products; up to 36 registers a thread hold them."""
    for most, warps, registers in ((1024, 1, 128), (4608, 4, 168), (9216, 8, 224), (16384, 16, 128)):
        if products <= most:
            blocks = triton.cdiv(products, 128 * warps)
            return Plan(block=128 * warps, blocks=blocks, warps=warps, registers=registers)
    return Plan(block=1024, blocks=triton.cdiv(products, 1024), warps=8, registers=128, resident=False)


@triton.jit
def products(window, o_n, KH: tl.constexpr, KW: tl.constexpr, HAS_WEIGHT: tl.constexpr):
    """Return weight times input at flat places (channel, row, column) of a unit's window, 0 outside map and window."""
    x, weight, top, left, N, H, W, s_c, s_y, s_x, d_y, d_x = window
    tap = o_n % (KH * KW)
    i_y = top + tap // KW * d_y
    i_x = left + tap % KW * d_x
    mask = (o_n < N) & (i_y >= 0) & (i_y < H) & (i_x >= 0) & (i_x < W)
    b_p = tl.load(x + o_n // (KH * KW) * s_c + i_y * s_y + i_x * s_x, mask=mask, other=0.0).to(tl.float32)
    if HAS_WEIGHT:
        b_p *= tl.load(weight + o_n, mask=mask, other=0.0).to(tl.float32)
    return b_p


@triton.jit
def hold(
    window, cell, KH: tl.constexpr, KW: tl.constexpr, HAS_WEIGHT: tl.constexpr, BLOCK: tl.constexpr, HELD: tl.constexpr
):
    """Return the unit's products as a tuple of HELD blocks (none when they are read again on every pass)."""
    # cell >> 31 is 0, which the compiler cannot know: else it computes all offsets once for all units, and spills them
    o_block = (cell >> 31) + tl.arange(0, BLOCK)
    held = ()
    for j in tl.static_range(HELD):
        o_n = j * BLOCK + o_block
        if j > 1:  # likewise 0: two blocks are on their way together, and addresses of later ones wait for them
            o_n += (held[j - 2] != held[j - 2]).to(tl.int32)
        held = held + (products(window, o_n, KH, KW, HAS_WEIGHT),)  # type: ignore[assignment]  # noqa: RUF005
    return held


@triton.jit
def split(
    held, window, v, SUM_ONLY: tl.constexpr,
    KH: tl.constexpr, KW: tl.constexpr, HAS_WEIGHT: tl.constexpr, BLOCK: tl.constexpr, HELD: tl.constexpr,
):  # fmt: skip
    """Return (sum of the products <= v, the largest of them, the smallest above v), or (the sum, 0, 0)."""
    b_sum = tl.zeros([BLOCK], dtype=tl.float32)
    b_top = tl.full([BLOCK], -INFINITY, dtype=tl.float32)
    b_next = tl.full([BLOCK], INFINITY, dtype=tl.float32)
    if HELD > 0:
        for j in tl.static_range(HELD):
            below = held[j] <= v
            b_sum += tl.where(below, held[j], 0.0)
            if not SUM_ONLY:
                b_top = tl.maximum(b_top, tl.where(below, held[j], -INFINITY))
                b_next = tl.minimum(b_next, tl.where(below, INFINITY, held[j]))
    else:
        for n in range(0, window[4], BLOCK):
            b_p = products(window, n + tl.arange(0, BLOCK), KH, KW, HAS_WEIGHT)
            below = b_p <= v
            b_sum += tl.where(below, b_p, 0.0)
            if not SUM_ONLY:
                b_top = tl.maximum(b_top, tl.where(below, b_p, -INFINITY))
                b_next = tl.minimum(b_next, tl.where(below, INFINITY, b_p))
    if SUM_ONLY:
        return tl.sum(b_sum), 0.0, 0.0
    return tl.sum(b_sum), tl.max(b_top), tl.min(b_next)


@triton.jit
def find_theta(
    held, window, lower_bound,
    KH: tl.constexpr, KW: tl.constexpr, HAS_WEIGHT: tl.constexpr, BLOCK: tl.constexpr, HELD: tl.constexpr,
):  # fmt: skip
    """Return (theta, the largest product); theta is 0 where the unit hands nothing down."""
    total, largest, _ = split(held, window, INFINITY, False, KH, KW, HAS_WEIGHT, BLOCK, HELD)
    theta = 0.0
    if (total > lower_bound) & (total > 0) & (total < INFINITY):
        # the running sum is <= 0 at low and positive at high
        low, high = 0.0, largest
        for _ in range(ROUNDS):
            middle = 0.5 * (low + high)
            total, _, _ = split(held, window, middle, True, KH, KW, HAS_WEIGHT, BLOCK, HELD)
            low, high = tl.where(total > 0, low, middle), tl.where(total > 0, middle, high)
        _, theta, _ = split(held, window, high, False, KH, KW, HAS_WEIGHT, BLOCK, HELD)
        _, _, low = split(held, window, low, False, KH, KW, HAS_WEIGHT, BLOCK, HELD)
        while low < theta:  # both are products; positive floats are ordered as their bits
            bits = low.to(tl.int32, bitcast=True)
            bits += (theta.to(tl.int32, bitcast=True) - bits) // 2
            middle = bits.to(tl.float32, bitcast=True)
            total, below, above = split(held, window, middle, False, KH, KW, HAS_WEIGHT, BLOCK, HELD)
            low, theta = tl.where(total > 0, low, above), tl.where(total > 0, below, theta)
    return theta, largest


@triton.jit(do_not_specialize=GEOMETRY)
def _theta_kernel(
    x, weight, cells, count, theta, lower_bound,
    N, OUT, HO, WO, H, W, PER_GROUP, s_b, s_g, s_c, s_y, s_x, t_y, t_x, p_y, p_x, d_y, d_x,
    KH: tl.constexpr, KW: tl.constexpr, BLOCK: tl.constexpr, HELD: tl.constexpr,
):  # fmt: skip
    """Write theta of every listed unit of a convolution, 0 where it hands nothing down."""
    n = tl.load(count)
    for i in range(tl.program_id(0), n, tl.num_programs(0)):
        cell = tl.load(cells + i)
        o = cell // (HO * WO) % OUT
        base = x + (cell // (HO * WO * OUT)).to(tl.int64) * s_b + (o // PER_GROUP).to(tl.int64) * s_g
        top, left = cell // WO % HO * t_y - p_y, cell % WO * t_x - p_x
        window = (base, weight + o.to(tl.int64) * N, top, left, N, H, W, s_c, s_y, s_x, d_y, d_x)
        held = hold(window, cell, KH, KW, True, BLOCK, HELD)
        unit_theta, _ = find_theta(held, window, lower_bound, KH, KW, True, BLOCK, HELD)
        tl.store(theta + i, unit_theta)


def launch(
    h: Tensor,
    weight: Tensor,
    units: Worklist,
    theta: Tensor,
    geometry: tuple[int, ...],
    lower_bound: float,
    kernel: tuple[int, int],
    programs: int | None = None,
) -> None:
    """Write theta of every listed unit into ``theta``, 0 where it hands nothing down."""
    how = plan(weight[0].numel())
    _theta_kernel[(programs or units.programs(1, how.warps),)](
        *(h, weight, units.cells, units.count, theta, lower_bound, *geometry),
        *(*kernel, how.block, how.blocks if how.resident else 0),
        num_warps=how.warps,
        maxnreg=how.registers,
        enable_fp_fusion=False,
    )
