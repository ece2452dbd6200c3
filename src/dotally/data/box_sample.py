"""What a picture with its label and boxes is, alone and in a batch: the contract between data and tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class BoxSample:
    """One picture, the class of what it shows and where that is. Transforms move picture and boxes together.

    Attributes:
        name: Unique within a split.
        image: ``[3, H, W]`` uint8, RGB; grey pictures are repeated over the channels.
        label: Index of its class.
        boxes: ``[N, 4]`` float32, (x0, y0, x1, y1) in pixels of ``image``; first and last pixel both belong to the box,
            so its width is x1 - x0 + 1. Empty where only labels may be used.
    """

    name: str
    image: Tensor
    label: int
    boxes: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[1], self.image.shape[2]


class BoxBatch(TypedDict):
    """Pictures of one size.

    Attributes:
        name: Names of the samples.
        image: ``[B, 3, H, W]`` uint8, RGB.
        label: ``[B]`` int64.
        boxes: ``[sum N, 4]`` float32, the boxes of all pictures in a row, as in :class:`BoxSample`.
        count: ``[B]`` int64, boxes of each picture; 0 in training, where there are only labels.
    """

    name: list[str]
    image: Tensor
    label: Tensor
    boxes: Tensor
    count: Tensor


def collate_boxes(samples: Sequence[BoxSample]) -> BoxBatch:
    """Lay samples into one batch.

    Raises:
        ValueError: If the pictures differ in size.
    """
    sizes = sorted({sample.size for sample in samples})
    if len(sizes) > 1:
        raise ValueError(
            f"pictures of a batch must have one size, got {sizes[0]} and {sizes[-1]} (height, width): "
            "use framing='crop' or 'warp', or batches of 1"
        )
    return BoxBatch(
        name=[sample.name for sample in samples],
        image=torch.stack([sample.image for sample in samples]),
        label=torch.tensor([sample.label for sample in samples]),
        boxes=torch.cat([sample.boxes for sample in samples]),
        count=torch.tensor([len(sample.boxes) for sample in samples]),
    )
