"""One-dimensional taps of displaced Gaussians and their derivatives, for both ways of displacing.

A two-dimensional kernel is the outer product of two such rows, so whatever computes a Gaussian convolution needs only
these: a few hundred numbers, in float32 at least. Lengths come from ``max_offset`` and ``max_sigma``, not from values.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Shift = Literal["exact", "bilinear"]
Normalize = Literal["sum", "analytic", "none"]
GradMode = Literal["exact", "dau"]

WIDTHS = 4  # a Gaussian is cut off at 4 max_sigma, where 6e-5 of its mass is left out
TAP_FLOOR = 1e-15  # smaller taps are 0, so that no product of two lies in (0, 1e-30), where subnormal numbers begin


class AxisTaps(NamedTuple):
    """Taps along one axis, and their derivatives by the displacement and by the width; each ``[..., 2 half + 1]``."""

    value: Tensor
    by_mu: Tensor
    by_sigma: Tensor


def blur_radius(max_sigma: float) -> int:
    """Return the half-width of the window of a Gaussian that is not displaced, in pixels."""
    return math.ceil(WIDTHS * max_sigma)


def shift_radius(max_offset: float) -> int:
    """Return how far a bilinear shift reaches: the right neighbour of the largest offset included."""
    return math.floor(max_offset) + 1


def half_width(max_offset: float, max_sigma: float, shift: str) -> int:
    """Return the half-width of the window that holds every allowed kernel, in pixels.

    ``ceil(max_offset + 4 max_sigma)`` for the exact shift (specs of GauNet, the dense definition); the radius of the
    blur plus that of the shift for the bilinear one.
    """
    if shift == "exact":
        return math.ceil(max_offset + WIDTHS * max_sigma)
    return blur_radius(max_sigma) + shift_radius(max_offset)


def axis_values(
    offset: Tensor, sigma: Tensor, *, max_offset: float, max_sigma: float, shift: str, normalize: str
) -> Tensor:
    """Return the taps along one axis, differentiable by autograd.

    Args:
        offset: ``[...]`` displacement in pixels.
        sigma: Width in pixels, of a shape that broadcasts to that of ``offset``.
        max_offset: Largest allowed displacement.
        max_sigma: Largest allowed width.
        shift: "exact" or "bilinear".
        normalize: "sum", "analytic" or "none".

    Returns:
        ``[..., 2 half_width + 1]`` in the dtype of ``offset``.
    """
    half = half_width(max_offset, max_sigma, shift)
    sigma = sigma.expand_as(offset)
    if shift == "exact":
        return _gaussian(_grid(half, offset) - offset.unsqueeze(-1), sigma.unsqueeze(-1), normalize)
    whole = offset.detach().floor()
    fraction = (offset - whole).unsqueeze(-1)
    centred = _gaussian(_grid(blur_radius(max_sigma), offset), sigma.unsqueeze(-1), normalize)
    return (1 - fraction) * _move(centred, whole, half) + fraction * _move(centred, whole + 1, half)


def axis_taps(
    offset: Tensor,
    sigma: Tensor,
    *,
    max_offset: float,
    max_sigma: float,
    shift: str,
    normalize: str,
    grad_mode: str,
) -> AxisTaps:
    """Return the taps along one axis with the closed forms of their derivatives; arguments as in :func:`axis_values`.

    ``grad_mode="dau"`` replaces the derivative of the bilinear interpolation by an interpolation of the Gaussian's
    derivative, as published in DAU-ConvNet.
    """
    half = half_width(max_offset, max_sigma, shift)
    width = sigma.expand_as(offset).unsqueeze(-1)
    if shift == "exact":
        away = _grid(half, offset) - offset.unsqueeze(-1)
        value = _gaussian(away, width, normalize)
        return AxisTaps(value, *_slopes(value, away, width, normalize))
    away = _grid(blur_radius(max_sigma), offset)
    centred = _gaussian(away, width, normalize)
    whole = offset.floor()
    fraction = (offset - whole).unsqueeze(-1)
    rows = torch.stack([centred, *_slopes(centred, away, width, normalize)])
    left, right = _move(rows, whole, half), _move(rows, whole + 1, half)
    value, by_mu, by_sigma = ((1 - fraction) * left + fraction * right).unbind()
    # the slope of a linear interpolation is the difference of its ends; at whole pixels, the one to the right
    return AxisTaps(value, by_mu if grad_mode == "dau" else right[0] - left[0], by_sigma)


def blur_taps(sigma: Tensor, *, max_sigma: float, normalize: str) -> tuple[Tensor, Tensor]:
    """Return the taps ``[..., 2 blur_radius + 1]`` of Gaussians that are not displaced, and their slopes by sigma."""
    away = _grid(blur_radius(max_sigma), sigma)
    value = _gaussian(away, sigma.unsqueeze(-1), normalize)
    return value, _slopes(value, away, sigma.unsqueeze(-1), normalize)[1]


def shift_taps(offset: Tensor, *, max_offset: float) -> tuple[Tensor, Tensor]:
    """Return the two weights of a linear interpolation at ``offset`` in rows ``[..., 2 shift_radius + 1]``.

    Their slopes by the offset come second: minus one at the left neighbour, plus one at the right.
    """
    away = _grid(shift_radius(max_offset), offset) - offset.floor().unsqueeze(-1)
    left, right = (away == 0).to(offset.dtype), (away == 1).to(offset.dtype)
    fraction = (offset - offset.floor()).unsqueeze(-1)
    return (1 - fraction) * left + fraction * right, right - left


def _grid(half: int, like: Tensor) -> Tensor:
    return torch.arange(-half, half + 1, dtype=like.dtype, device=like.device)


def _move(row: Tensor, by: Tensor, half: int) -> Tensor:
    """Move a centred row by whole pixels into a window of ``2 half + 1``; what it does not reach is 0."""
    radius = row.shape[-1] // 2
    source = _grid(half, by) - by.unsqueeze(-1) + (radius + 1)
    source = source.clamp(0, 2 * radius + 2).long().expand(*row.shape[:-1], -1)
    return F.pad(row, (1, 1)).gather(-1, source)


def _gaussian(away: Tensor, sigma: Tensor, normalize: str) -> Tensor:
    exponent = -0.5 * (away / sigma).square()
    if normalize == "sum":
        value = torch.softmax(exponent, dim=-1)
    elif normalize == "analytic":
        value = exponent.exp() / (math.sqrt(2 * math.pi) * sigma)
    else:
        value = exponent.exp()
    return torch.where(value < TAP_FLOOR, 0.0, value)


def _slopes(value: Tensor, away: Tensor, sigma: Tensor, normalize: str) -> tuple[Tensor, Tensor]:
    """Return the derivatives of :func:`_gaussian` by its centre and by sigma (specs of GauNet, closed forms)."""
    first, second = away / sigma, (away / sigma).square()
    if normalize == "sum":
        first = first - (value * first).sum(dim=-1, keepdim=True)
        second = second - (value * second).sum(dim=-1, keepdim=True)
    elif normalize == "analytic":
        second = second - 1
    return value * first / sigma, value * second / sigma
