"""Gradients of the bilinear Gaussian convolution with respect to its weights, displacements and sigma.

The left operands are sampled again from the blurred plane, never kept. Each program owns a fixed share of the pixels
and writes its own partial sums, which are then added in a fixed order: no atomics, bitwise repeatable.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from triton_kernels.gaussian_blur import block_of
from triton_kernels.gaussian_conv import Displacements, fractions, operand, padded, patch, sample

# fixed, not autotuned: tiles and shares fix the order of the sums
PATCH_X = 16  # columns of pixels per step of the weight gradient
PROGRAMS = 512  # about how many programs share the weight gradient
UNIT_TILE = {"half": (8, 64, 64, 3), "tf32": (8, 64, 32, 2), "ieee": (4, 64, 16, 2)}  # rows, channels, outputs, stages
WEIGHT_TILE = {"half": (4, 128, 256), "tf32": (2, 128, 128), "ieee": (1, 64, 64)}  # rows, channels, outputs
WARPS = 8


@triton.jit
def _weight_kernel(
    plane,
    grad,
    offset,
    fraction,
    partial,
    H,
    W,
    HP,
    WP,
    N,
    NP,
    PATCHES,
    SHARE,
    C: tl.constexpr,
    K: tl.constexpr,
    PAD: tl.constexpr,
    STEP_Y: tl.constexpr,
    STEP_X: tl.constexpr,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_O: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write partial[share, k, c, o] = sum over the patches of a share of sampled plane times output gradient."""
    k = tl.program_id(1) % K
    o_c = (tl.program_id(1) // K) * BLOCK_C + tl.arange(0, BLOCK_C)
    o_o = tl.program_id(0) * BLOCK_O + tl.arange(0, BLOCK_O)
    i_s = tl.program_id(2)
    p_plane = plane + tl.load(offset + k) * C + o_c[None, :]
    b_fy, b_fx = fractions(fraction, k, plane)
    o_p = tl.arange(0, TILE_Y * TILE_X)
    o_y, o_x = o_p // TILE_X, o_p % TILE_X
    p_plane += ((o_y + PAD) * WP + o_x + PAD)[:, None] * C
    p_grad = grad + (o_y * W + o_x)[:, None] * N + o_o[None, :]
    m_o = (o_o < N)[None, :]
    per_map = tl.cdiv(H, TILE_Y) * tl.cdiv(W, TILE_X)
    b_w = tl.zeros([BLOCK_C, BLOCK_O], dtype=tl.float32)
    for i in range(i_s * SHARE, tl.minimum((i_s + 1) * SHARE, PATCHES)):
        i_b = (i // per_map).to(tl.int64)
        top, left = patch(i % per_map, W, TILE_Y, TILE_X)
        p_patch = p_plane + (i_b * HP * WP + top * WP + left) * C
        b_a = sample(p_patch, STEP_Y * WP * C, STEP_X * C, b_fy, b_fx).to(plane.dtype.element_ty)  # [pixels, BLOCK_C]
        m_p = (o_y < H - top) & (o_x < W - left)
        b_g = tl.load(p_grad + (i_b * H * W + top * W + left) * N, mask=m_p[:, None] & m_o, other=0.0)
        b_w = tl.dot(tl.trans(operand(b_a, PRECISION)), b_g, b_w, input_precision=PRECISION)
    p_partial = partial + ((i_s * K + k).to(tl.int64) * C + o_c)[:, None] * NP + o_o[None, :]
    tl.store(p_partial, b_w)


@triton.jit
def _slopes(p_plane, down, right, b_fy, b_fx):
    """Return the derivatives of the bilinear sample with respect to the displacement along x and y, float32."""
    b_upper_left = tl.load(p_plane).to(tl.float32)
    b_upper_right = tl.load(p_plane + right).to(tl.float32)
    b_lower_left = tl.load(p_plane + down).to(tl.float32)
    b_lower_right = tl.load(p_plane + down + right).to(tl.float32)
    b_upper, b_lower = b_upper_right - b_upper_left, b_lower_right - b_lower_left
    b_left, b_right = b_lower_left - b_upper_left, b_lower_right - b_upper_right
    return b_upper + b_fy * (b_lower - b_upper), b_left + b_fx * (b_right - b_left)


@triton.jit
def _displacement_kernel(
    grad,
    weight,
    plane,
    plane_y,
    plane_sigma,
    offset,
    fraction,
    partial,
    H,
    W,
    HP,
    WP,
    N,
    CP: tl.constexpr,
    NP: tl.constexpr,
    K: tl.constexpr,
    PAD: tl.constexpr,
    STEP_Y: tl.constexpr,
    STEP_X: tl.constexpr,
    EXACT: tl.constexpr,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_O: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write partial[program, k, (x, y, sigma)]: what a patch and a block of channels add to the gradients of unit k.

    e = output gradient times W_k stays in registers; it meets the plane's slopes there (EXACT), or the samples of the
    planes blurred with the derivatives of the Gaussian.
    """
    blocks: tl.constexpr = CP // BLOCK_C
    k, i_c = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    i_b = tl.program_id(2).to(tl.int64)
    top, left = patch(tl.program_id(1), W, TILE_Y, TILE_X)
    o_p = tl.arange(0, TILE_Y * TILE_X)
    o_y, o_x = top + o_p // TILE_X, left + o_p % TILE_X
    m_p = (o_y < H) & (o_x < W)
    o_c = i_c * BLOCK_C + tl.arange(0, BLOCK_C)
    o_o = tl.arange(0, BLOCK_O)
    p_grad = grad + i_b * H * W * N + (o_y * W + o_x)[:, None] * N + o_o[None, :]
    p_weight = weight + (k * CP + o_c[None, :]) * NP + o_o[:, None]
    b_e = tl.zeros([TILE_Y * TILE_X, BLOCK_C], dtype=tl.float32)
    for o in range(0, NP, BLOCK_O):
        b_g = tl.load(p_grad + o, mask=m_p[:, None] & (o + o_o < N)[None, :], other=0.0)
        b_e = tl.dot(b_g, tl.load(p_weight + o), b_e, input_precision=PRECISION)
    cells = i_b * HP * WP * CP + ((o_y + PAD) * WP + o_x + PAD + tl.load(offset + k))[:, None] * CP + o_c[None, :]
    b_fy, b_fx = tl.load(fraction + 2 * k), tl.load(fraction + 2 * k + 1)
    down, right = STEP_Y * WP * CP, STEP_X * CP
    if EXACT:
        b_x, b_y = _slopes(plane + cells, down, right, b_fy, b_fx)
    else:
        b_x = sample(plane + cells, down, right, b_fy, b_fx)
        b_y = sample(plane_y + cells, down, right, b_fy, b_fx)
    b_sigma = sample(plane_sigma + cells, down, right, b_fy, b_fx)
    program = (i_b * tl.num_programs(1) + tl.program_id(1)) * blocks + i_c
    p_partial = partial + (program * K + k) * 3
    tl.store(p_partial, tl.sum(b_e * b_x))
    tl.store(p_partial + 1, tl.sum(b_e * b_y))
    tl.store(p_partial + 2, tl.sum(b_e * b_sigma))


def weight_gradient(plane: Tensor, grad: Tensor, displacements: Displacements, *, pad: int, precision: str) -> Tensor:
    """Return ``[K, CP, NP]`` float32: the gradient of the weights, at padded sizes.

    Args:
        plane: ``[B, HP, WP, CP]``, the blurred input.
        grad: ``[B, H, W, N]`` contiguous, dtype of the plane, from :func:`triton_kernels.gaussian_prepare.rounded`.
        displacements: Of the K units.
        pad: The plane's border.
        precision: "ieee" or "tf32", for float32.
    """
    (batch, rows, columns, channels), (height, width, outputs) = plane.shape, grad.shape[1:]
    units, whole = len(displacements.offset), padded(outputs)
    tall, block_c, block_o = WEIGHT_TILE[_kind(plane, precision)]
    block_c, block_o = block_of(channels, block_c), block_of(whole, block_o)
    tiles = (whole // block_o, units * (channels // block_c))
    patches = batch * triton.cdiv(height, tall) * triton.cdiv(width, PATCH_X)
    share = triton.cdiv(patches, max(1, min(patches, PROGRAMS // (tiles[0] * tiles[1]))))
    shares = triton.cdiv(patches, max(1, share))
    partial = torch.empty(shares, units, channels, whole, device=plane.device, dtype=torch.float32)
    if shares:
        _weight_kernel[(*tiles, shares)](
            *(plane, grad, displacements.offset, displacements.fraction, partial),
            *(height, width, rows, columns, outputs, whole, patches, share, channels, units, pad),
            *(*displacements.step, tall, PATCH_X, block_c, block_o, precision),
            num_warps=WARPS,
            num_stages=2,
        )
    return partial.sum(dim=0)


def displacement_gradient(
    grad: Tensor,
    weight: Tensor,
    planes: tuple[Tensor, Tensor, Tensor],
    displacements: Displacements,
    *,
    exact: bool,
    pad: int,
    precision: str,
) -> Tensor:
    """Return ``[K, 3]`` float64: the gradients of each unit's displacement along x and y, and of its width.

    Args:
        grad: ``[B, H, W, N]`` contiguous, from :func:`triton_kernels.gaussian_prepare.rounded`.
        weight: ``[K, CP, NP]`` contiguous, dtype of ``grad``, packed with the same precision.
        planes: ``[B, HP, WP, CP]`` each: the input blurred with the Gaussian twice (exact) or with its derivatives
            along x and y, and with its derivative by sigma.
        displacements: Of the K units.
        exact: Whether to differentiate the bilinear interpolation, or to interpolate the derivatives.
        pad: The planes' border.
        precision: "ieee" or "tf32", for float32.
    """
    (batch, height, width, outputs), (rows, columns) = grad.shape, planes[0].shape[1:3]
    units, channels, whole = weight.shape
    tall, block_c, block_o, stages = UNIT_TILE[_kind(grad, precision)]
    block_c, block_o = block_of(channels, block_c), block_of(whole, block_o)
    blocks, patches = channels // block_c, triton.cdiv(height, tall) * triton.cdiv(width, PATCH_X)
    partial = torch.empty(batch * patches * blocks, units, 3, device=grad.device, dtype=torch.float32)
    if partial.numel():
        _displacement_kernel[(units * blocks, patches, batch)](
            *(grad, weight, *planes, displacements.offset, displacements.fraction, partial),
            *(height, width, rows, columns, outputs, channels, whole, units, pad, *displacements.step),
            *(exact, tall, PATCH_X, block_c, block_o, precision),
            num_warps=WARPS,
            num_stages=stages,
        )
    return partial.sum(dim=0, dtype=torch.float64)


def _kind(like: Tensor, precision: str) -> str:
    return precision if like.dtype == torch.float32 else "half"
