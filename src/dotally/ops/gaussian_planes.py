"""The separable and the bank execution: make every displaced plane by two depthwise passes, then mix them by a GEMM.

Planes are kept channels-last, where a depthwise pass needs no reordering and the mixing is one matrix product over the
pixels. A displacement is taps, not addresses, so nothing waits for a value on the device. Gradients are closed forms
(specs of GauNet, 4.3): a derivative by a displacement is the same plane with the derivative's taps.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dotally.ops.gaussian_setting import Pair, output_size
from dotally.ops.gaussian_taps import AxisTaps

FEW_TAPS = 2  # up to this many nonzero taps, shifted sums beat a depthwise convolution on the CPU


class Frame(NamedTuple):
    """Where planes are sampled: at ``origin + i * stride`` for every i below ``size`` / stride, in (y, x) of the input.

    ``origin`` is the input pixel under the first sample: negative where planes reach past the border.
    """

    origin: Pair
    size: Pair
    stride: Pair


class PlaneGradients(NamedTuple):
    """Gradients of the weights and, per channel, of every Gaussian's taps' parameters; ``None`` where not asked for."""

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
    """Filter ``x [B, H, W, C]`` along its rows, then along its columns, sampled on the frame.

    Args:
        x: Planes, channels last; zero outside.
        down: ``[k]`` vertical taps, or ``[C, k]``; odd k, centred.
        across: Horizontal taps, alike.
        frame: Where to sample.
    """
    return _along(_along(x, across, frame, axis=1), down, frame, axis=0)


def unfiltered(grad: Tensor, down: Tensor, across: Tensor, frame: Frame, size: Pair) -> Tensor:
    """Apply the adjoint of :func:`filtered`: from samples on the frame to an input of ``size`` (height, width)."""
    return _back(_back(grad, down, frame, size[0], axis=0), across, frame, size[1], axis=1)


def mixed(source: Tensor, weight: Tensor, down: Tensor, across: Tensor, frame: Frame) -> Tensor:
    """Return ``sum_k weight[:, :, k] @ plane_k``, the planes being filtered with the k-th taps.

    Args:
        source: ``[B, H, W, C_in]``.
        weight: ``[C_out, C_in, K]``.
        down: ``[K, k]`` or ``[C_in, K, k]`` taps.
        across: Horizontal taps, alike.
        frame: Where to sample.

    Returns:
        ``[B, rows, columns, C_out]``.
    """
    planes = [filtered(source, down[..., k, :], across[..., k, :], frame) for k in range(weight.shape[2])]
    by_columns = not planes[0].is_contiguous()
    flat = torch.cat([_flat(plane, by_columns=by_columns) for plane in planes], dim=1)
    y = flat @ weight.transpose(1, 2).flatten(1).T
    return _unflat(y, (len(source), *output_size(frame.size, frame.stride)), by_columns=by_columns)


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
        grad: ``[B, rows, columns, C_out]``.
        source: As in :func:`mixed`.
        weight: As in :func:`mixed`.
        down: Vertical taps and their derivatives.
        across: Horizontal taps and theirs.
        frame: Where the planes were sampled.
        wants_source: Whether the gradient of the source is asked for.
        wants_mu: Whether that of the displacements is: ``[C_in, K, 2]``, not yet summed over what shares them.
        wants_sigma: Whether that of the widths is: ``[C_in, K]``.
    """
    upstream: dict[bool, Tensor] = {}
    by_source = torch.zeros_like(source) if wants_source else None
    by_weight, by_mu, by_sigma = [], [], []
    for k, mixing in enumerate(weight.permute(2, 0, 1).contiguous()):
        one_down, one_across = (AxisTaps(*(taps[..., k, :] for taps in axis)) for axis in (down, across))
        half_way = _along(source, one_across.value, frame, axis=1)
        plane = _along(half_way, one_down.value, frame, axis=0)
        by_columns = not plane.is_contiguous()  # as the passes left it; the gradient follows, once for each order
        if by_columns not in upstream:
            upstream[by_columns] = _flat(grad, by_columns=by_columns)
        by_weight.append(upstream[by_columns].T @ _flat(plane, by_columns=by_columns))
        by_plane = _unflat(upstream[by_columns] @ mixing, (len(grad), *grad.shape[1:3]), by_columns=by_columns)
        by_half_way = _back(by_plane, one_down.value, frame, source.shape[1], axis=0)
        if by_source is not None:
            by_source += _back(by_half_way, one_across.value, frame, source.shape[2], axis=1)
        if wants_mu:
            x = _inner(by_half_way, _along(source, one_across.by_mu, frame, axis=1))
            y = _inner(by_plane, _along(half_way, one_down.by_mu, frame, axis=0))
            by_mu.append(torch.stack([x, y], dim=-1))
        if wants_sigma:
            x = _inner(by_half_way, _along(source, one_across.by_sigma, frame, axis=1))
            by_sigma.append(x + _inner(by_plane, _along(half_way, one_down.by_sigma, frame, axis=0)))
    return PlaneGradients(
        by_source,
        torch.stack(by_weight, dim=-1),
        torch.stack(by_mu, dim=1) if wants_mu else None,
        torch.stack(by_sigma, dim=1) if wants_sigma else None,
    )


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
    padded = x.new_zeros(*x.shape[:2], length + size - 1, channels)
    start, stop = max(first, 0), min(first + padded.shape[2], x.shape[2])
    padded[:, :, start - first : max(stop, start) - first] = x[:, :, start:stop]
    kernel = taps.to(x.dtype).expand(channels, size)[:, None, None, :].contiguous()
    return F.conv2d(padded.permute(0, 3, 1, 2), kernel, groups=channels).permute(0, 2, 3, 1)


def _summed(x: Tensor, taps: Tensor, first: int, length: int, dim: int) -> Tensor:
    """Correlate by adding shifted planes, which for a few taps needs neither a padded copy nor a reordering."""
    taps = taps.to(x.dtype)
    if first >= 0 and first + length <= x.shape[dim]:
        y, done = x.narrow(dim, first, length) * taps[..., 0], 1
    else:
        y, done = x.new_zeros([*x.shape[:dim], length, *x.shape[dim + 1 :]]), 0
    for t, tap in enumerate(taps.unbind(dim=-1)[done:], start=done):
        start, stop = max(0, -first - t), min(length, x.shape[dim] - first - t)
        if start < stop:
            part = x.narrow(dim, start + first + t, stop - start)
            y.narrow(dim, start, stop - start).addcmul_(part, tap)
    return y


def _trimmed(taps: Tensor, first: int) -> tuple[Tensor, int]:
    """Leave out the zeros at both ends of the taps: of a bilinear shift two numbers remain, whatever its window."""
    kept = taps.reshape(-1, taps.shape[-1]).any(dim=0).nonzero().flatten().tolist() or [0]
    return taps[..., kept[0] : kept[-1] + 1], first + kept[0]


def _flat(planes: Tensor, *, by_columns: bool) -> Tensor:
    """Return ``[pixels, C]`` of planes ``[B, rows, columns, C]``; a view where they lie in that order."""
    return (planes.transpose(1, 2) if by_columns else planes).reshape(-1, planes.shape[3])


def _unflat(pixels: Tensor, size: tuple[int, int, int], *, by_columns: bool) -> Tensor:
    batch, rows, columns = size
    if by_columns:
        return pixels.view(batch, columns, rows, -1).transpose(1, 2)
    return pixels.view(batch, rows, columns, -1)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Return per channel the sum of products over pictures and pixels."""
    return (a * b).sum(dim=(0, 1, 2))
