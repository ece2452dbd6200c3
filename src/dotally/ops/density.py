"""Density maps: dots in, a map whose sum is the number of dots out.

On the CPU a head's window is cut into tiles (``density_cpu``); on CUDA a Triton kernel renders the whole batch. Both
equal :func:`render_density_reference`, which is the specification.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dotally.ops import density_cpu

Border = Literal["renormalize", "lose"]


def render_density(
    points: Tensor,
    sigma: Tensor | float,
    size: tuple[int, int],
    *,
    stride: int = 1,
    border: Border = "renormalize",
) -> Tensor:
    """Render the density map of one picture: one truncated Gaussian per head.

    ``border="lose", stride=1`` equals ``scipy.ndimage.gaussian_filter(one head, sigma, mode="constant")`` summed over
    the heads; ``"renormalize"`` divides each head's map by its own sum over the picture, so that the sum is the number
    of heads in the picture. A larger stride gives the exact sums over stride x stride pixels, the picture being padded
    with zeros on the right and at the bottom. Heads outside the picture are dropped, equal heads are added, sigma 0
    is one pixel of mass 1. Target of CSRNet (Li et al., CVPR 2018, section 3.2). Not differentiable.

    Args:
        points: ``[N, 2]`` (x, y) in pixels; a head lies in the pixel (floor x, floor y).
        sigma: Width in pixels, >= 0: one number or ``[N]``.
        size: (height, width) of the picture in pixels.
        stride: Pixels per cell of the map.
        border: What happens to the mass that falls outside the picture.

    Returns:
        ``[ceil(height / stride), ceil(width / stride)]`` heads per cell; float64 for float64 points, else float32.

    Raises:
        ValueError: If a shape, the size, the stride, the border or a value is out of range.
    """
    return render_density_batch(points, sigma, [len(points)], size, stride=stride, border=border)[0, 0]


def render_density_batch(
    points: Tensor,
    sigma: Tensor | float,
    counts: Tensor | Sequence[int],
    size: tuple[int, int],
    *,
    stride: int = 1,
    border: Border = "renormalize",
    valid: Tensor | None = None,
) -> Tensor:
    """Render the density maps of a batch at once; see :func:`render_density`.

    Args:
        points: ``[sum(counts), 2]`` points of all pictures in a row.
        sigma: One number or ``[sum(counts)]``.
        counts: ``[B]`` heads per picture.
        size: (height, width) shared by all pictures.
        stride: Pixels per cell.
        border: See :func:`render_density`.
        valid: ``[B, 2]`` (height, width) of each picture where they were padded to ``size``; heads and mass stay
            within it. The whole size by default.

    Returns:
        ``[B, 1, ceil(height / stride), ceil(width / stride)]`` heads per cell.

    Raises:
        ValueError: As :func:`render_density`; values are checked on the CPU only, where that costs no wait.
    """
    dtype = torch.float64 if points.dtype == torch.float64 else torch.float32
    points = points.to(dtype)
    sigma = torch.as_tensor(sigma, dtype=dtype, device=points.device).expand(len(points))
    counts = torch.as_tensor(counts, dtype=torch.int64, device=points.device)
    if valid is None:
        # no tensor of two numbers: its way to a GPU would make the host wait, and a CUDA graph cannot hold it
        valid = torch.stack([torch.full_like(counts, side) for side in size], dim=1)
    _check(points, sigma, counts, size, stride, border, valid)
    return _render(points, sigma, counts, valid, size[0], size[1], stride, border == "renormalize")


def render_density_reference(
    points: Tensor,
    sigma: Tensor | float,
    size: tuple[int, int],
    *,
    stride: int = 1,
    border: Border = "renormalize",
) -> Tensor:
    """Define :func:`render_density` in a few plain float64 lines, one full-size outer product per head."""
    height, width = (-(-side // stride) * stride for side in size)
    widths = torch.as_tensor(sigma, dtype=torch.float64).expand(len(points))
    total = torch.zeros(height, width, dtype=torch.float64)
    for (x, y), s in zip(points.double().floor().tolist(), widths.tolist(), strict=True):
        if not (0 <= x < size[1] and 0 <= y < size[0]):
            continue
        taps = [_reference_taps(center, s, side) for center, side in ((y, size[0]), (x, size[1]))]
        if border == "renormalize":
            taps = [axis / axis.sum() for axis in taps]
        total[: size[0], : size[1]] += taps[0][:, None] * taps[1]
    return total.reshape(height // stride, stride, width // stride, stride).sum(dim=(1, 3))


def _reference_taps(center: float, sigma: float, side: int) -> Tensor:
    """Return ``[side]`` weights of a Gaussian, normalised before it is cut at the picture's border."""
    radius = int(4 * sigma + 0.5)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / max(sigma, 1e-9)) ** 2)
    axis = torch.zeros(side + 2 * radius, dtype=torch.float64)
    axis[int(center) : int(center) + 2 * radius + 1] = taps / taps.sum()
    return axis[radius : radius + side]


@torch.library.custom_op("dotally::render_density", mutates_args=(), device_types="cpu")
def _render(
    points: Tensor,
    sigma: Tensor,
    counts: Tensor,
    valid: Tensor,
    height: int,
    width: int,
    stride: int,
    renormalize: bool,
) -> Tensor:
    maps = density_cpu.render(
        points.double().numpy(),
        sigma.double().numpy(),
        np.repeat(np.arange(len(counts)), counts.numpy()),
        valid.numpy(),
        (-(-height // stride), -(-width // stride)),
        stride=stride,
        renormalize=renormalize,
        dtype=np.float64 if points.dtype == torch.float64 else np.float32,
    )
    return torch.from_numpy(np.ascontiguousarray(maps)).unsqueeze(1)


@_render.register_fake
def _(
    points: Tensor,
    sigma: Tensor,
    counts: Tensor,
    valid: Tensor,
    height: int,
    width: int,
    stride: int,
    renormalize: bool,
) -> Tensor:
    return points.new_empty(len(counts), 1, -(-height // stride), -(-width // stride))


@_render.register_kernel("cuda")
def _(
    points: Tensor,
    sigma: Tensor,
    counts: Tensor,
    valid: Tensor,
    height: int,
    width: int,
    stride: int,
    renormalize: bool,
) -> Tensor:
    from dotally.ops.kernels import kernel_module  # only CUDA needs Triton

    launch = kernel_module("density").render_density
    with torch.cuda.device(points.device):  # Triton launches on the current one
        maps = launch(points, sigma, counts, valid, (height, width), stride=stride, renormalize=renormalize)
    return maps.to(points)


def _check(
    points: Tensor,
    sigma: Tensor,
    counts: Tensor,
    size: tuple[int, int],
    stride: int,
    border: str,
    valid: Tensor,
) -> None:
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points must have shape [N, 2], got {list(points.shape)}")
    if min(size) < 1 or stride < 1:
        raise ValueError(f"size and stride must be positive, got size {size} and stride {stride}")
    if border not in ("renormalize", "lose"):
        raise ValueError(f"border must be 'renormalize' or 'lose', got {border!r}")
    if valid.shape != (len(counts), 2):
        raise ValueError(f"valid must have shape [{len(counts)}, 2], got {list(valid.shape)}")
    if points.is_cuda or torch.compiler.is_compiling():
        return  # looking at values would make the host wait for the device, or break the graph
    if int(counts.sum()) != len(points) or bool((counts < 0).any()):
        raise ValueError(f"counts {counts.tolist()} do not add up to the {len(points)} points")
    if not bool(torch.isfinite(points).all()):
        raise ValueError("points must be finite")
    if not bool((torch.isfinite(sigma) & (sigma >= 0)).all()):
        raise ValueError(f"sigma must be finite and >= 0, got values from {sigma.min():g} to {sigma.max():g}")
