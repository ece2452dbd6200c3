"""The part of a picture that a classifier is shown, and the way back from its pixels to the picture's."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dotally.data.box_sample import BoxSample
from dotally.data.box_transforms import Framing, frame


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A picture as framed.

    Attributes:
        image: ``[3, h, w]`` uint8, RGB.
        whole: (height, width) of the picture in pixels.
        ratio: (down, right): pixels of the view for one of the picture.
        corner: (top, left) of the view, in pixels of the scaled picture.
    """

    image: Tensor
    whole: tuple[int, int]
    ratio: tuple[float, float]
    corner: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the view in pixels."""
        return self.image.shape[1], self.image.shape[2]

    def to_picture(self, box: Tensor) -> tuple[float, float, float, float]:
        """Return a box ``[4]`` (x0, y0, x1, y1) in pixels of the picture, within it."""
        (top, left), (down, right), (height, width) = self.corner, self.ratio, self.whole
        x0, y0, x1, y1 = box.tolist()
        xs = (min(max((x + left) / right, 0.0), width - 1.0) for x in (x0, x1))
        ys = (min(max((y + top) / down, 0.0), height - 1.0) for y in (y0, y1))
        (x0, x1), (y0, y1) = xs, ys
        return x0, y0, x1, y1

    @property
    def place(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) of the view in the picture, in whole pixels, the last ones not part of it."""
        (top, left), (down, right), (height, width) = self.corner, self.ratio, self.size
        x0, x1 = (min(round(x / right), self.whole[1]) for x in (left, left + width))
        y0, y1 = (min(round(y / down), self.whole[0]) for y in (top, top + height))
        return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def view_of(image: np.ndarray, framing: Framing, side: int) -> View:
    """Frame a picture ``[H, W, 3]`` uint8 as :func:`dotally.data.box_transforms.frame` does."""
    whole = image.shape[0], image.shape[1]
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    framed = frame(BoxSample(name="", image=pixels, label=0, boxes=torch.zeros(0, 4)), framing, side)
    if framing == "keep":
        scaled, corner = whole, (0, 0)
    elif framing == "warp":
        scaled, corner = (side, side), (0, 0)
    else:
        scaled = side * whole[0] // min(whole), side * whole[1] // min(whole)
        corner = round((scaled[0] - side) / 2), round((scaled[1] - side) / 2)
    return View(
        image=framed.image,
        whole=whole,
        ratio=(scaled[0] / whole[0], scaled[1] / whole[1]),
        corner=corner,
    )
