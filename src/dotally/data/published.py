"""What is published about a crowd data set, where its files lie, and its pictures as samples."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from dotally.data.crowd_dataset import CrowdDataset, Points, Record, Sigma
from dotally.data.find import find_folder
from dotally.data.pictures import picture_size
from dotally.data.reduced import open_reduced
from dotally.data.resizing import Fit
from dotally.data.sample import CrowdSample
from dotally.data.transforms import keep_inside, resize
from dotally.data.turned import turn_points
from dotally.errors import AnnotationError, DataError

Region = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The files of a data set.

    Attributes:
        folder: Where it was found.
        records: The pictures of each published split that have their annotation.
        missing: Names of the files that should be there and are not.
    """

    folder: Path
    records: Mapping[str, list[Record]]
    missing: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class PublishedSet:
    """A data set as its authors, or those who have counted, describe it.

    Attributes:
        name: As people write it.
        what: What it holds, and who made it.
        licence: Terms of use.
        source: Where to get it.
        loader: The data module that reads it.
        tree: Its layout on disk.
        is_it: Recognises its folder.
        take_stock: Lists the files in that folder.
        read_points: Reads a record's annotated heads, ``[N, 2]`` float64 (x, y) in pixels.
        region: Reads the part of a record's picture that counts, ``[H, W]`` bool; None where all of it does.
        pictures: How many each split has.
        heads: How many each split has, or "all" of them together.
        unconfirmed: Keys of ``pictures`` and ``heads`` that rest on hearsay, or on one release of several: another
            number is worth a note and no fault.
        checksums: Returns the SHA-256 of files, by their path in the folder, in a copy that circulates.
        notes: What else is worth knowing.
        size: On disk.
    """

    name: str
    what: str
    licence: str
    source: str
    loader: str
    tree: str
    is_it: Callable[[Path], bool]
    take_stock: Callable[[Path], Inventory]
    read_points: Callable[[Record], Points]
    region: Callable[[Record], Region] | None = None
    pictures: Mapping[str, int]
    heads: Mapping[str, int] = field(default_factory=dict)
    unconfirmed: frozenset[str] = frozenset()
    checksums: Callable[[], Mapping[str, str]] | None = None
    notes: tuple[str, ...] = ()
    size: str = "not measured here"

    def find(self, roots: Sequence[Path]) -> Inventory:
        """Return the files of the copy below ``roots``.

        Raises:
            DataError: It is not there.
        """
        return self.take_stock(find_folder(roots, self.is_it, what=self.name, tree=self.tree))

    def records(self, roots: Sequence[Path], *splits: str) -> list[Record]:
        """Return the records of ``splits``, all of their files being there.

        Raises:
            DataError: The set is not there, or not whole.
        """
        inventory = self.find(roots)
        if inventory.missing:
            raise DataError(
                f"{self.name}: {len(inventory.missing)} files are missing below {inventory.folder}, the first is "
                f"{inventory.missing[0]}; unpack the archive again, `dotally data verify` lists what is missing"
            )
        found = [record for split in splits for record in inventory.records[split]]
        if not found:
            raise DataError(f"{self.name}: no pictures of {' and '.join(splits)} below {inventory.folder}")
        return found

    def points(self, record: Record) -> Points:
        """Return the heads of a record that lie in the part of its picture that counts.

        Where EXIF asks to turn a picture, its heads are turned with it: annotations are taken to be made on pictures
        as they are stored, which is how MATLAB and the published loaders read them.
        """
        points = self.read_points(record)
        if self.region is None:
            return turn_points(record.picture, points, picture_size(record.picture))[0]
        region = self.region(record)
        cells = np.floor(points)
        points, cells = (a[((cells >= 0) & (cells < region.shape[::-1])).all(axis=1)] for a in (points, cells))
        return points[region[cells[:, 1].astype(int), cells[:, 0].astype(int)]]


class PublishedDataset(CrowdDataset):
    """Pictures of a published data set as samples.

    Where a data set counts in a region only, pixels outside it are 0 and those inside at least 1, so that the region
    travels with the picture through crops and batches.

    Args:
        records: Some of the set's.
        published: The set.
        sigma: See :class:`CrowdDataset`; a fixed width is in pixels of the resized picture.
        fit: Size that a picture is brought to; None keeps it.
        draft: Whether large JPEG pictures are decoded at a fraction of their size before they are scaled down: faster,
            with less memory, and networks count otherwise in it (see :func:`dotally.data.reduced.open_reduced`).
        options: See :class:`CrowdDataset`.

    Raises:
        ValueError: As :class:`CrowdDataset`, or if ``fit`` meets another rule for the size.
    """

    def __init__(
        self,
        records: Sequence[Record],
        published: PublishedSet,
        *,
        sigma: Sigma,
        fit: Fit | None = None,
        draft: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(records, published.points, sigma=sigma, **options)
        if fit is not None and (self.longest_side is not None or self.official):
            raise ValueError("resize excludes longest_side and target='official', which decide on the size themselves")
        self.published, self.fit, self.draft = published, fit, draft

    @override
    def _read(self, index: int) -> CrowdSample:
        reduced = self._reduced(self.records[index]) if self.draft and self.published.region is None else None
        if reduced is not None:
            return reduced
        sample = super()._read(index)
        if self.published.region is not None:
            region, size = self.published.region(self.records[index]), self.stated_size(self.records[index])
            if region.shape != size:
                raise AnnotationError(f"{sample.name}: its region is {list(region.shape)}, the picture {list(size)}")
            sample = replace(sample, image=_show_only(sample.image, torch.from_numpy(region)))
        return sample if self.fit is None else resize(sample, self.fit(sample.size))

    def _reduced(self, record: Record) -> CrowdSample | None:
        """Return a picture in its final size without having decoded all of it; None where that cannot be."""
        size = self.stated_size(record)
        wanted = self.fit(size) if self.fit is not None else _within(size, self.longest_side)
        pixels = open_reduced(record.picture, wanted, max_megapixels=self.max_megapixels)
        if pixels is None or self.official:
            return None
        points, left = self._kept(self._annotated(record), size), (pixels.shape[0], pixels.shape[1])
        down, right = left[0] / size[0], left[1] / size[1]
        adaptive = self.sigma == "adaptive"
        sample = CrowdSample(
            name=record.name,
            image=torch.from_numpy(pixels).permute(2, 0, 1),
            points=keep_inside(points * points.new_tensor([right, down]), left),
            sigma=self._widths(points) * (math.sqrt(down * right) if adaptive else 1.0),
            adaptive=adaptive,
        )
        return resize(sample, wanted)


def visible_cells(image: Tensor, stride: int) -> Tensor:
    """Return ``[B, 1, ceil(H/stride), ceil(W/stride)]`` bool: which cells hold a pixel that is not black.

    Args:
        image: ``[B, 3, H, W]`` uint8, with black outside a region, see :class:`PublishedDataset`.
        stride: Pixels per side of a cell.
    """
    return F.max_pool2d(image.amax(dim=1, keepdim=True).float(), stride, ceil_mode=True) > 0


def _within(size: tuple[int, int], longest_side: int | None) -> tuple[int, int]:
    factor = 1.0 if longest_side is None else min(1.0, longest_side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _show_only(image: Tensor, region: Tensor) -> Tensor:
    mask = F.interpolate(region[None, None].float(), image.shape[1:], mode="nearest")[0].to(torch.uint8)
    return image.clamp(min=1) * mask
