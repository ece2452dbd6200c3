"""What a picture with its points is, alone and in a batch: the contract between data and tasks."""

from dataclasses import dataclass
from typing import TypedDict

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class CrowdSample:
    """One picture and the heads in it. Transforms return a new sample in which both have moved together.

    Attributes:
        name: File name, unique within a split.
        image: ``[3, H, W]`` uint8, RGB; grey pictures are repeated over the channels.
        points: ``[N, 2]`` float32, (x, y) in pixels; a head lies in the pixel (floor x, floor y).
        sigma: ``[N]`` float32, pixels; computed once on the whole picture, it travels with its point.
        adaptive: Whether sigma measures the crowd, and so scales with the picture, or is a fixed number.
        density: ``[H, W]`` float32, heads per pixel; only where a published full-size map is asked for.
    """

    name: str
    image: Tensor
    points: Tensor
    sigma: Tensor
    adaptive: bool
    density: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[1], self.image.shape[2]


class CrowdBatch(TypedDict):
    """A batch on the device.

    Attributes:
        name: File names.
        image: ``[B, 3, H, W]`` uint8, padded with zeros on the right and at the bottom.
        size: ``[B, 2]`` int64, (height, width) of each picture before padding.
        points: ``[sum N, 2]`` float32, the points of all pictures in a row.
        sigma: ``[sum N]`` float32, pixels.
        count: ``[B]`` int64, annotated heads in each picture: the truth of every counting metric.
        density: ``[B, 1, H/s, W/s]`` float32, heads per cell at the network's stride s.
        mask: ``[B, 1, H/s, W/s]`` float32, 1 where a cell holds any picture, else 0.
    """

    name: list[str]
    image: Tensor
    size: Tensor
    points: Tensor
    sigma: Tensor
    count: Tensor
    density: Tensor
    mask: Tensor
