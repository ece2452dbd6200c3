"""Annotated pictures on disk -> samples: what every counting data set has in common."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils.data import Dataset
from typing_extensions import override

from dotally.data.official_target import official_density
from dotally.data.pictures import open_picture, picture_size
from dotally.data.sample import CrowdSample
from dotally.data.sampling import Draw
from dotally.data.transforms import Augmentation, keep_inside, resize
from dotally.errors import AnnotationError
from dotally.ops import adaptive_sigma

Points = NDArray[np.float64]
Sigma = float | Literal["adaptive"]
Outside = Literal["drop", "clip"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """Where one annotated picture lies.

    Attributes:
        name: Unique within its split.
        picture: The picture's file.
        annotation: The file that holds its points.
    """

    name: str
    picture: Path
    annotation: Path


class CrowdDataset(Dataset[CrowdSample]):
    """Annotated pictures as samples. An item is asked for by a :class:`Draw`, or by its index alone.

    Args:
        records: The pictures.
        read_points: Reads a record's annotated heads, ``[N, 2]`` float64 (x, y) in pixels.
        sigma: Width of a head in pixels, or "adaptive" to the distances between heads (``adaptive_sigma``).
        outside: Heads outside the picture are dropped, and so not counted, or moved onto its nearest pixel.
        longest_side: Pictures with a longer side, in pixels, are scaled down to it; None keeps their size.
        official: Whether samples carry the full-size map of the published CSRNet code.
        max_megapixels: Larger pictures are refused.
        keep_in_memory: Decode every picture once and keep it: three bytes a pixel, in every worker.
        augmentation: Makes one or more training items of each picture; None gives whole pictures.

    Raises:
        ValueError: If ``outside`` is unknown, or ``longest_side`` too small or combined with ``official``.
    """

    def __init__(
        self,
        records: Sequence[Record],
        read_points: Callable[[Record], Points],
        *,
        sigma: Sigma,
        outside: Outside = "drop",
        longest_side: int | None = None,
        official: bool = False,
        max_megapixels: float = 200,
        keep_in_memory: bool = False,
        augmentation: Augmentation | None = None,
    ) -> None:
        if outside not in ("drop", "clip"):
            raise ValueError(f"outside must be 'drop' or 'clip', got {outside!r}")
        if longest_side is not None and (longest_side < 1 or official):
            raise ValueError(f"longest_side must be at least 1, and None for the published target, got {longest_side}")
        self.records, self.read_points, self.sigma = list(records), read_points, sigma
        self.outside, self.longest_side, self.official = outside, longest_side, official
        self.max_megapixels, self.augmentation = max_megapixels, augmentation
        self._kept_samples: dict[int, CrowdSample] | None = {} if keep_in_memory else None

    def __len__(self) -> int:
        return len(self.records) * (self.augmentation.copies if self.augmentation else 1)

    @override
    def __getitem__(self, item: Draw | int) -> CrowdSample:
        draw = item if isinstance(item, Draw) else Draw(item, seed=item)
        if self.augmentation is None:
            return self.load(draw.index)
        picture, copy = divmod(draw.index, self.augmentation.copies)
        return self.augmentation(self.load(picture), copy, Generator().manual_seed(draw.seed))

    def load(self, index: int) -> CrowdSample:
        """Return whole picture ``index`` without augmentation."""
        if self._kept_samples is None:
            return self._read(index)
        if index not in self._kept_samples:
            self._kept_samples[index] = self._read(index)
        return self._kept_samples[index]

    def _read(self, index: int) -> CrowdSample:
        record = self.records[index]
        pixels = open_picture(record.picture, max_megapixels=self.max_megapixels).image
        size = (pixels.shape[0], pixels.shape[1])
        annotated = self._annotated(record)
        points = self._kept(annotated, size)
        sample = CrowdSample(
            name=record.name,
            image=torch.from_numpy(pixels).permute(2, 0, 1),
            points=points,
            sigma=self._widths(points),
            adaptive=self.sigma == "adaptive",
            density=official_density(annotated, size, self.sigma) if self.official else None,
        )
        return limited(sample, self.longest_side)

    def annotations(self) -> Iterator[tuple[str, Points]]:
        """Yield the name and the points of every picture as annotated, without opening a picture."""
        for record in self.records:
            yield record.name, self._annotated(record)

    def counts(self) -> list[int]:
        """Return the heads that count in every picture; of the pictures only the headers are read."""
        return [len(self._kept(self._annotated(record), self.stated_size(record))) for record in self.records]

    def stated_size(self, record: Record) -> tuple[int, int]:
        """Return (height, width) of a picture's file, see :func:`dotally.data.pictures.picture_size`."""
        return picture_size(record.picture, max_megapixels=self.max_megapixels)

    def dropped(self) -> int:
        """Return how many annotated heads do not count, because they lie outside their pictures."""
        return sum(len(points) for _, points in self.annotations()) - sum(self.counts())

    def _widths(self, points: Tensor) -> Tensor:
        if self.sigma == "adaptive":
            return adaptive_sigma(points)
        return points.new_full((len(points),), self.sigma)

    def _annotated(self, record: Record) -> Points:
        points = self.read_points(record)
        if not np.isfinite(points).all():
            raise AnnotationError(f"{record.annotation}: holds coordinates that are not finite (NaN or infinity)")
        return points

    def _kept(self, points: Points, size: tuple[int, int]) -> Tensor:
        if self.outside == "drop":
            points = points[((points >= 0) & (points < (size[1], size[0]))).all(axis=1)]
        # rounding to float32 may have moved a head onto the border, which is outside
        return keep_inside(torch.from_numpy(points).float(), size)


def limited(sample: CrowdSample, longest_side: int | None) -> CrowdSample:
    """Scale a picture whose longer side exceeds ``longest_side`` pixels down to it; None keeps every size."""
    if longest_side is None or max(sample.size) <= longest_side:
        return sample
    factor = longest_side / max(sample.size)
    height, width = (max(1, round(side * factor)) for side in sample.size)
    return resize(sample, (height, width))
