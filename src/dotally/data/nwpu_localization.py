"""The text files in which NWPU-Crowd's evaluation of head localization takes truth and predictions."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dotally.data.find import numbered_lines
from dotally.errors import AnnotationError


@dataclass(frozen=True, kw_only=True)
class HeadTruth:
    """The heads of one picture.

    Attributes:
        points: ``[N, 2]`` float32, (x, y) in pixels.
        sigma_small: ``[N]`` float32 pixels: how far a prediction may be off, strictly.
        sigma_large: ``[N]`` float32 pixels, and generously.
        level: ``[N]`` int64, 0 to 5: how large the head's box is.
    """

    points: Tensor
    sigma_small: Tensor
    sigma_large: Tensor
    level: Tensor


def read_head_truth(path: Path) -> dict[int, HeadTruth]:
    """Read lines of ``id n`` and ``x y sigma_small sigma_large level`` for each of the n heads, such as val_gt_loc.txt.

    Raises:
        AnnotationError: A line is something else; the file and the line are named.
    """
    return {
        number: HeadTruth(
            points=heads[:, :2], sigma_small=heads[:, 2], sigma_large=heads[:, 3], level=heads[:, 4].long()
        )
        for number, heads in _read(path, 5).items()
    }


def read_head_predictions(path: Path) -> dict[int, Tensor]:
    """Read lines of ``id n`` and ``x y`` for each of the n predicted heads, as the server takes them.

    Returns:
        By the picture's number, ``[M, 2]`` float32 (x, y) in pixels.

    Raises:
        AnnotationError: A line is something else; the file and the line are named.
    """
    return _read(path, 2)


def _read(path: Path, width: int) -> dict[int, Tensor]:
    found: dict[int, Tensor] = {}
    for where, line in numbered_lines(path):
        try:
            picture, count, *values = (float(field) for field in line.split())
            numbers = torch.tensor(values)
        except ValueError as error:
            raise AnnotationError(f"{where}: should be numbers, an id and a count first") from error
        if not (picture.is_integer() and count.is_integer() and numbers.isfinite().all()):
            raise AnnotationError(f"{where}: should begin with a whole id and count and hold finite numbers")
        if len(values) != count * width:
            raise AnnotationError(f"{where}: {int(count)} heads take {int(count) * width} numbers, got {len(values)}")
        if int(picture) in found:
            raise AnnotationError(f"{where}: picture {int(picture)} was on a line before")
        found[int(picture)] = numbers.reshape(-1, width)
    return found
