"""The definition of the Gaussian convolution: build the dense kernel, convolve. Everything else must equal it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dotally.ops.gaussian_taps import Normalize, Shift, blur_radius, half_width, shift_radius


def gaussian_conv2d_reference(
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    bias: Tensor | None = None,
    *,
    max_offset: float,
    max_sigma: float = 2.0,
    shift: Shift = "exact",
    normalize: Normalize = "sum",
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
) -> Tensor:
    r"""Define :func:`gaussian_conv2d` by a dense convolution (DAU-ConvNet's definition; GauNet, CVPR 2022, Figure 3).

    .. math:: W_{oi}(v, u) = \sum_k w_{oik} \, p(v - \mu^y_{oik}) \, p(u - \mu^x_{oik}), \qquad Y = W \star X + b

    with ``p`` a Gaussian of width sigma, sampled at whole pixels where it lies (``shift="exact"``) or sampled in the
    centre and moved by linear interpolation (``"bilinear"``). Slow, in the dtype of ``x``, differentiable by autograd.

    Args:
        x: ``[B, C_in, H, W]``.
        weight: ``[C_out, C_in, K]``.
        mu: ``[K, 2]``, ``[C_in, K, 2]`` or ``[C_out, C_in, K, 2]``, (x, y) in pixels.
        sigma: Scalar, or shaped like ``mu`` without its last axis; pixels.
        bias: ``[C_out]``.
        max_offset: Bound of ``|mu|``; sets the window.
        max_sigma: Bound of ``sigma``; sets the window.
        shift: How a Gaussian is displaced.
        normalize: "sum": taps of an axis add up to 1; "analytic": divided by sqrt(2 pi) sigma; "none".
        stride: As in ``conv2d``; (vertical, horizontal) or both.
        dilation: Spreads the sampled kernel, as in ``conv2d``.

    Returns:
        ``[B, C_out, ceil(H / stride), ceil(W / stride)]`` in the dtype of ``x``.
    """
    exact = torch.promote_types(mu.dtype, torch.float32)  # half precision would round the displacements
    width = sigma.to(exact).expand(mu.shape[:-1])
    axis = _exact_axis if shift == "exact" else _bilinear_axis
    across, down = (axis(mu[..., a].to(exact), width, max_offset, max_sigma, normalize) for a in (0, 1))
    each = (down.unsqueeze(-1) * across.unsqueeze(-2)).expand(*weight.shape, -1, -1)  # [C_out, C_in, K, k, k]
    kernel = (weight.to(exact)[..., None, None] * each).sum(dim=2)
    vertical, horizontal = (dilation, dilation) if isinstance(dilation, int) else dilation
    half = half_width(max_offset, max_sigma, shift)
    padding = (half * vertical, half * horizontal)
    return F.conv2d(x, kernel.to(x.dtype), bias, stride=stride, padding=padding, dilation=dilation)


def _exact_axis(offset: Tensor, sigma: Tensor, max_offset: float, max_sigma: float, normalize: str) -> Tensor:
    half = half_width(max_offset, max_sigma, "exact")
    grid = torch.arange(-half, half + 1, dtype=offset.dtype, device=offset.device)
    return _normalized(grid - offset.unsqueeze(-1), sigma.unsqueeze(-1), normalize)


def _bilinear_axis(offset: Tensor, sigma: Tensor, max_offset: float, max_sigma: float, normalize: str) -> Tensor:
    """Convolve a centred Gaussian with the two weights of a linear interpolation."""
    blur, reach = blur_radius(max_sigma), shift_radius(max_offset)
    grid = torch.arange(-blur, blur + 1, dtype=offset.dtype, device=offset.device)
    gaussian = _normalized(grid.expand(*offset.shape, -1), sigma.unsqueeze(-1), normalize)
    left = offset.detach().floor()
    fraction = offset - left
    moved = [
        ((1 - fraction) * (left == d) + fraction * (left + 1 == d)).unsqueeze(-1)
        * F.pad(gaussian, (reach + d, reach - d))
        for d in range(-reach, reach + 1)
    ]
    return torch.stack(moved).sum(dim=0)


def _normalized(away: Tensor, sigma: Tensor, normalize: str) -> Tensor:
    exponent = -away.square() / (2 * sigma.square())
    if normalize == "sum":
        return torch.softmax(exponent, dim=-1)  # never 0 / 0, however narrow the Gaussian
    value = torch.exp(exponent)
    return value / ((2 * torch.pi) ** 0.5 * sigma) if normalize == "analytic" else value
