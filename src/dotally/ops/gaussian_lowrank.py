"""A few fixed shapes in place of many widths: the low-rank half of GauNet, made sound by taking translation out first.

A bank of displaced Gaussians has no low rank, a bank of centred ones does: three or four shapes serve every width from
0.5 to 2 pixels. The basis depends on nothing but that range. So a width's coefficients are smooth in the width, and no
decomposition runs while a network learns.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dotally.ops.gaussian_checks import as_pair, check_shapes, check_values, values_are_readable
from dotally.ops.gaussian_setting import Pair, autocast_dtype, tap_dtype
from dotally.ops.gaussian_taps import blur_radius, blur_taps, shift_radius, shift_taps

SAMPLES = 257  # widths that the basis is fitted to, evenly spaced


class ShapeBasis(NamedTuple):
    """Orthonormal shapes of centred Gaussians.

    Attributes:
        shapes: ``[R, k, k]``.
        max_sigma: The largest width they were fitted to, pixels; with it go the windows.
        normalize: How the Gaussians they were fitted to are normalised.
    """

    shapes: Tensor
    max_sigma: float
    normalize: str

    def coefficients(self, sigma: Tensor) -> Tensor:
        """Return the ``[..., R]`` best coefficients for the widths ``[...]``: smooth and differentiable in them."""
        return torch.einsum("...vu,rvu->...r", centred(sigma, self.max_sigma, self.normalize), self.shapes.to(sigma))


def centred(sigma: Tensor, max_sigma: float, normalize: str = "sum") -> Tensor:
    """Return Gaussians ``[..., k, k]`` of the widths ``sigma [...]`` in a window of half-width 4 ``max_sigma``."""
    taps, _ = blur_taps(sigma, max_sigma=max_sigma, normalize=normalize)
    return taps.unsqueeze(-1) * taps.unsqueeze(-2)


def shape_basis(
    rank: int,
    *,
    min_sigma: float = 0.5,
    max_sigma: float = 2.0,
    normalize: str = "sum",
    dtype: torch.dtype = torch.float32,
) -> ShapeBasis:
    """Return the ``rank`` shapes that span the Gaussians with widths from ``min_sigma`` to ``max_sigma`` best.

    The right singular vectors of evenly spaced widths (GauNet, CVPR 2022, Figure 3, box A, with the displacements taken
    out). Computed in float64; the sign is fixed by a positive sum, so that every machine finds the same basis.

    Raises:
        ValueError: If the rank or a width is out of range.
    """
    if not 0 < min_sigma < max_sigma:
        raise ValueError(f"widths must satisfy 0 < min_sigma < max_sigma, got {min_sigma:g} and {max_sigma:g}")
    limit = blur_radius(max_sigma) + 1
    if not 1 <= rank <= limit:
        raise ValueError(f"rank must lie in 1..{limit} for max_sigma = {max_sigma:g}, got {rank}")
    widths = torch.linspace(min_sigma, max_sigma, SAMPLES, dtype=torch.float64)
    bank = centred(widths, max_sigma, normalize)
    shapes = torch.linalg.svd(bank.flatten(1), full_matrices=False).Vh[:rank].unflatten(1, bank.shape[1:])
    sign = torch.where(shapes.sum(dim=(1, 2), keepdim=True) < 0, -1.0, 1.0)
    return ShapeBasis((shapes * sign).to(dtype), max_sigma, normalize)


def gaussian_conv2d_lowrank(
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    bias: Tensor | None = None,
    *,
    basis: ShapeBasis,
    max_offset: float,
    stride: int | tuple[int, int] = 1,
) -> Tensor:
    r"""Approximate the bilinear Gaussian convolution, its widths replaced by a combination of the basis' shapes.

    .. math:: Y = b + \sum_k W_k \, T_{\mu_k} \Big[ \sum_r a_r(\sigma_k) \, \phi_r \star X \Big]

    R blurs whatever the number of widths. Equals ``gaussian_conv2d(..., shift="bilinear")`` up to the basis' error.
    Plain aten, differentiable by autograd in every argument, exports. Under autocast ``x`` and ``weight`` are lowered,
    ``mu`` and ``sigma`` are not.

    Args:
        x: ``[B, C_in, H, W]``.
        weight: ``[C_out, C_in, K]``.
        mu: ``[K, 2]`` (x, y) in pixels.
        sigma: ``[K]`` or scalar, within the widths of the basis.
        bias: ``[C_out]``.
        basis: From :func:`shape_basis`.
        max_offset: Bound of ``|mu|``.
        stride: As in ``conv2d``.

    Returns:
        ``[B, C_out, ceil(H / stride), ceil(W / stride)]`` in the dtype of ``x``.

    Raises:
        ValueError: If a shape is wrong or, on eager CPU calls, a value is out of range.
    """
    check_shapes(x, weight, mu, sigma, bias)
    if mu.ndim != 2:
        raise ValueError(f"the low-rank form needs mu [K, 2], one set per layer, got {list(mu.shape)}")
    if values_are_readable(mu):
        check_values(mu, sigma, max_offset=max_offset, max_sigma=basis.max_sigma)
    if not x.is_meta and torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(autocast_dtype(x))
            return _lowrank(x, weight, mu, sigma, bias, basis, max_offset, as_pair("stride", stride))
    return _lowrank(x, weight, mu, sigma, bias, basis, max_offset, as_pair("stride", stride))


def _lowrank(
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    bias: Tensor | None,
    basis: ShapeBasis,
    max_offset: float,
    stride: Pair,
) -> Tensor:
    units, channels, reach = len(mu), x.shape[1], shift_radius(max_offset)
    coefficients = basis.coefficients(sigma.to(tap_dtype(sigma)).expand(units))
    planes = _blurred(x, basis.shapes, reach)  # [B, C_in, R, H + 2 reach, W + 2 reach]
    planes = torch.einsum("bcrhw,kr->bckhw", planes, coefficients.to(x.dtype))
    across, down = (shift_taps(mu[:, axis].to(tap_dtype(mu)), max_offset=max_offset)[0].to(x.dtype) for axis in (0, 1))
    splat = (down.unsqueeze(-1) * across.unsqueeze(-2)).repeat(channels, 1, 1).unsqueeze(1)
    moved = F.conv2d(planes.flatten(1, 2), splat, stride=stride, groups=channels * units)
    bias = bias if bias is None else bias.to(x.dtype)
    return F.conv2d(moved, weight.to(x.dtype).flatten(1)[..., None, None], bias)


def _blurred(x: Tensor, shapes: Tensor, reach: int) -> Tensor:
    """Filter every channel with every shape, as far past the border as a displacement reaches."""
    rank, side = shapes.shape[:2]
    filters = shapes.to(x).unsqueeze(1).repeat(x.shape[1], 1, 1, 1)
    planes = F.conv2d(x, filters, padding=side // 2 + reach, groups=x.shape[1])
    # not len(x), which is a fixed number in an exported graph
    return planes.view(x.shape[0], x.shape[1], rank, *planes.shape[2:])
