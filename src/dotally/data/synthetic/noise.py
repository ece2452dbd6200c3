"""Mistakes of annotators that leave the count alone: dots beside their heads, heads forgotten and counted twice.

Noise that changes the number of dots pulls every count with it, and a network that happens to count too many then
looks robust. What is told apart here is only where the dots are.
"""

import numpy as np
from numpy.typing import NDArray

from dotally.data.synthetic.camera import Floats
from dotally.data.synthetic.heads import GRAIN, on_grid


def jitter(
    points: Floats, radius: Floats, *, strength: float, size: tuple[int, int], rng: np.random.Generator
) -> Floats:
    """Move every dot by Gaussian noise; the picture's edge reflects those that would leave it.

    Args:
        points: ``[N, 2]`` (x, y) in pixels, inside the picture.
        radius: ``[N]`` radius of each head in pixels.
        strength: Standard deviation along each axis, in head diameters.
        size: (height, width) of the picture.
        rng: Source of the noise.

    Returns:
        ``[N, 2]`` pixels, multiples of 1/64, inside the picture.
    """
    moved = points + rng.standard_normal(points.shape) * (2.0 * strength * radius[:, None])
    ends = np.array([size[1], size[0]], dtype=np.float64)
    folded = ends - np.abs(moved % (2.0 * ends) - ends)
    return np.minimum(on_grid(folded), ends - 1.0 / GRAIN)


def forget_and_repeat(number: int, *, share: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return which heads an annotator dots who forgets a ``share`` of them and dots as many others twice.

    Args:
        number: Heads in the picture.
        share: Share forgotten, 0 to 0.5, rounded to whole heads; the same number is repeated.
        rng: Decides which.

    Returns:
        ``[number]`` indices of heads.
    """
    affected = min(round(share * number), number // 2)
    order = rng.permutation(number)
    repeated = order[affected : 2 * affected]
    return np.sort(np.concatenate([order[affected:], repeated]))
