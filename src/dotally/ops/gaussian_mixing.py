"""Separable and bank: displaced planes mixed by a GEMM, for displacements shared by the output channels.

The separable execution samples every Gaussian where it lies. The bank blurs once, because all its Gaussians have one
width, and displaces the blurred plane; the plane keeps what the blur throws past the border, so that the result is the
dense convolution there too.
"""

import torch
from torch import Tensor

from dotally.ops import gaussian_planes as planes
from dotally.ops.gaussian_planes import Frame
from dotally.ops.gaussian_setting import (
    Gradients,
    Pair,
    Setting,
    Wanted,
    both_axes,
    memory_format,
    shared_sum,
    tap_dtype,
    working_dtype,
)
from dotally.ops.gaussian_taps import AxisTaps, blur_taps, shift_radius, shift_taps

Axes = tuple[AxisTaps, AxisTaps]  # vertical, horizontal


def mixing_forward(x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor, setting: Setting) -> Tensor:
    """Return ``[B, C_out, rows, columns]`` in the working dtype; ``mu`` is ``[K, 2]`` or ``[C_in, K, 2]``."""
    source, mixing = _working(x), weight.to(working_dtype(x))
    if _blurs_once(sigma, setting):
        down, across = _blur(sigma, setting)
        source = planes.filtered(source, down.value, across.value, _blur_frame(x, setting))
        down, across = _shifts(mu, setting)
        frame = _shift_frame(x, setting)
    else:
        down, across = _displaced(mu, sigma, setting)
        frame = _frame(x, setting.stride)
    channels_last = memory_format(x) == torch.channels_last
    return planes.mixed(source, mixing, down.value, across.value, frame, channels_last=channels_last)


def mixing_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor, setting: Setting, wanted: Wanted
) -> Gradients:
    """Return the gradients of :func:`mixing_forward`; ``grad_mode="dau"`` as published."""
    upstream = grad.to(working_dtype(x)).permute(0, 2, 3, 1)  # as it lies: products read either order
    inputs = upstream, _working(x), weight.to(working_dtype(x))
    if setting.grad_mode == "exact" and _blurs_once(sigma, setting):
        found, by_sigma = _bank_gradients(*inputs, x, mu, sigma, setting, wanted)
    else:
        found = planes.mixed_gradients(
            *inputs,
            *_displaced(mu, sigma, setting),
            _frame(x, setting.stride),
            wants_source=wanted.x and setting.grad_mode == "exact",
            wants_mu=wanted.mu,
            wants_sigma=wanted.sigma,
        )
        by_sigma = found.sigma
    by_x = found.source
    if wanted.x and setting.grad_mode == "dau":
        by_x = _published_input_gradient(inputs[0], inputs[2], x, mu, sigma, setting)
    return Gradients(
        by_x.permute(0, 3, 1, 2) if wanted.x and by_x is not None else None,
        found.weight.to(weight.dtype),
        shared_sum(found.mu, mu) if found.mu is not None else None,
        shared_sum(by_sigma, sigma) if by_sigma is not None else None,
    )


def _bank_gradients(
    grad: Tensor,
    source: Tensor,
    mixing: Tensor,
    x: Tensor,
    mu: Tensor,
    sigma: Tensor,
    setting: Setting,
    wanted: Wanted,
) -> tuple[planes.PlaneGradients, Tensor | None]:
    frame = _blur_frame(x, setting)
    down, across = _blur(sigma, setting)
    found = planes.mixed_gradients(
        grad,
        planes.filtered(source, down.value, across.value, frame),
        mixing,
        *_shifts(mu, setting),
        _shift_frame(x, setting),
        wants_source=wanted.x or wanted.sigma,
        wants_mu=wanted.mu,
        wants_sigma=False,
    )
    if found.source is None:
        return found, None
    by_sigma = None
    if wanted.sigma:
        slope = planes.filtered(source, down.by_sigma, across.value, frame)
        slope += planes.filtered(source, down.value, across.by_sigma, frame)
        by_sigma = (found.source * slope).sum(dim=(0, 1, 2))
    size = (x.shape[2], x.shape[3])
    by_x = planes.unfiltered(found.source, down.value, across.value, frame, size) if wanted.x else None
    return found._replace(source=by_x), by_sigma


def _published_input_gradient(
    grad: Tensor, mixing: Tensor, x: Tensor, mu: Tensor, sigma: Tensor, setting: Setting
) -> Tensor:
    """Blur within the picture, then shift back (DAU-ConvNet): what the blur pushes outside is lost."""
    size = (x.shape[2], x.shape[3])
    width = sigma.to(tap_dtype(mu)).expand(mu.shape[:-1])
    blur, _ = blur_taps(width, max_sigma=setting.max_sigma, normalize=setting.normalize)
    blur_down, blur_across = (planes.spread(blur, step) for step in setting.dilation)
    down, across = _shifts(mu, setting)
    total = grad.new_zeros(len(x), *size, x.shape[1])
    for k, each in enumerate(mixing.unbind(dim=-1)):
        plane = planes.unfiltered(
            grad @ each, blur_down[..., k, :], blur_across[..., k, :], _frame(x, setting.stride), size
        )
        total += planes.unfiltered(plane, down.value[..., k, :], across.value[..., k, :], _frame(x, (1, 1)), size)
    return total


def _blurs_once(sigma: Tensor, setting: Setting) -> bool:
    return setting.shift == "bilinear" and sigma.ndim == 0


def _working(x: Tensor) -> Tensor:
    return x.to(working_dtype(x)).permute(0, 2, 3, 1).contiguous()


def _displaced(mu: Tensor, sigma: Tensor, setting: Setting) -> Axes:
    down, across = both_axes(mu, sigma, setting)
    return _spread(down, setting.dilation[0]), _spread(across, setting.dilation[1])


def _blur(sigma: Tensor, setting: Setting) -> Axes:
    value, slope = blur_taps(sigma.to(tap_dtype(sigma)), max_sigma=setting.max_sigma, normalize=setting.normalize)
    taps = AxisTaps(value, torch.zeros_like(value), slope)
    return _spread(taps, setting.dilation[0]), _spread(taps, setting.dilation[1])


def _shifts(mu: Tensor, setting: Setting) -> Axes:
    dtype = tap_dtype(mu)
    across, down = (
        AxisTaps(*rows, torch.zeros_like(rows[0]))
        for rows in (shift_taps(mu[..., axis].to(dtype), max_offset=setting.max_offset) for axis in (0, 1))
    )
    return _spread(down, setting.dilation[0]), _spread(across, setting.dilation[1])


def _spread(taps: AxisTaps, dilation: int) -> AxisTaps:
    return AxisTaps(*(planes.spread(rows, dilation) for rows in taps))


def _frame(x: Tensor, stride: Pair) -> Frame:
    return Frame((0, 0), (x.shape[2], x.shape[3]), stride)


def _margin(setting: Setting) -> Pair:
    reach = shift_radius(setting.max_offset)
    return reach * setting.dilation[0], reach * setting.dilation[1]


def _blur_frame(x: Tensor, setting: Setting) -> Frame:
    """Sample the blurred plane as far past the borders as a displacement reaches."""
    down, across = _margin(setting)
    return Frame((-down, -across), (x.shape[2] + 2 * down, x.shape[3] + 2 * across), (1, 1))


def _shift_frame(x: Tensor, setting: Setting) -> Frame:
    return Frame(_margin(setting), (x.shape[2], x.shape[3]), setting.stride)
