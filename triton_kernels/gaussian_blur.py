"""The blurred plane of the bilinear Gaussian convolution: one or two separable filters of a map, stored with a border.

The border holds what the blur throws past the map and zeros beyond, as wide as any displacement reaches. So whoever
samples the plane needs no masks, and a displaced read equals the dense convolution at the borders too. With flipped
taps the same kernel is the adjoint. Fixed order of sums, no atomics, nothing waits for the device.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# fixed, not autotuned; patches of the product must divide them. Rows of a tile share horizontal passes
TILE_Y = 8  # plane rows per program, a dilation apart
TILE_X = 16  # plane columns per program
BLOCK_C = 64  # channels per program
WARPS = 4


@triton.jit
def _blur_kernel(
    x,
    taps,
    plane,
    H,
    W,
    C,
    HP,
    WP,
    CP: tl.constexpr,
    TERMS: tl.constexpr,
    RADIUS: tl.constexpr,
    DILATION_Y: tl.constexpr,
    DILATION_X: tl.constexpr,
    PAD: tl.constexpr,
    CROP: tl.constexpr,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Write plane[b, y, x, c] = sum over terms, v, u of taps[term, 0, v] taps[term, 1, u] x[b, y + v, x + u, c]."""
    N_TAPS: tl.constexpr = 2 * RADIUS + 1
    blocks = CP // BLOCK_C
    i_c, i_x = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    i_y, phase = tl.program_id(1) // DILATION_Y, tl.program_id(1) % DILATION_Y
    i_b = tl.program_id(2).to(tl.int64)
    o_t = tl.arange(0, TILE_Y)
    o_x = i_x * TILE_X + tl.arange(0, TILE_X) - PAD  # columns and rows of the map: negative in the border
    o_c = i_c * BLOCK_C + tl.arange(0, BLOCK_C)
    top = i_y * TILE_Y * DILATION_Y + phase - PAD
    m_x = ()  # does not change from row to row
    for u in tl.static_range(N_TAPS):
        column = o_x + (u - RADIUS) * DILATION_X
        m_x += (((column >= 0) & (column < W))[:, None] & (o_c < C)[None, :],)  # type: ignore[assignment]
    p_x = x + (i_b * H * W + top * W - RADIUS * DILATION_Y * W) * C + o_x[:, None] * C + o_c[None, :]
    # only those rows that lie in the map; both dividends are positive, because division truncates
    first = tl.maximum(0, RADIUS + PAD - (top + PAD * DILATION_Y) // DILATION_Y)
    last = RADIUS + PAD + H - (top - H + (PAD + H) * DILATION_Y) // DILATION_Y
    last = tl.minimum(TILE_Y + 2 * RADIUS, last)
    b_plane = tl.zeros([TILE_Y, TILE_X, BLOCK_C], dtype=tl.float32)
    for term in range(TERMS):  # outermost: inside the rows, what two terms share would be kept, and spill
        for j in range(first, last):
            p_row = p_x + j * DILATION_Y * W * C
            b_across = tl.zeros([TILE_X, BLOCK_C], dtype=tl.float32)
            for u in tl.static_range(N_TAPS):
                b_x = tl.load(p_row + (u - RADIUS) * DILATION_X * C, mask=m_x[u], other=0.0)
                b_across += tl.load(taps + (2 * term + 1) * N_TAPS + u) * b_x.to(tl.float32)
            o_v = j - o_t  # the vertical tap with which this row enters each row of the tile
            b_v = tl.load(taps + 2 * term * N_TAPS + o_v, mask=(o_v >= 0) & (o_v < N_TAPS), other=0.0)
            b_plane += b_v[:, None, None] * b_across[None, :, :]  # [TILE_Y, TILE_X, BLOCK_C]
    o_y = top + o_t * DILATION_Y
    if CROP:
        inside = ((o_y >= 0) & (o_y < H))[:, None] & ((o_x >= 0) & (o_x < W))[None, :]
        b_plane = tl.where(inside[:, :, None], b_plane, 0.0)
    p_row, p_column = o_y + PAD, o_x + PAD
    p_plane = plane + i_b * HP * WP * CP + (p_row[:, None] * WP + p_column[None, :])[:, :, None] * CP + o_c[None, None]
    mask = ((p_row < HP)[:, None] & (p_column < WP)[None, :])[:, :, None] & (o_c < CP)[None, None]
    tl.store(p_plane, b_plane.to(plane.dtype.element_ty), mask=mask)


def blur(x: Tensor, taps: Tensor, *, dilation: tuple[int, int], pad: int, channels: int, crop: bool = False) -> Tensor:
    """Return the plane ``[B, HP, WP, channels]``: ``x`` filtered by a sum of separable filters, with a border.

    Sides are those of the map rounded up to whole patches of the product, so that it reads no cell outside, plus
    twice ``pad``.

    Args:
        x: ``[B, H, W, C]``, contiguous.
        taps: ``[terms, 2, 2 radius + 1]`` float32, vertical and horizontal; the plane is the sum over the terms.
        dilation: Pixels between taps, (vertical, horizontal).
        pad: Pixels of border.
        channels: Channels of the plane, a multiple of 16, at least C; those beyond C are zero.
        crop: Whether the border is zero instead of what the blur throws there.
    """
    batch, height, width, inputs = x.shape
    rows, columns = plane_size((height, width), pad)
    plane = torch.empty(batch, rows, columns, channels, device=x.device, dtype=x.dtype)
    block = block_of(channels, BLOCK_C)
    groups = triton.cdiv(triton.cdiv(rows, dilation[0]), TILE_Y) * dilation[0]
    grid = (triton.cdiv(columns, TILE_X) * (channels // block), groups, batch)
    if plane.numel():
        _blur_kernel[grid](
            *(x, taps, plane, height, width, inputs, rows, columns, channels),
            *(len(taps), taps.shape[2] // 2, *dilation, pad, crop, TILE_Y, TILE_X, block),
            num_warps=WARPS,
        )
    return plane


def plane_size(size: tuple[int, int], pad: int) -> tuple[int, int]:
    """Return (rows, columns) of the plane of a map: whole patches of the product, and the border."""
    return triton.cdiv(size[0], TILE_Y) * TILE_Y + 2 * pad, triton.cdiv(size[1], TILE_X) * TILE_X + 2 * pad


def block_of(channels: int, largest: int) -> int:
    """Return the largest power of two up to ``largest`` that divides the padded number of channels."""
    return min(largest, channels & -channels)
