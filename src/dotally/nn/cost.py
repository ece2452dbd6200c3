"""What layers cost: floating point operations for each position of their output."""

from torch import nn

from dotally.nn.gaussian_conv2d import GaussianConv2d
from dotally.ops.gaussian_taps import blur_radius, shift_radius

Counted = nn.Conv2d | nn.Linear | GaussianConv2d


def flops_per_position(layer: Counted) -> int:
    """Count what one position of the output takes; a multiplication and an addition are 2.

    A Gaussian layer is counted by the least work known to compute it: two one-dimensional passes over each input
    channel for each width, or one of two dimensions for each approximated shape; four neighbours for each bilinear
    shift; then one product of ``K C_in`` with ``C_out``. Displacements of pairs leave only a dense kernel behind the
    blur. Where all this costs more than one dense window, the window counts.
    """
    if isinstance(layer, nn.Linear):
        return 2 * layer.in_features * layer.out_features
    if isinstance(layer, nn.Conv2d):
        return 2 * layer.in_channels // layer.groups * layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]
    product = 2 * layer.in_channels * layer.out_channels
    window = layer.kernel_size[0] ** 2
    if layer.setting.sharing == "pair":
        return min(product * window, _splat(layer, product))
    return min(product * window, product * layer.num_gaussians + _planes(layer))


def _planes(layer: GaussianConv2d) -> int:
    """Operations that make the displaced planes a position's product reads."""
    positions = layer.stride**2  # planes have the resolution of the input
    if layer.setting.shift == "exact":
        return positions * layer.in_channels * layer.num_gaussians * 4 * layer.kernel_size[0]
    taps, rank = 2 * blur_radius(layer.max_sigma) + 1, layer.setting.shape_rank
    if rank is not None:  # a shape is no product of two rows
        blur = 2 * rank * taps**2 + 2 * rank * layer.num_gaussians
    else:
        blur = 4 * taps * (1 if layer.setting.one_sigma else layer.num_gaussians)
    return layer.in_channels * (positions * blur + 8 * layer.num_gaussians)


def _splat(layer: GaussianConv2d, product: int) -> int:
    """Operations of one blur and a dense kernel of the interpolated displacements, where one blur is enough."""
    if layer.setting.shift == "exact" or not layer.setting.one_sigma:
        return product * layer.kernel_size[0] ** 2
    blur = 4 * (2 * blur_radius(layer.max_sigma) + 1) * layer.in_channels * layer.stride**2
    return product * (2 * shift_radius(layer.max_offset) + 1) ** 2 + blur
