"""Bringing pictures to the size a classifier takes, with boxes that follow; random views to train on."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from dotally.data.box_sample import BoxSample

Framing = Literal["crop", "warp", "keep"]
FRAMINGS: tuple[Framing, ...] = ("crop", "warp", "keep")


def frame(sample: BoxSample, framing: Framing, side: int) -> BoxSample:
    """Bring a picture to the size that a network is shown.

    "crop" is what the released STNet does: the shorter side becomes ``side``, the other ``int(side * long / short)``,
    then the centre is cut out from ``round((size - side) / 2)`` on. "warp" makes it ``side x side`` whatever its shape,
    as the MaxBoxAcc protocol does. "keep" leaves it alone.

    Args:
        sample: The whole picture.
        framing: One of these.
        side: In pixels.

    Raises:
        ValueError: If ``framing`` is none of them.
    """
    if framing == "keep":
        return sample
    if framing == "warp":
        return resize(sample, (side, side))
    if framing != "crop":
        raise ValueError(f"framing must be one of {', '.join(FRAMINGS)}, got {framing!r}")
    short = min(sample.size)
    height, width = (side * edge // short for edge in sample.size)
    return crop(
        resize(sample, (height, width)),
        top=round((height - side) / 2),
        left=round((width - side) / 2),
        size=(side, side),
    )


def resize(sample: BoxSample, size: tuple[int, int]) -> BoxSample:
    """Scale the picture bilinearly, as Pillow does, to ``size`` (height, width); boxes by the same two ratios."""
    if size == sample.size:
        return sample
    picture = Image.fromarray(sample.image.permute(1, 2, 0).numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
    down, right = size[0] / sample.size[0], size[1] / sample.size[1]
    return replace(
        sample,
        image=torch.from_numpy(np.array(picture)).permute(2, 0, 1),
        boxes=sample.boxes * sample.boxes.new_tensor([right, down, right, down]),
    )


def crop(sample: BoxSample, *, top: int, left: int, size: tuple[int, int]) -> BoxSample:
    """Cut out ``size`` (height, width) pixels; boxes are shifted and clamped to [0, width] and [0, height].

    Boxes outside the window lose their extent and stay, so that no picture drops out of an evaluation.
    """
    return replace(
        sample,
        image=sample.image[:, top : top + size[0], left : left + size[1]],
        boxes=clamp_boxes(sample.boxes - sample.boxes.new_tensor([left, top, left, top]), size),
    )


def clamp_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Clamp ``[N, 4]`` boxes to a picture of ``size`` (height, width)."""
    limit = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    return boxes.clamp(min=0).minimum(limit)


def mirror(sample: BoxSample) -> BoxSample:
    """Swap left and right: pixel column i becomes column W - 1 - i."""
    x0, y0, x1, y1 = sample.boxes.unbind(dim=1)
    last = sample.size[1] - 1
    return replace(sample, image=sample.image.flip(-1), boxes=torch.stack([last - x1, y0, last - x0, y1], dim=1))


@dataclass(frozen=True)
class RandomView:
    """Cut out a random part of a picture of its own shape, scale it back, mirror it by chance.

    Attributes:
        area: Range of the part's share of the picture's area; (1, 1) takes it whole.
        flip: Probability of mirroring, 0 to 1.
    """

    area: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area must be (smallest, largest) with 0 < smallest <= largest <= 1, got {self.area}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip is a probability within 0 and 1, got {self.flip}")

    def __call__(self, sample: BoxSample, generator: Generator) -> BoxSample:
        """Return a random view; chance comes from ``generator`` alone."""
        share, down, right, flip = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        factor = math.sqrt(self.area[0] + (self.area[1] - self.area[0]) * share)
        size = sample.size
        height, width = (max(1, round(edge * factor)) for edge in size)
        if (height, width) != size:
            top, left = int(down * (size[0] - height + 1)), int(right * (size[1] - width + 1))
            sample = resize(crop(sample, top=top, left=left, size=(height, width)), size)
        return mirror(sample) if flip < self.flip else sample
