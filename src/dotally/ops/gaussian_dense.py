"""The dense execution: build the kernel, convolve. Plain aten, for any sharing and both shifts, and it exports."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dotally.ops import gaussian_planes as planes
from dotally.ops.gaussian_setting import Gradients, Setting, Wanted, both_axes, shared_sum, tap_dtype, working_dtype
from dotally.ops.gaussian_taps import axis_values, blur_taps, shift_radius, shift_taps


def dense_kernel(weight: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return the dense kernel ``[C_out, C_in, k, k]``: the sum over the Gaussians of weight times two rows of taps.

    Args:
        weight: ``[C_out, C_in, K]``.
        down: ``[..., K, k]`` vertical taps, shared or not; they broadcast to ``weight``.
        across: Horizontal taps, shaped like ``down``.
    """
    return (weight.unsqueeze(-1) * down).transpose(-1, -2) @ across


def dense_forward(
    x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor, bias: Tensor | None, setting: Setting
) -> Tensor:
    """Compute the Gaussian convolution of ``x [B, C_in, H, W]`` by one ``conv2d``, differentiable by autograd.

    Taps and kernel are made in float32 at least; then the kernel takes the dtype in which is convolved.
    """
    work = working_dtype(x)
    dtype = tap_dtype(mu)
    width = sigma.to(dtype).expand(mu.shape[:-1])
    across, down = (axis_values(mu[..., axis].to(dtype), width, **setting.window()) for axis in (0, 1))
    kernel = dense_kernel(weight.to(dtype), down, across).to(work)
    bias = bias if bias is None else bias.to(work)
    padding = _padding(kernel, setting)
    y = F.conv2d(x.to(work), kernel, bias, stride=setting.stride, padding=padding, dilation=setting.dilation)
    return y.to(x.dtype)


def dense_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor, setting: Setting, wanted: Wanted
) -> Gradients:
    """Return the gradients of :func:`dense_forward` in closed form (specs of GauNet, 4.3).

    The gradient of the dense kernel is contracted along x with the taps and their derivatives, then along y. With
    ``grad_mode="dau"`` the input's and the displacements' are the published ones; that needs a scalar sigma.
    """
    grad, x = grad.to(working_dtype(x)), x.to(working_dtype(x))
    down, across = both_axes(mu, sigma, setting)
    work = weight.to(down.value.dtype)
    kernel = dense_kernel(work, down.value, across.value).to(x.dtype)
    surrogate = setting.grad_mode == "dau"
    by_x, by_kernel, _ = torch.ops.aten.convolution_backward(
        grad, x, kernel, None, setting.stride, _padding(kernel, setting), setting.dilation, False, [0, 0], 1,
        [wanted.x and not surrogate, True, False],
    )  # fmt: skip
    if wanted.x and surrogate:
        by_x = _published_input_gradient(grad, x, work, mu, sigma, setting)
    by_kernel = by_kernel.to(work.dtype)
    rows, rows_mu, rows_sigma = (by_kernel @ taps.transpose(-1, -2) for taps in across)  # [C_out, C_in, k, K]
    by_mu = [_down(rows_mu, down.value), _down(rows, down.by_mu)]
    by_sigma = _down(rows_sigma, down.value) + _down(rows, down.by_sigma)
    return Gradients(
        by_x if wanted.x else None,
        _down(rows, down.value).to(weight.dtype),
        shared_sum(torch.stack([work * axis for axis in by_mu], dim=-1), mu) if wanted.mu else None,
        shared_sum(work * by_sigma, sigma) if wanted.sigma else None,
    )


def _down(rows: Tensor, taps: Tensor) -> Tensor:
    return (rows * taps.transpose(-1, -2)).sum(dim=-2)


def _padding(kernel: Tensor, setting: Setting) -> list[int]:
    return [kernel.shape[-1] // 2 * step for step in setting.dilation]


def _published_input_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor, setting: Setting
) -> Tensor:
    """Blur the upstream gradient within the picture, then shift it back: DAU's order, which loses at the borders."""
    size = (x.shape[2], x.shape[3])
    blur = blur_taps(sigma.to(weight.dtype), max_sigma=setting.max_sigma, normalize=setting.normalize)[0]
    down, across = (planes.spread(blur, step) for step in setting.dilation)
    frame = planes.Frame((0, 0), size, setting.stride)
    blurred = planes.unfiltered(grad.permute(0, 2, 3, 1), down, across, frame, size).permute(0, 3, 1, 2)
    across, down = (shift_taps(mu[..., axis].to(weight.dtype), max_offset=setting.max_offset)[0] for axis in (0, 1))
    splat = dense_kernel(weight, down, across).to(x.dtype)
    padding = [shift_radius(setting.max_offset) * step for step in setting.dilation]
    return torch.ops.aten.convolution_backward(
        blurred, x, splat, None, [1, 1], padding, setting.dilation, False, [0, 0], 1, [True, False, False]
    )[0]
