"""Pictures with a label and boxes -> samples: what every localization data set has in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils.data import Dataset
from typing_extensions import override

from dotally.data.box_sample import BoxSample
from dotally.data.box_transforms import FRAMINGS, Framing, RandomView, clamp_boxes, frame
from dotally.data.pictures import open_picture
from dotally.data.sampling import Draw
from dotally.data.turned_boxes import turn_boxes
from dotally.data.voc_xml import Box
from dotally.errors import AnnotationError

Boxes = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BoxRecord:
    """One picture as annotated.

    Attributes:
        name: Unique within its split.
        picture: Its file, or its pixels ``[H, W, 3]`` uint8 where it was painted.
        label: Index of its class.
        boxes: (x0, y0, x1, y1) in pixels, first and last included; empty where none are known.
        where: File and line of the annotation, for messages.
        size: (height, width) that the annotation says the picture has; None if it says nothing one can rely on.
        stored: Boxes are in pixels of the picture as its file stores it, whatever EXIF says: published sets were
            annotated and read so. Else of the upright picture.
    """

    name: str
    picture: Path | NDArray[np.uint8]
    label: int
    boxes: tuple[Box, ...] = ()
    where: str = ""
    size: tuple[int, int] | None = None
    stored: bool = False


class LocalizationDataset(Dataset[BoxSample]):
    """Pictures as samples. An item is asked for by a :class:`Draw`, or by its index alone.

    Args:
        records: The pictures.
        framing: How pictures come to the size that a network is shown, see ``box_transforms.frame``.
        side: That size, in pixels.
        labels_only: Whether boxes are withheld, as in training; otherwise every picture needs one.
        max_megapixels: Larger pictures are refused.
        keep_in_memory: Decode every picture once and keep it framed: three bytes a pixel, in every worker.
        augmentation: Makes training items of pictures; None gives each as it is.

    Raises:
        ValueError: If ``framing`` is unknown or ``side`` too small.
        AnnotationError: If a picture has no box and boxes are not withheld.
    """

    def __init__(
        self,
        records: Sequence[BoxRecord],
        *,
        framing: Framing = "crop",
        side: int = 224,
        labels_only: bool = False,
        max_megapixels: float = 200,
        keep_in_memory: bool = False,
        augmentation: RandomView | None = None,
    ) -> None:
        if framing not in FRAMINGS:
            raise ValueError(f"framing must be one of {', '.join(FRAMINGS)}, got {framing!r}")
        if side < 1:
            raise ValueError(f"side must be at least 1 pixel, got {side}")
        without = [record for record in records if not record.boxes]
        if without and not labels_only:
            raise AnnotationError(
                f"{without[0].where or without[0].name}: {without[0].name} has no box ({len(without)} of "
                f"{len(records)} pictures have none); draw one or take the picture out, none is left out silently"
            )
        self.records, self.framing, self.side = list(records), framing, side
        self.labels_only, self.max_megapixels, self.augmentation = labels_only, max_megapixels, augmentation
        self._kept: dict[int, BoxSample] | None = {} if keep_in_memory else None

    def __len__(self) -> int:
        return len(self.records)

    @override
    def __getitem__(self, item: Draw | int) -> BoxSample:
        draw = item if isinstance(item, Draw) else Draw(item, seed=item)
        sample = self.load(draw.index)
        if self.augmentation is None:
            return sample
        return self.augmentation(sample, Generator().manual_seed(draw.seed))

    def load(self, index: int) -> BoxSample:
        """Return picture ``index`` as a network is shown it, without augmentation.

        Raises:
            PictureError: If it cannot be opened.
            AnnotationError: If its annotation is for a picture of another size, or a box lies outside it.
        """
        if self._kept is None:
            return self._read(index)
        if index not in self._kept:
            self._kept[index] = self._read(index)
        return self._kept[index]

    def _read(self, index: int) -> BoxSample:
        record = self.records[index]
        pixels = record.picture
        if isinstance(pixels, Path):
            pixels = open_picture(pixels, max_megapixels=self.max_megapixels).image
        size = (pixels.shape[0], pixels.shape[1])
        boxes = torch.zeros(0, 4) if self.labels_only else _boxes_within(record, size)
        image = torch.from_numpy(pixels).permute(2, 0, 1)
        return frame(BoxSample(name=record.name, image=image, label=record.label, boxes=boxes), self.framing, self.side)

    def annotations(self) -> Iterator[tuple[str, int, Boxes]]:
        """Yield the name, the label and the boxes of every picture as annotated, without opening a picture."""
        for record in self.records:
            yield record.name, record.label, np.array(record.boxes, dtype=np.float64).reshape(-1, 4)


def _boxes_within(record: BoxRecord, size: tuple[int, int]) -> Tensor:
    """Return ``[N, 4]`` boxes; what sticks out of the picture is cut off, what lies outside is an error."""
    if record.size not in (None, size):
        raise AnnotationError(
            f"{record.where}: made for a picture of {record.size} (height, width), but {record.name} has {size}; "
            "annotate the picture as it is now"
        )
    boxes: Sequence[Box] = record.boxes
    if record.stored and isinstance(record.picture, Path):
        boxes = turn_boxes(record.picture, boxes, size)
    for x0, y0, x1, y1 in boxes:
        # tools that count pixels from 1 reach the width and the height
        if x1 < 0 or y1 < 0 or x0 > size[1] or y0 > size[0]:
            raise AnnotationError(
                f"{record.where}: the box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) lies outside {record.name}, "
                f"which is {size[1]} x {size[0]} pixels"
            )
    return clamp_boxes(torch.tensor(boxes, dtype=torch.float32), size)
