"""Crops, flips and scalings of a picture in which its points, their sigma and its density map move along."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dotally.data.sample import CrowdSample
from dotally.data.sampling import derive_seed

# the largest fraction of a pixel kept by `mirror`: float32 holds it beside any column below 32768, so that no
# rounding carries a head into the next pixel
_LAST_FRACTION = 1 - 2**-9


class Augmentation(Protocol):
    """What turns a picture into training items."""

    @property
    def copies(self) -> int:
        """Items per picture and epoch."""

    def __call__(self, sample: CrowdSample, copy: int, generator: Generator) -> CrowdSample:
        """Return item ``copy`` (0 .. copies - 1) of ``sample``; chance comes from ``generator`` alone."""


def crop(sample: CrowdSample, top: int, left: int, height: int, width: int) -> CrowdSample:
    """Cut out ``height x width`` pixels at row ``top`` and column ``left``, and the heads that lie in them.

    Raises:
        ValueError: If the window is empty or does not lie within the picture.
    """
    rows, columns = sample.size
    if not (0 <= top < top + height <= rows and 0 <= left < left + width <= columns):
        raise ValueError(
            f"{sample.name}: a window of {height}x{width} at row {top}, column {left} "
            f"does not lie within the picture of {rows}x{columns}"
        )
    points = sample.points - sample.points.new_tensor([left, top])
    inside = ((points >= 0) & (points < points.new_tensor([width, height]))).all(dim=1)
    window = (..., slice(top, top + height), slice(left, left + width))
    return replace(
        sample,
        image=sample.image[window],
        points=points[inside],
        sigma=sample.sigma[inside],
        density=None if sample.density is None else sample.density[window],
    )


def mirror(sample: CrowdSample) -> CrowdSample:
    """Swap left and right: column i becomes column W - 1 - i, and a head keeps its place within its pixel."""
    x, y = sample.points.unbind(dim=1)
    fraction = (x - x.floor()).clamp(max=_LAST_FRACTION)
    return replace(
        sample,
        image=sample.image.flip(-1),
        points=torch.stack([sample.size[1] - 1 - x.floor() + fraction, y], dim=1),
        density=None if sample.density is None else sample.density.flip(-1),
    )


def resize(sample: CrowdSample, size: tuple[int, int], *, antialias: bool = True) -> CrowdSample:
    """Scale the picture bilinearly to ``size`` (height, width).

    Points are scaled by the exact factor of each axis. Sigma is scaled by the geometric mean of the factors if
    it is adaptive, and stays if it is fixed.

    Args:
        sample: What to scale.
        size: (height, width) in pixels, both at least 1.
        antialias: Whether to blur before shrinking, as Pillow does, or to sample plainly, as OpenCV does.

    Raises:
        ValueError: If the sample has a density map: a published map has no meaning at another scale.
    """
    if size == sample.size:
        return sample
    if sample.density is not None:
        raise ValueError(f"{sample.name}: a published full-size density map cannot be scaled; scale nothing beside it")
    image = F.interpolate(sample.image[None].float(), size, mode="bilinear", antialias=antialias)[0]
    down, right = size[0] / sample.size[0], size[1] / sample.size[1]
    points = sample.points * sample.points.new_tensor([right, down])
    return replace(
        sample,
        image=image.round().to(torch.uint8),
        points=keep_inside(points, size),
        sigma=sample.sigma * math.sqrt(down * right) if sample.adaptive else sample.sigma,
    )


def keep_inside(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Move points (x, y) that lie outside a picture of ``size`` (height, width) onto its nearest pixel."""
    limit = points.new_tensor([size[1], size[0]])
    return points.clamp(min=0).minimum(limit.nextafter(limit.new_zeros(2)))


@dataclass(frozen=True)
class RandomCrop:
    """Scale by a random factor, cut out a random square, mirror it by chance.

    A picture with a side shorter than the square keeps that side whole; nothing is padded here.

    Attributes:
        size: Side of the square in pixels.
        scale: Range of the factor; (1, 1) leaves the picture as it is.
        flip: Probability of mirroring, 0 to 1.
        copies: Crops per picture and epoch.
    """

    size: int
    scale: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.5
    copies: int = 1

    def __post_init__(self) -> None:
        if self.size < 1 or self.copies < 1:
            raise ValueError(f"size and copies must be at least 1, got {self.size} and {self.copies}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be (smallest, largest) with 0 < smallest <= largest, got {self.scale}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip is a probability within 0 and 1, got {self.flip}")

    def __call__(self, sample: CrowdSample, copy: int, generator: Generator) -> CrowdSample:
        """Return one random crop; ``copy`` is not used, since every copy has a generator of its own."""
        factor, down, right, flip = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        low, high = self.scale
        factor = low + (high - low) * factor
        rows, columns = (max(1, round(side * factor)) for side in sample.size)
        height, width = min(self.size, rows), min(self.size, columns)
        sample = resize(sample, (rows, columns))
        top, left = int(down * (rows - height + 1)), int(right * (columns - width + 1))
        sample = crop(sample, top, left, height, width)
        return mirror(sample) if flip < self.flip else sample


@dataclass(frozen=True)
class QuarterPatches:
    """The 18 fixed training patches of a picture in CSRNet (Li et al., CVPR 2018, section 3.2).

    Nine patches of half the height and half the width: copies 0 to 3 are the quarters without overlap, 4 to 8
    lie at random places that depend on the seed and the picture's name alone; copies 9 to 17 are their mirror
    images. With an odd side the quarters leave the middle row or column out.
    """

    seed: int = 0

    @property
    def copies(self) -> int:
        """Patches per picture."""
        return 18

    def __call__(self, sample: CrowdSample, copy: int, generator: Generator) -> CrowdSample:
        """Return patch ``copy``; ``generator`` is not used, since the patches are the same in every epoch."""
        height, width = (max(1, side // 2) for side in sample.size)
        rest_down, rest_right = sample.size[0] - height, sample.size[1] - width
        number = copy % 9
        if number < 4:
            top, left = (number // 2) * rest_down, (number % 2) * rest_right
        else:
            place = Generator().manual_seed(derive_seed(self.seed, sample.name, number))
            down, right = torch.rand(2, generator=place, dtype=torch.float64).tolist()
            top, left = int(down * (rest_down + 1)), int(right * (rest_right + 1))
        patch = crop(sample, top, left, height, width)
        return mirror(patch) if copy >= 9 else patch
