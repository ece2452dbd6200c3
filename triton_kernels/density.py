"""Density maps of a batch: one program owns one tile of one map and adds every head that reaches it.

The specification is ``dotally.ops.render_density_reference``. Heads are sorted by picture and tile, so most blocks of
heads miss a tile and are skipped after one look at their boxes. Within a tile they are added in that fixed order:
no atomics, bitwise repeatable. Nothing here waits for the device.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# fixed, not autotuned: the tile fixes the order of the sums, and with it the last bit of every map
TILE = 32  # cells along each side
BLOCK_N = 32  # heads per step; tl.dot wants at least 16
BLOCK_K = 64  # taps per step of the mass


@triton.jit
def _taps(b_pixel, b_center, b_radius, b_sigma, limit, CUT: tl.constexpr):
    """Return unnormalised weights of heads [BLOCK_N, 1] at pixels, 0 outside the window or (CUT) the picture."""
    b_offset = b_pixel - b_center
    b_z = b_offset.to(tl.float32) / b_sigma
    inside = tl.abs(b_offset) <= b_radius
    if CUT:
        inside &= (b_pixel >= 0) & (b_pixel < limit)
    return tl.where(inside, tl.exp(-0.5 * b_z * b_z), 0.0)


@triton.jit
def _mass_kernel(
    center,
    radius,
    sigma,
    limit,
    mass,
    N,
    CUT: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Sum the taps of every head along one axis: over its window or (CUT) over what lies in the picture."""
    o_n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    m_n = o_n < N
    b_center = tl.load(center + o_n, mask=m_n, other=0)[:, None]
    b_radius = tl.load(radius + o_n, mask=m_n, other=0)[:, None]
    b_sigma = tl.load(sigma + o_n, mask=m_n, other=1.0)[:, None]
    b_limit = tl.load(limit + o_n, mask=m_n, other=0)[:, None]
    reach = tl.max(b_radius)
    b_mass = tl.zeros([BLOCK_N], dtype=tl.float32)
    for k in range(-reach, reach + 1, BLOCK_K):
        b_pixel = b_center + k + tl.arange(0, BLOCK_K)[None, :]  # [BLOCK_N, BLOCK_K]
        b_mass += tl.sum(_taps(b_pixel, b_center, b_radius, b_sigma, b_limit, CUT), axis=1)
    tl.store(mass + o_n, b_mass, mask=m_n)


@triton.jit
def _density_kernel(
    row,
    column,
    radius,
    sigma,
    weight,
    start,
    valid,
    out,
    H,
    W,
    STRIDE: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Render tile (y, x) of picture b: out[b] = sum over heads of weight * row taps (outer) column taps."""
    i_y, i_x = tl.program_id(0), tl.program_id(1)
    i_b = tl.program_id(2).to(tl.int64)
    height, width = tl.load(valid + 2 * i_b).to(tl.int32), tl.load(valid + 2 * i_b + 1).to(tl.int32)
    first, last = tl.load(start + i_b), tl.load(start + i_b + 1)
    top, left = i_y * TILE * STRIDE, i_x * TILE * STRIDE
    o_cell = tl.arange(0, TILE)
    b_out = tl.zeros([TILE, TILE], dtype=tl.float32)
    for n in range(first, last, BLOCK_N):
        o_n = n + tl.arange(0, BLOCK_N)
        m_n = o_n < last
        b_row = tl.load(row + o_n, mask=m_n, other=0)
        b_column = tl.load(column + o_n, mask=m_n, other=0)
        b_radius = tl.load(radius + o_n, mask=m_n, other=-1)
        b_weight = tl.load(weight + o_n, mask=m_n, other=0.0)
        reaches = (b_row + b_radius >= top) & (b_row - b_radius < top + TILE * STRIDE)
        reaches &= (b_column + b_radius >= left) & (b_column - b_radius < left + TILE * STRIDE)
        if tl.max((reaches & (b_weight > 0)).to(tl.int32)) > 0:
            b_sigma = tl.load(sigma + o_n, mask=m_n, other=1.0)
            b_u = tl.zeros([BLOCK_N, TILE], dtype=tl.float32)
            b_v = tl.zeros([BLOCK_N, TILE], dtype=tl.float32)
            for j in range(STRIDE):  # a loop: unrolled eight times it spills
                b_y = (top + o_cell * STRIDE + j)[None, :]
                b_x = (left + o_cell * STRIDE + j)[None, :]
                b_u += _taps(b_y, b_row[:, None], b_radius[:, None], b_sigma[:, None], height, True)
                b_v += _taps(b_x, b_column[:, None], b_radius[:, None], b_sigma[:, None], width, True)
            b_out += tl.dot(tl.trans(b_u * b_weight[:, None]), b_v, input_precision="ieee")  # [TILE, TILE]
    o_h, o_w = (i_y * TILE + o_cell).to(tl.int64), (i_x * TILE + o_cell).to(tl.int64)
    mask = (o_h < H)[:, None] & (o_w < W)[None, :]
    tl.store(out + (i_b * H + o_h[:, None]) * W + o_w[None, :], b_out, mask=mask)


def axis_mass(center: Tensor, radius: Tensor, sigma: Tensor, limit: Tensor, *, cut: bool) -> Tensor:
    """Return ``[N]`` float32 sums of the taps of each head along one axis.

    Args:
        center: ``[N]`` int32 pixel of the head.
        radius: ``[N]`` int32 half width of its window.
        sigma: ``[N]`` float32 > 0.
        limit: ``[N]`` int32 side of the picture.
        cut: Whether the picture cuts the window.
    """
    mass = torch.empty_like(sigma)
    if len(center):
        grid = (triton.cdiv(len(center), BLOCK_N),)
        _mass_kernel[grid](center, radius, sigma, limit, mass, len(center), cut, BLOCK_N, BLOCK_K)
    return mass


def render_density(
    points: Tensor,
    sigma: Tensor,
    counts: Tensor,
    valid: Tensor,
    size: tuple[int, int],
    *,
    stride: int,
    renormalize: bool,
    tile: int = TILE,
) -> Tensor:
    """Render ``[B, 1, h, w]`` float32 maps; arguments as ``render_density_batch`` of ``dotally.ops``, unchecked."""
    height, width = (triton.cdiv(side, stride) for side in size)
    pixel = points.floor().to(torch.int32)
    picture = torch.repeat_interleave(torch.arange(len(counts), device=points.device), counts, output_size=len(points))
    limit = valid.to(torch.int32)[picture]  # [N, 2] (height, width)
    order = _tile_order(pixel, picture, stride * tile)
    pixel, limit, sigma = pixel[order], limit[order], sigma.float()[order]
    row, column = pixel[:, 1].contiguous(), pixel[:, 0].contiguous()
    radius = (4.0 * sigma + 0.5).to(torch.int32)
    sigma = sigma.clamp(min=1e-9)  # sigma 0 has radius 0: one tap, whatever it is divided by
    inside = (row >= 0) & (row < limit[:, 0]) & (column >= 0) & (column < limit[:, 1])
    mass_down = axis_mass(row, radius, sigma, limit[:, 0].contiguous(), cut=renormalize)
    mass_across = axis_mass(column, radius, sigma, limit[:, 1].contiguous(), cut=renormalize)
    weight = torch.where(inside, 1.0 / (mass_down * mass_across), 0.0)  # a head outside its picture weighs nothing
    start = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    out = torch.empty(len(counts), 1, height, width, device=points.device, dtype=torch.float32)
    grid = (triton.cdiv(height, tile), triton.cdiv(width, tile), len(counts))
    if out.numel():
        _density_kernel[grid](
            row,
            column,
            radius,
            sigma,
            weight,
            start,
            valid.contiguous(),
            out,
            height,
            width,
            stride,
            tile,
            BLOCK_N,
        )
    return out


def _tile_order(pixel: Tensor, picture: Tensor, side: int) -> Tensor:
    """Return the stable order by (picture, tile row, tile column): what is near in a map lies near in memory."""
    tile = (pixel // side).clamp(0, 1 << 15).long()
    return torch.argsort((picture << 32) + (tile[:, 1] << 16) + tile[:, 0], stable=True)
