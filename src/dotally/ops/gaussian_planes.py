"""The separable and the bank execution: make every displaced plane by two depthwise passes, then mix them by a GEMM.

Planes are kept channels-last, where a depthwise pass needs no reordering and the mixing is one matrix product over the
pixels. A displacement is taps, not addresses, so nothing waits for a value on the device. Gradients are closed forms
(specs of GauNet, 4.3): a derivative by a displacement is the same plane with the derivative's taps. Where all channels
share their taps, the gradients of the taps come first, of every tap of a row by one product of matrices.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dotally.ops.gaussian_setting import Pair, output_size
from dotally.ops.gaussian_taps import AxisTaps

FEW_TAPS = 2  # up to this many nonzero taps, shifted sums beat a depthwise convolution on the CPU
BLOCK = 64  # samples whose products with their whole neighbourhood are made at once


class Frame(NamedTuple):
    """Where planes are sampled: at ``origin + i * stride`` for every i below ``size`` / stride, in (y, x) of the input.

    ``origin`` is the input pixel under the first sample: negative where planes reach past the border.
    """

    origin: Pair
    size: Pair
    stride: Pair


class PlaneGradients(NamedTuple):
    """Gradients; ``None`` where not asked for.

    Attributes:
        source: ``[B, H, W, C_in]``.
        weight: ``[C_out, C_in, K]``.
        mu: ``[K, 2]`` where all channels share their taps, else ``[C_in, K, 2]``.
        sigma: ``[K]`` or ``[C_in, K]``.
    """

    source: Tensor | None
    weight: Tensor
    mu: Tensor | None
    sigma: Tensor | None


def spread(taps: Tensor, dilation: int) -> Tensor:
    """Put ``dilation - 1`` zeros between the taps of ``[..., k]``: a depthwise pass is fastest without gaps."""
    if dilation == 1:
        return taps
    wide = taps.new_zeros(*taps.shape[:-1], (taps.shape[-1] - 1) * dilation + 1)
    wide[..., ::dilation] = taps
    return wide


def filtered(x: Tensor, down: Tensor, across: Tensor, frame: Frame) -> Tensor:
    """Filter ``x [B, H, W, C]`` along its columns, then along its rows, sampled on the frame.

    Args:
        x: Planes, channels last; zero outside.
        down: ``[k]`` vertical taps, or ``[C, k]``; odd k, centred.
        across: Horizontal taps, alike.
        frame: Where to sample.
    """
    return _along(_along(x, down, frame, axis=0), across, frame, axis=1)


def unfiltered(grad: Tensor, down: Tensor, across: Tensor, frame: Frame, size: Pair) -> Tensor:
    """Apply the adjoint of :func:`filtered`: from samples on the frame to an input of ``size`` (height, width)."""
    return _back(_back(grad, down, frame, size[0], axis=0), across, frame, size[1], axis=1)


def mixed(source: Tensor, weight: Tensor, down: Tensor, across: Tensor, frame: Frame, *, channels_last: bool) -> Tensor:
    """Return ``sum_k weight[:, :, k] @ plane_k``, the planes being filtered with the k-th taps.

    Args:
        source: ``[B, H, W, C_in]``.
        weight: ``[C_out, C_in, K]``.
        down: ``[K, k]`` or ``[C_in, K, k]`` taps.
        across: Horizontal taps, alike.
        frame: Where to sample.
        channels_last: How the result lies in memory; the product writes either order.

    Returns:
        ``[B, C_out, rows, columns]``.
    """
    planes = [filtered(source, down[..., k, :], across[..., k, :], frame) for k in range(weight.shape[2])]
    pixels = torch.cat([plane.flatten(1, 2) for plane in planes], dim=2)
    mixing, batch = weight.transpose(1, 2).flatten(1), len(source)
    rows, columns = output_size(frame.size, frame.stride)
    if channels_last:
        return (pixels @ mixing.T).view(batch, rows, columns, -1).permute(0, 3, 1, 2)
    return torch.bmm(mixing.expand(batch, -1, -1), pixels.transpose(1, 2)).view(batch, -1, rows, columns)


def mixed_gradients(
    grad: Tensor,
    source: Tensor,
    weight: Tensor,
    down: AxisTaps,
    across: AxisTaps,
    frame: Frame,
    *,
    wants_source: bool,
    wants_mu: bool,
    wants_sigma: bool,
) -> PlaneGradients:
    """Return the gradients of :func:`mixed`, recomputing one plane at a time.

    Args:
        grad: ``[B, rows, columns, C_out]``, in any order of memory.
        source: As in :func:`mixed`.
        weight: As in :func:`mixed`.
        down: Vertical taps and their derivatives.
        across: Horizontal taps and theirs.
        frame: Where the planes were sampled.
        wants_source: Whether the gradient of the source is asked for.
        wants_mu: Whether that of the displacements is.
        wants_sigma: Whether that of the widths is.
    """
    upstream = grad.flatten(0, 2)
    by_source: Tensor | None = None
    by_weight: list[Tensor] = []
    by_slope: list[list[Tensor]] = []  # of every Gaussian, what is wanted
    slopes = [i for i, asked in ((1, wants_mu), (2, wants_sigma)) if asked]  # their places in AxisTaps
    for k, mixing in enumerate(weight.permute(2, 0, 1).contiguous()):
        one_down, one_across = (AxisTaps(*(taps[..., k, :] for taps in axis)) for axis in (down, across))
        half_way = _along(source, one_down.value, frame, axis=0)
        plane = _along(half_way, one_across.value, frame, axis=1)
        by_weight.append(upstream.T @ plane.flatten(0, 2))
        by_plane = (upstream @ mixing).view(plane.shape)
        by_half_way = _back(by_plane, one_across.value, frame, source.shape[2], axis=1)
        if wants_source:
            part = _back(by_half_way, one_down.value, frame, source.shape[1], axis=0)
            by_source = part if by_source is None else by_source.add_(part)
        if slopes:
            x = _by_slopes(by_plane, half_way, [one_across[i] for i in slopes], frame, axis=1)
            y = _by_slopes(by_half_way, source, [one_down[i] for i in slopes], frame, axis=0)
            by_slope.append([torch.stack(pair, dim=-1) for pair in zip(x, y, strict=True)])
    found = [torch.stack(units, dim=-2) for units in zip(*by_slope, strict=True)]  # [..., K, 2]
    return PlaneGradients(
        by_source,
        torch.stack(by_weight, dim=-1),
        found[0] if wants_mu else None,
        found[-1].sum(dim=-1) if wants_sigma else None,
    )


def _by_slopes(grad: Tensor, source: Tensor, slopes: list[Tensor], frame: Frame, axis: int) -> list[Tensor]:
    """Return the gradient of a pass by each parameter of its taps: per channel, or a number where all share the taps.

    Args:
        grad: The gradient of the pass's result.
        source: What it filtered.
        slopes: The taps' derivatives by each parameter, ``[k]`` or ``[C, k]``.
        frame: Where the pass sampled.
        axis: Along which axis.
    """
    shared = slopes[0].ndim == 1
    if shared and not grad.is_cuda and int(slopes[0].count_nonzero()) > FEW_TAPS:
        each = _tap_gradients(grad, source, len(slopes[0]), frame, axis)
        return [(each * slope).sum() for slope in slopes]
    over = (0, 1, 2, 3) if shared else (0, 1, 2)
    return [(grad * _along(source, slope, frame, axis)).sum(over) for slope in slopes]


def _tap_gradients(grad: Tensor, source: Tensor, taps: int, frame: Frame, axis: int) -> Tensor:
    """Return ``[taps]``: the sum of ``grad[j] * source[first + j * step + t]`` over j and all else, for each t.

    The product of a block of samples with all that its window touches holds these sums along its diagonals.
    """
    if axis == 0:
        grad, source = grad.transpose(1, 2), source.transpose(1, 2)
    step, length = frame.stride[axis], source.shape[2]
    total = grad.new_zeros(taps)
    for begin in range(0, grad.shape[2], BLOCK):
        samples = grad[:, :, begin : begin + BLOCK]
        first = frame.origin[axis] - taps // 2 + begin * step
        width = (samples.shape[2] - 1) * step + taps
        start, stop = (min(max(end, 0), length) for end in (first, first + width))
        pairs = grad.new_zeros(samples.shape[2], width)
        inside = pairs.narrow(1, min(max(start - first, 0), width), stop - start)
        for one, other in zip(samples, source[:, :, start:stop], strict=True):  # lines of one picture at a time
            inside += torch.bmm(one, other.transpose(1, 2)).sum(0)
        total += pairs.as_strided((taps, len(pairs)), (1, width + step)).sum(1)
    return total


def _along(x: Tensor, taps: Tensor, frame: Frame, axis: int) -> Tensor:
    y = _correlate(x, taps, frame.origin[axis] - taps.shape[-1] // 2, frame.size[axis], axis)
    step = frame.stride[axis]
    return y if step == 1 else (y[:, ::step] if axis == 0 else y[:, :, ::step])


def _back(grad: Tensor, taps: Tensor, frame: Frame, length: int, axis: int) -> Tensor:
    """Apply the adjoint of :func:`_along`: a correlation with the mirrored taps, between the samples zeros."""
    step = frame.stride[axis]
    if step != 1:
        shape = list(grad.shape)
        shape[1 + axis] = frame.size[axis]
        samples, grad = grad, grad.new_zeros(shape)
        (grad[:, ::step] if axis == 0 else grad[:, :, ::step]).copy_(samples)
    return _correlate(grad, taps.flip(-1), -frame.origin[axis] - taps.shape[-1] // 2, length, axis)


def _correlate(x: Tensor, taps: Tensor, first: int, length: int, axis: int) -> Tensor:
    """Return ``y[j] = sum_t taps[t] x[first + j + t]`` for j < length along an axis, x being 0 outside."""
    if not x.is_cuda:
        taps, first = _trimmed(taps, first)
        if taps.shape[-1] <= FEW_TAPS:
            return _summed(x, taps, first, length, 1 + axis)
    if axis == 0:
        return _convolved(x.transpose(1, 2), taps, first, length).transpose(1, 2)
    return _convolved(x, taps, first, length)


def _convolved(x: Tensor, taps: Tensor, first: int, length: int) -> Tensor:
    """Correlate along the rows.

    A depthwise convolution is fast along the rows of channels-last planes without padding of its own, and only there.
    So the copy that pads also turns columns into rows, and the result of a vertical pass lies column by column.
    """
    size, channels = taps.shape[-1], x.shape[3]
    padded = x.new_empty(*x.shape[:2], length + size - 1, channels)
    start, stop = (min(max(end, 0), x.shape[2]) for end in (first, first + padded.shape[2]))
    begin = min(max(start - first, 0), padded.shape[2])
    padded[:, :, :begin] = 0
    padded[:, :, begin : begin + stop - start] = x[:, :, start:stop]
    padded[:, :, begin + stop - start :] = 0
    kernel = taps.to(x.dtype).expand(channels, size)[:, None, None, :].contiguous()
    return F.conv2d(padded.permute(0, 3, 1, 2), kernel, groups=channels).permute(0, 2, 3, 1)


def _summed(x: Tensor, taps: Tensor, first: int, length: int, dim: int) -> Tensor:
    """Correlate by adding shifted planes, which for a few taps needs neither a padded copy nor a reordering."""
    y = x.new_empty([*x.shape[:dim], length, *x.shape[dim + 1 :]])
    for t, tap in enumerate(taps.to(x.dtype).unbind(dim=-1), start=first):
        start, stop = (min(max(end, 0), length) for end in (-t, x.shape[dim] - t))
        part, inside = x.narrow(dim, min(max(t, 0), x.shape[dim]), stop - start), y.narrow(dim, start, stop - start)
        if t > first:
            inside.addcmul_(part, tap)
            continue
        torch.mul(part, tap, out=inside)
        y.narrow(dim, 0, start).zero_()
        y.narrow(dim, stop, length - stop).zero_()
    return y


def _trimmed(taps: Tensor, first: int) -> tuple[Tensor, int]:
    """Leave out the zeros at both ends of the taps: of a bilinear shift two numbers remain, whatever its window."""
    kept = taps.reshape(-1, taps.shape[-1]).any(dim=0).nonzero().flatten().tolist() or [0]
    return taps[..., kept[0] : kept[-1] + 1], first + kept[0]
