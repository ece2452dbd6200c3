"""What every format of dots is read into."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dotally.data.annotation_file import LARGEST, is_number
from dotally.errors import AnnotationError

Points = NDArray[np.float64]
Mark = tuple[float, float, str]


@dataclass(frozen=True, kw_only=True)
class Dots:
    """The dots of one picture, as an annotation file gives them.

    Attributes:
        where: Prints as file and, where it has lines, line.
        picture: Name of the picture as written, perhaps with folders; empty means that it is called like the file.
        points: ``[N, 2]`` float64, (x, y) in pixels of the picture; a dot may lie outside.
        labels: Class of each dot, empty where it has none.
        size: (height, width) that the file says the picture has, None if it does not.
    """

    where: object
    picture: str
    points: Points
    labels: tuple[str, ...]
    size: tuple[int, int] | None = None


def dots(where: object, marks: Sequence[Mark], *, picture: str = "", size: tuple[int, int] | None = None) -> Dots:
    """Put marks (x, y, class) together."""
    points = np.array([mark[:2] for mark in marks], dtype=np.float64).reshape(-1, 2)
    return Dots(where=where, picture=picture, points=points, labels=tuple(mark[2] for mark in marks), size=size)


def middle(x0: float, y0: float, x1: float, y1: float, where: object) -> tuple[float, float]:
    """Return the middle of a box.

    Raises:
        AnnotationError: If it ends before it begins.
    """
    if x1 < x0 or y1 < y0:
        raise AnnotationError(f"{where}: the box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) ends before it begins")
    return (x0 + x1) / 2, (y0 + y1) / 2


def middle_of(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the middle of the box around points, of which there is at least one."""
    xs, ys = zip(*points, strict=True)
    return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2


def stated_size(height: object, width: object) -> tuple[int, int] | None:
    """Return (height, width) if both are positive whole numbers."""
    sides = (height, width)
    if all(is_number(side) and side == int(side) and side > 0 for side in sides):  # type: ignore[operator, call-overload]
        return int(height), int(width)  # type: ignore[call-overload]
    return None


def point_array(values: object, where: object) -> Points:
    """Return an array from a file as points; further columns are left out.

    Raises:
        AnnotationError: It is not ``[N, 2]`` finite numbers.
    """
    found = np.asarray(values)
    if found.size == 0 and found.ndim <= 2:
        return np.zeros((0, 2))
    if found.dtype.kind not in "uif" or found.ndim != 2 or not 2 <= found.shape[1] <= 4:
        hint = "; a density map?" if found.dtype.kind == "f" and found.ndim == 2 and found.shape[1] > 4 else ""
        raise AnnotationError(f"{where}: should hold points [N, 2], it holds {found.dtype} {list(found.shape)}{hint}")
    points = found[:, :2].astype(np.float64)
    bad = ~(np.abs(points) <= LARGEST).all(axis=1)
    if bad.any():
        raise AnnotationError(f"{where}: point {int(bad.argmax())} is {points[bad.argmax()].tolist()}, not in pixels")
    return points
