"""Geometry-adaptive kernel widths: how far the neighbours are says how large a head is."""

import numpy as np
import torch
from torch import Tensor


def adaptive_sigma(points: Tensor, *, k: int = 3, beta: float = 0.3, fallback: float = 15.0) -> Tensor:
    r"""Return one Gaussian width per head from the distance to its neighbours (Li et al., CVPR 2018, section 3.2).

    .. math:: \sigma_i = \beta \, \bar d_i, \qquad \bar d_i = \text{mean distance to the } k \text{ nearest other heads}

    Duplicated points are neighbours at distance 0. With fewer than ``k`` other heads the mean is over those that
    exist, so the result is always finite. The neighbour search runs on the CPU.

    Args:
        points: ``[N, 2]`` (x, y) in pixels.
        k: How many neighbours, at least 1.
        beta: Width per mean distance, 0.3 in the paper.
        fallback: Width of a lone head, pixels.

    Returns:
        ``[N]`` sigma in pixels, in the dtype and on the device of ``points``.

    Raises:
        ValueError: If ``k`` is below 1 or a coordinate is not finite.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    heads = points.detach().cpu().double().numpy().reshape(-1, 2)
    if not np.isfinite(heads).all():
        raise ValueError("points must be finite to find their neighbours")
    if len(heads) < 2:
        return points.new_full((len(heads),), fallback)
    from scipy.spatial import cKDTree  # late: every network's import brings this module along

    # the nearest "neighbour" is the head itself, or an equal one: either way one zero distance goes
    distance, _ = cKDTree(heads).query(heads, k=min(k + 1, len(heads)))
    return torch.from_numpy(beta * distance[:, 1:].mean(axis=1)).to(points)
