"""Bilinear Gaussian convolution as an implicit matrix product over a blurred plane, and its two displacement helpers.

``y[p] = sum over k, c of W[k, c] * plane[p + mu_k, c]``: the left operand is built in registers, a bilinear sample of
the plane at each displacement, so a receptive field of any size costs what its displacements cost. The input gradient
is the same kernel on the blurred output gradient, with transposed weights and negated displacements. Offsets and
fractions live in device memory, so nothing waits for the device; no atomics, a fixed order of sums.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from triton_kernels.gaussian_blur import block_of

SMALL = 1 << 22  # outputs of a product below which the larger tiles would leave an H100 half empty


class Tile:
    """A fixed tile of the product: a patch of pixels, so that displaced reads overlap, by outputs, by channels."""

    def __init__(self, *, y: int, x: int, outputs: int, channels: int, warps: int = 8, stages: int = 2) -> None:
        self.y, self.x, self.outputs, self.channels = y, x, outputs, channels
        self.warps, self.stages = warps, stages


class Displacements:
    """Where K units sample a plane, in device memory.

    Attributes:
        offset: ``[K]`` int32, cells of the plane from a pixel to the upper left of the four it samples.
        fraction: ``[K, 2]`` float32 in [0, 1): how far (y, x) the sample lies towards the lower right.
        step: Pixels (down, right) between the four: the dilation of the convolution.
    """

    def __init__(self, *, offset: Tensor, fraction: Tensor, step: tuple[int, int]) -> None:
        self.offset, self.fraction, self.step = offset, fraction, step


@triton.jit
def patch(i_t, W, TILE_Y: tl.constexpr, TILE_X: tl.constexpr):
    """Return the first row and column of patch i_t of a map W pixels wide."""
    across = tl.cdiv(W, TILE_X)
    return (i_t // across) * TILE_Y, (i_t % across) * TILE_X


@triton.jit
def sample(p_plane, down, right, b_fy, b_fx):
    """Return the bilinear sample of the four cells at p_plane, in the dtype of the fractions, as two lerps."""
    b_upper_left = tl.load(p_plane).to(b_fx.dtype)
    b_upper_right = tl.load(p_plane + right).to(b_fx.dtype)
    b_lower_left = tl.load(p_plane + down).to(b_fx.dtype)
    b_lower_right = tl.load(p_plane + down + right).to(b_fx.dtype)
    b_upper = b_upper_left + b_fx * (b_upper_right - b_upper_left)
    b_lower = b_lower_left + b_fx * (b_lower_right - b_lower_left)
    return b_upper + b_fy * (b_lower - b_upper)


@triton.jit
def fractions(fraction, k, like):
    """Return unit k's fractions along y and x in the dtype the plane is sampled in.

    That is bfloat16 for bfloat16: packed arithmetic halves the instructions, and the tensor cores, not the issue slots,
    stay the limit of the product. In float16 it would double the error, which is what one takes float16 for.
    """
    b_fy, b_fx = tl.load(fraction + 2 * k), tl.load(fraction + 2 * k + 1)
    if like.dtype.element_ty == tl.bfloat16:
        b_fy, b_fx = b_fy.to(tl.bfloat16), b_fx.to(tl.bfloat16)
    return b_fy, b_fx


@triton.jit
def operand(b_x, PRECISION: tl.constexpr):
    """Return what a product of PRECISION takes: in "tf32", float32 rounded to its ten bits, ties away from zero.

    Tensor cores cut the other 13 bits, and Triton leaves them there: that shrinks every product by 7e-4 on average.
    """
    if PRECISION == "tf32" and b_x.dtype == tl.float32:
        b_bits = b_x.to(tl.int32, bitcast=True)
        # a GPU's NaN has all bits set: one more would make it -0
        b_bits = tl.where(b_x == b_x, b_bits + 0x1000, b_bits) & -0x2000
        b_x = b_bits.to(tl.float32, bitcast=True)
    return b_x


@triton.jit
def _forward_kernel(
    plane,
    weight,
    offset,
    fraction,
    out,
    H,
    W,
    HP,
    WP,
    N,
    NP,
    C: tl.constexpr,
    K: tl.constexpr,
    PAD: tl.constexpr,
    STEP_Y: tl.constexpr,
    STEP_X: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_C: tl.constexpr,
    PRECISION: tl.constexpr,
):
    i_o = tl.program_id(0)  # fastest, so that the patch is read again from L2
    i_b = tl.program_id(2).to(tl.int64)
    top, left = patch(tl.program_id(1), W, TILE_Y, TILE_X)
    o_p = tl.arange(0, TILE_Y * TILE_X)
    o_y, o_x = top + o_p // TILE_X, left + o_p % TILE_X
    o_o = i_o * BLOCK_O + tl.arange(0, BLOCK_O)
    o_c = tl.arange(0, BLOCK_C)
    p_plane = plane + i_b * HP * WP * C + ((o_y + PAD) * WP + o_x + PAD)[:, None] * C + o_c[None, :]
    stride_o, stride_c = (C, 1) if CHANNELS_LAST else (1, NP)
    p_weight = weight + o_o[None, :] * stride_o + o_c[:, None] * stride_c
    b_out = tl.zeros([TILE_Y * TILE_X, BLOCK_O], dtype=tl.float32)
    # one flat loop: it is pipelined, and not unrolled into more shared memory than there is
    for i in range(K * (C // BLOCK_C)):
        k = i % K
        c = (i // K) * BLOCK_C
        # times C, so that the compiler still sees whole 16-byte vectors
        p_k = p_plane + (tl.load(offset + k) * C + c)
        b_fy, b_fx = fractions(fraction, k, plane)
        b_a = sample(p_k, STEP_Y * WP * C, STEP_X * C, b_fy, b_fx).to(plane.dtype.element_ty)  # [pixels, BLOCK_C]
        b_w = tl.load(p_weight + (k * NP * C + c * stride_c))  # [BLOCK_C, BLOCK_O], rounded when it was packed
        b_out = tl.dot(operand(b_a, PRECISION), b_w, b_out, input_precision=PRECISION)
    p_out = out + (i_b * H * W + o_y * W + o_x)[:, None] * N + o_o[None, :]
    tl.store(p_out, b_out.to(out.dtype.element_ty), mask=((o_y < H) & (o_x < W))[:, None] & (o_o < N)[None, :])


def padded(channels: int) -> int:
    """Return how many channels a plane or a packed weight holds for ``channels``; those beyond are zero."""
    return max(16, triton.next_power_of_2(channels)) if channels <= 64 else triton.cdiv(channels, 64) * 64


def tile_of(channels: int, outputs: int, *, dtype: torch.dtype, precision: str, small: bool) -> Tile:
    """Return the tile of a product of padded sizes; ``small`` halves the pixels, where a GPU would stay half empty."""
    if dtype != torch.float32:
        tall, widest, deepest = 8, 256, 64
    elif precision == "tf32":
        tall, widest, deepest = 8, 128, 32
    else:
        tall, widest, deepest = 4, 64, 16
    tall = 4 if small else tall
    return Tile(y=tall, x=16, outputs=block_of(outputs, widest), channels=block_of(channels, deepest))


def convolve(
    plane: Tensor,
    weight: Tensor,
    displacements: Displacements,
    *,
    size: tuple[int, int],
    pad: int,
    outputs: int,
    precision: str,
) -> Tensor:
    """Return ``[B, H, W, outputs]``, the sum over units and channels of weight times the displaced plane.

    Args:
        plane: ``[B, HP, WP, C]`` from :func:`triton_kernels.gaussian_blur.blur`, C as :func:`padded` has it.
        weight: Of K units, from :func:`triton_kernels.gaussian_prepare.pack`, with the same precision.
        displacements: Of the K units.
        size: (H, W).
        pad: The plane's border in pixels.
        outputs: How many of the padded outputs are wanted.
        precision: "ieee" or "tf32", for float32.
    """
    batch, rows, columns, channels = plane.shape
    height, width = size
    out = torch.empty(batch, height, width, outputs, device=plane.device, dtype=plane.dtype)
    if not out.numel():
        return out
    small = out.numel() < SMALL
    tile = tile_of(channels, padded(outputs), dtype=plane.dtype, precision=precision, small=small)
    patches = triton.cdiv(height, tile.y) * triton.cdiv(width, tile.x)
    grid = (padded(outputs) // tile.outputs, patches, batch)
    _forward_kernel[grid](
        *(plane, weight, displacements.offset, displacements.fraction, out),
        *(height, width, rows, columns, outputs, padded(outputs), channels, len(weight), pad),
        *(*displacements.step, plane.dtype == torch.float32),
        *(tile.y, tile.x, tile.outputs, tile.channels, precision),
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return out
