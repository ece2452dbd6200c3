"""What the bilinear Gaussian convolution needs before its first pixel: taps, displacements and packed weights.

One program turns mu and sigma into everything small; a second kernel casts, transposes and pads the weights. In plain
PyTorch this took twenty launches of a few hundred numbers each. Nothing is read on the host and no sum has a free
order, so CUDA graphs can capture it and two runs give the same bits.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from triton_kernels.gaussian_conv import Displacements, operand, padded

BLOCK = 64  # channels and outputs of the weights per program
ROUNDED = 1024  # numbers rounded per program
WARPS = 4  # of the kernels; the one of taps and displacements is one warp
ALIGN = 4  # units between the two directions: 16 bytes, so that both launch one and the same kernel

_FLOOR = tl.constexpr(1e-15)  # smaller taps are 0, as in dotally.ops: products of two stay clear of subnormal numbers
_ROOT = tl.constexpr(2.5066282746310002)  # sqrt(2 pi)


class Prepared:
    """Taps and displacements in device memory.

    Attributes:
        blur: ``[1, 2, n]`` float32, the centred Gaussian along both axes; it is symmetric, so its adjoint's too.
        by_sigma: ``[2, 2, n]``: the two terms of the blurred plane's derivative by sigma.
        by_x: ``[1, 2, n]``: the blur with the Gaussian's derivative by its centre along x.
        by_y: ``[1, 2, n]``: likewise along y.
        there: Where the forward pass samples.
        back: The same with negated displacements, for the gradient of the input.
    """

    def __init__(self, taps: Tensor, there: Displacements, back: Displacements) -> None:
        self.blur, self.by_sigma, self.by_x, self.by_y = taps[0, :1], taps[1], taps[2, :1], taps[3, :1]
        self.there, self.back = there, back


@triton.jit
def _split(b_mu, limit):
    """Return whole pixels and fraction of displacements, clamped; NaN goes into the fraction alone."""
    b_mu = tl.where(b_mu > limit, limit, tl.where(b_mu < -limit, -limit, b_mu))
    b_whole = tl.floor(tl.where(b_mu == b_mu, b_mu, 0.0))
    return b_whole.to(tl.int32), b_mu - b_whole


@triton.jit
def _prepare_kernel(
    mu,
    sigma,
    taps,
    offset,
    fraction,
    limit,
    WP,
    K,
    KP,
    N_TAPS: tl.constexpr,
    NORMALIZE: tl.constexpr,
    STEP_Y: tl.constexpr,
    STEP_X: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Write taps[form, term, axis], and for both directions offset[k] and fraction[k, (y, x)]."""
    o_t = tl.arange(0, BLOCK_T)
    m_t = o_t < N_TAPS
    b_sigma = tl.load(sigma).to(tl.float64)
    b_first = (o_t - N_TAPS // 2).to(tl.float64) / b_sigma
    b_second = b_first * b_first
    b_value = tl.where(m_t, tl.exp(-0.5 * b_second), 0.0)
    if NORMALIZE == "sum":
        b_value = b_value / tl.sum(b_value)
    elif NORMALIZE == "analytic":
        b_value = b_value / (tl.full([], _ROOT, tl.float64) * b_sigma)
    b_value = tl.where(b_value < _FLOOR, 0.0, b_value)
    if NORMALIZE == "sum":  # the mean of the first is 0: a centred Gaussian is symmetric
        b_second -= tl.sum(b_value * b_second)
    elif NORMALIZE == "analytic":
        b_second -= 1.0
    b_mu, b_wide = b_value * b_first / b_sigma, b_value * b_second / b_sigma
    # [form, term, axis]: the blur; its slope by sigma, two terms; the blur with a slope along x, and along y
    for place in tl.static_range(0, 16):
        if place == 4 or place == 7:
            tl.store(taps + place * N_TAPS + o_t, b_wide.to(tl.float32), mask=m_t)
        elif place == 9 or place == 12:
            tl.store(taps + place * N_TAPS + o_t, b_mu.to(tl.float32), mask=m_t)
        else:
            tl.store(taps + place * N_TAPS + o_t, b_value.to(tl.float32), mask=m_t)
    o_k = tl.arange(0, BLOCK_K)
    m_k = o_k < K
    b_x = tl.load(mu + 2 * o_k, mask=m_k, other=0.0).to(tl.float32)
    b_y = tl.load(mu + 2 * o_k + 1, mask=m_k, other=0.0).to(tl.float32)
    for back in tl.static_range(2):
        whole_y, fraction_y = _split(b_y, limit)
        whole_x, fraction_x = _split(b_x, limit)
        tl.store(offset + back * KP + o_k, whole_y * (STEP_Y * WP) + whole_x * STEP_X, mask=m_k)
        tl.store(fraction + 2 * (back * KP + o_k), fraction_y, mask=m_k)
        tl.store(fraction + 2 * (back * KP + o_k) + 1, fraction_x, mask=m_k)
        b_x, b_y = -b_x, -b_y


@triton.jit
def _pack_kernel(
    weight,
    out,
    I,  # noqa: E741
    J,
    IP,
    JP,
    stride_i,
    stride_j,
    stride_k,
    K: tl.constexpr,
    TRANSPOSE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write out[k, i, j] = weight[i, j, k], or out[k, j, i] (TRANSPOSE); zero beyond I and J."""
    o_i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    o_j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    p_weight = weight + o_i[:, None].to(tl.int64) * stride_i + o_j[None, :].to(tl.int64) * stride_j
    inside = (o_i < I)[:, None] & (o_j < J)[None, :]
    for k in range(K):  # in one program: what lies side by side in memory is fetched once
        b_w = tl.load(p_weight + k * stride_k, mask=inside, other=0.0).to(out.dtype.element_ty)
        b_w = operand(b_w, PRECISION)
        p_out = out + k * (IP * JP)
        if TRANSPOSE:
            m_out = (o_j < JP)[:, None] & (o_i < IP)[None, :]
            tl.store(p_out + o_j[:, None] * IP + o_i[None, :], tl.trans(b_w), mask=m_out)
        else:
            m_out = (o_i < IP)[:, None] & (o_j < JP)[None, :]
            tl.store(p_out + o_i[:, None] * JP + o_j[None, :], b_w, mask=m_out)


@triton.jit
def _round_kernel(x, out, N, BLOCK: tl.constexpr):
    """Write out[n] = x[n] as a TF32 product takes it."""
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + o_n, operand(tl.load(x + o_n, mask=o_n < N), "tf32"), mask=o_n < N)


def prepare(
    mu: Tensor, sigma: Tensor, *, radius: int, columns: int, max_offset: float, normalize: str, step: tuple[int, int]
) -> Prepared:
    """Return taps and displacements of a layer, in one launch.

    Args:
        mu: ``[K, 2]`` (x, y) in taps; clamped to ``max_offset``. NaN becomes a fraction that is NaN: no cell outside
            the plane is read whatever mu holds.
        sigma: One number, in taps.
        radius: Of the blur; taps are computed in float64 and hold 2 radius + 1 numbers.
        columns: Of the plane that will be sampled.
        max_offset: Bound of mu.
        normalize: "sum", "analytic" or "none".
        step: Pixels (down, right) between taps: the dilation.
    """
    units, n_taps = len(mu), 2 * radius + 1
    aligned = triton.cdiv(units, ALIGN) * ALIGN
    # two terms for every form: so each begins at a multiple of 16 bytes
    taps = torch.empty(4, 2, 2, n_taps, device=mu.device, dtype=torch.float32)
    offset = torch.empty(2, aligned, device=mu.device, dtype=torch.int32)
    fraction = torch.empty(2, aligned, 2, device=mu.device, dtype=torch.float32)
    blocks = triton.next_power_of_2(n_taps), triton.next_power_of_2(units)
    _prepare_kernel[(1,)](
        *(mu.contiguous(), sigma, taps, offset, fraction, float(max_offset), columns, units, aligned),
        *(n_taps, normalize, *step, *blocks),
        num_warps=1,
    )
    ways = [Displacements(offset=offset[i, :units], fraction=fraction[i, :units], step=step) for i in range(2)]
    return Prepared(taps, *ways)


def pack(weight: Tensor, dtype: torch.dtype, *, precision: str, channels_last: bool | None = None) -> Tensor:
    """Return ``weight [N, C, K]``, of any strides, as ``[K, C, N]`` or ``[K, N, C]``, cast and zero padded.

    Args:
        weight: Of K units.
        dtype: Of the result.
        precision: "ieee" or "tf32", which rounds float32 to what that product takes.
        channels_last: Whether channels come last; None is what the product reads, which is so in float32 alone.
    """
    channels_last = dtype == torch.float32 if channels_last is None else channels_last
    # neighbours in memory are read by neighbouring threads, and written so
    swapped = weight.stride(0) < weight.stride(1)
    source = weight.transpose(0, 1) if swapped else weight
    (rows, columns, units), transpose = source.shape, swapped == channels_last
    sides = padded(rows), padded(columns)
    out = torch.empty(units, *(reversed(sides) if transpose else sides), device=weight.device, dtype=dtype)
    _pack_kernel[(triton.cdiv(sides[0], BLOCK), triton.cdiv(sides[1], BLOCK))](
        *(source, out, rows, columns, *sides, *source.stride(), units, transpose, BLOCK, precision),
        num_warps=WARPS,
    )
    return out


def rounded(x: Tensor, *, precision: str) -> Tensor:
    """Return contiguous ``x`` as a product of ``precision`` takes it: for "tf32", float32 is rounded, in a copy.

    That is for what a product reads from memory many times. The copy costs one pass; there, each time would cost again.
    """
    if x.dtype != torch.float32 or precision != "tf32":
        return x
    out = torch.empty_like(x)
    if x.numel():
        _round_kernel[(triton.cdiv(x.numel(), ROUNDED),)](x, out, x.numel(), ROUNDED, num_warps=WARPS)
    return out
