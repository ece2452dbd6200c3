"""The training target of the published CSRNet code, quirks included.

As released in github.com/leeyeehoo/CSRNet-pytorch (2018-07-30). On ShanghaiTech A it loses 1 to 2 % of the heads. It
is here to compare with numbers that were made with it; ``dotally.ops.render_density`` is what is right.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dotally.ops import adaptive_sigma, render_density


def official_density(points: NDArray[np.float64], size: tuple[int, int], sigma: float | Literal["adaptive"]) -> Tensor:
    """Return the full-size map that the published notebook stores for a picture.

    What it does differently from :func:`dotally.ops.render_density`:

    - Coordinates are truncated towards zero and only their upper bound is checked, so that a head at x = -77
      is drawn 77 pixels from the opposite border (numpy's negative index), and one at -0.5 in column 0. Heads
      further out than the picture is wide or high crash the published code; here they are dropped.
    - Heads in one pixel count once.
    - "adaptive" (part A): sigma is 0.1 times the sum of the distances to the three nearest head pixels, a lone
      head gets a quarter of the mean side, and mass outside the picture is lost. With two or three heads the
      published code crashes on infinite distances; here the mean is over the neighbours that exist.
    - A fixed sigma (15 for part B): mass is reflected at the border.

    Args:
        points: ``[N, 2]`` (x, y) in pixels as annotated, those outside the picture included.
        size: (height, width) of the picture.
        sigma: "adaptive" as for part A, or pixels as for part B.

    Returns:
        ``[height, width]`` float32 heads per pixel.
    """
    heads = _head_pixels(points, size)
    if sigma == "adaptive":
        widths = adaptive_sigma(heads, k=3, beta=0.3, fallback=sum(size) / 8)
        return render_density(heads, widths, size, border="lose").float()
    dots = np.zeros(size)
    column, row = heads.numpy().astype(int).T
    dots[row, column] = 1
    return torch.from_numpy(gaussian_filter(dots, sigma)).float()


def official_target(density: Tensor, stride: int = 8) -> Tensor:
    """Reduce a full-size map as the published code does, by bicubic sampling times ``stride`` squared.

    Equals ``cv2.resize(density, (W // stride, H // stride), interpolation=cv2.INTER_CUBIC) * stride**2`` to
    1e-6 of its maximum: coefficient -0.75, pixel centres at half, repeated borders, no antialiasing. Its sum is
    not the sum of ``density``, least of all where a side is no multiple of the stride.

    Args:
        density: ``[H, W]`` heads per pixel.
        stride: Of the network.

    Returns:
        ``[1, H // stride, W // stride]`` heads per cell.

    Raises:
        ValueError: If a side is shorter than the stride.
    """
    height, width = density.shape
    if min(height, width) < stride:
        raise ValueError(f"a map of {height}x{width} is smaller than one cell of {stride}x{stride}")
    cells = (height // stride, width // stride)
    # float64, because float32 misplaces the samples of a wide picture by 1e-4 pixels
    reduced = F.interpolate(density.double()[None, None], cells, mode="bicubic", align_corners=False)[0]
    return (reduced * stride**2).to(density)


def _head_pixels(points: NDArray[np.float64], size: tuple[int, int]) -> Tensor:
    """Return ``[M, 2]`` float64 (column, row) of the distinct pixels that the published code sets to 1."""
    limit = np.array([size[1], size[0]])
    pixels = np.trunc(points)
    pixels = pixels[((pixels >= -limit) & (pixels < limit)).all(axis=1)]
    return torch.from_numpy(np.unique(pixels % limit, axis=0))
