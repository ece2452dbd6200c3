"""Bit boards: the winners of a small window as the bits of integers, and the groups of those that touch.

Bit row * kw + column is a cell. Boards of up to 31 cells are 32-bit integers, of up to 62 cells 64-bit integers, larger
ones two of them. A group grows from its lowest bit by shifts until nothing is added; bits never wrap around a row.
"""

import triton
import triton.language as tl

MAX_TAPS = 124  # two words of 62 bits


class Board:
    """How the winners of a kh x kw window lie in one or two words; columns are masks of the first and last column."""

    def __init__(
        self,
        *,
        taps: int,
        bits: int,
        two: bool,
        word: tl.dtype,
        not_first: tuple[int, int],
        not_last: tuple[int, int],
    ) -> None:
        self.taps, self.bits, self.two, self.word = taps, bits, two, word
        self.not_first, self.not_last = not_first, not_last


def board(kernel: tuple[int, int]) -> Board:
    """Return the bit board of a window of (height, width) cells."""
    taps = kernel[0] * kernel[1]
    if taps > MAX_TAPS:
        raise ValueError(f"a window of {kernel[0]} x {kernel[1]} cells exceeds {MAX_TAPS} bits")
    two = taps > 62
    bits = (taps + 1) // 2 if two else taps
    full, low = (1 << taps) - 1, (1 << bits) - 1
    first = sum(1 << (row * kernel[1]) for row in range(kernel[0]))
    masks = [full & ~first, full & ~(first << (kernel[1] - 1))]
    not_first, not_last = ((mask & low, mask >> bits) for mask in masks)
    word = tl.int32 if taps <= 31 else tl.int64
    return Board(taps=taps, bits=bits, two=two, word=word, not_first=not_first, not_last=not_last)


@triton.jit
def _left(lo, hi, by: tl.constexpr, BITS: tl.constexpr, TWO: tl.constexpr):
    if TWO:
        return (lo << by) & ((1 << BITS) - 1), (hi << by) | (lo >> (BITS - by))
    return lo << by, hi


@triton.jit
def _right(lo, hi, by: tl.constexpr, BITS: tl.constexpr, TWO: tl.constexpr):
    if TWO:
        return (lo >> by) | ((hi << (BITS - by)) & ((1 << BITS) - 1)), hi >> by
    return lo >> by, hi


@triton.jit
def _grow(lo, hi, KH: tl.constexpr, KW: tl.constexpr, BITS: tl.constexpr, TWO: tl.constexpr, COLUMNS: tl.constexpr):
    """Return the bits and their eight neighbours, some of them beyond the last row."""
    l_lo, l_hi = _left(lo & COLUMNS[2], hi & COLUMNS[3], 1, BITS, TWO)
    r_lo, r_hi = _right(lo & COLUMNS[0], hi & COLUMNS[1], 1, BITS, TWO)
    lo, hi = lo | l_lo | r_lo, hi | l_hi | r_hi
    if KH > 1:
        u_lo, u_hi = _left(lo, hi, KW, BITS, TWO)
        d_lo, d_hi = _right(lo, hi, KW, BITS, TWO)
        lo, hi = lo | u_lo | d_lo, hi | u_hi | d_hi
    return lo, hi


@triton.jit
def first_group(
    lo, hi, KH: tl.constexpr, KW: tl.constexpr, BITS: tl.constexpr, TWO: tl.constexpr, COLUMNS: tl.constexpr
):
    """Return the group of touching bits that holds the lowest bit of each board."""
    g_lo = lo & -lo
    g_hi = hi
    if TWO:
        g_hi = tl.where(lo == 0, hi & -hi, 0)
    growing = tl.max(tl.max(g_lo | g_hi, axis=1), axis=0)
    while growing != 0:
        n_lo, n_hi = _grow(g_lo, g_hi, KH, KW, BITS, TWO, COLUMNS)
        n_lo, n_hi = n_lo & lo, n_hi & hi
        growing = tl.max(tl.max((n_lo ^ g_lo) | (n_hi ^ g_hi), axis=1), axis=0)
        g_lo, g_hi = n_lo, n_hi
    return g_lo, g_hi
