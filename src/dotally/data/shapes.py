"""Painting the synthetic shapes: one object on clutter, and the box of exactly the pixels it covers.

Everything is arithmetic on arrays, so that boxes depend on no version of a drawing library.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dotally.data.synthetic.dial import stream

Floats = NDArray[np.float64]
Inside = Callable[[Floats, Floats], NDArray[np.bool_]]

SIDE = 64
"""Height and width of a picture in pixels."""
RADIUS = (7.0, 19.0)
"""Smallest and largest radius of the circle around an object, in pixels."""

# points per pixel and axis that decide how much of it an object covers
_FINE = 3
# what each stream of random numbers of a picture is for
_OBJECT, _GROUND, _NOISE = range(3)


def _disc(u: Floats, v: Floats) -> NDArray[np.bool_]:
    return u**2 + v**2 <= 1


def _square(u: Floats, v: Floats) -> NDArray[np.bool_]:
    return np.maximum(abs(u), abs(v)) <= math.sqrt(0.5)


def _triangle(u: Floats, v: Floats) -> NDArray[np.bool_]:
    return (v >= -0.5) & (v <= 1 - math.sqrt(3) * abs(u))


def _star(u: Floats, v: Floats) -> NDArray[np.bool_]:
    # folded onto one of ten equal sectors, in which a straight edge leads from a tip to a notch
    sector = 2 * math.pi / 5
    angle = abs((np.arctan2(u, v) + sector / 2) % sector - sector / 2)
    notch = 0.42
    x, y = notch * math.cos(sector / 2), notch * math.sin(sector / 2)
    radius = np.sqrt(u**2 + v**2)
    return (radius * np.cos(angle) - 1) * y - radius * np.sin(angle) * (x - 1) <= 0


def _cross(u: Floats, v: Floats) -> NDArray[np.bool_]:
    long, short = 0.95, 0.3
    a, b = abs(u), abs(v)
    return ((a <= long) & (b <= short)) | ((a <= short) & (b <= long))


def _ring(u: Floats, v: Floats) -> NDArray[np.bool_]:
    square = u**2 + v**2
    return (square <= 1) & (square >= 0.6**2)


def _half_disc(u: Floats, v: Floats) -> NDArray[np.bool_]:
    return (u**2 + v**2 <= 1) & (v >= 0)


def _bars(u: Floats, v: Floats) -> NDArray[np.bool_]:
    place = abs(u)
    return (abs(v) <= 0.7) & ((place <= 0.14) | ((place >= 0.42) & (place <= 0.7)))


SHAPES: dict[str, Inside] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "half disc": _half_disc,
    "bars": _bars,
}
"""Which points of the unit disc belong to an object of each class."""


class Painted(NamedTuple):
    """One picture.

    Attributes:
        image: ``[64, 64, 3]`` uint8, RGB.
        label: Place of the object's class in ``SHAPES``.
        box: (x0, y0, x1, y1), first and last pixel at least half of which the object covers.
    """

    image: NDArray[np.uint8]
    label: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class _Object:
    label: int
    x: float
    y: float
    radius: float
    angle: float


def paint(seed: int, split: int, index: int) -> Painted:
    """Paint one picture, which depends on the arguments alone.

    An object of any class, radius (7 to 19 pixels), place, rotation and colour, sometimes hardly different from what is
    behind it; before a cloudy background in other colours with 2 to 6 pieces of line, which say nothing of the class.

    Args:
        seed: Of the data set.
        split: Number of its part.
        index: Number of the picture in that part, from 0.
    """
    thing = _draw_object(stream(seed, split, index, _OBJECT))
    covered = _coverage(thing)
    ground = _ground(stream(seed, split, index, _GROUND))
    noise = stream(seed, split, index, _NOISE)
    behind = (ground * covered[..., None]).sum((0, 1)) / covered.sum()
    colour = _colour_unlike(behind, noise)
    light = ground + covered[..., None] * (colour - ground)
    light += noise.uniform(0.01, 0.05) * noise.standard_normal(light.shape, dtype=np.float32)
    rows, columns = np.nonzero(covered >= 0.5)
    return Painted(
        image=np.rint(light.clip(0, 1) * 255).astype(np.uint8),
        label=thing.label,
        box=(float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max())),
    )


def _draw_object(rng: np.random.Generator) -> _Object:
    radius = rng.uniform(*RADIUS)
    x, y = rng.uniform(radius + 1, SIDE - 1 - radius, 2)
    return _Object(label=int(rng.integers(len(SHAPES))), x=x, y=y, radius=radius, angle=rng.uniform(0, 2 * math.pi))


def _coverage(thing: _Object) -> Floats:
    """Return ``[64, 64]``, the share of each pixel that the object covers."""
    # only the square around it: that is much faster
    reach = math.ceil(thing.radius) + 1
    left, top = math.floor(thing.x) - reach, math.floor(thing.y) - reach
    side = 2 * reach + 1
    fine = (np.arange(side * _FINE) + 0.5) / _FINE
    x, y = np.meshgrid(fine + left - thing.x, fine + top - thing.y)
    cos, sin = math.cos(thing.angle) / thing.radius, math.sin(thing.angle) / thing.radius
    inside = list(SHAPES.values())[thing.label](x * cos + y * sin, y * cos - x * sin)
    patch = inside.reshape(side, _FINE, side, _FINE).mean((1, 3))
    canvas = np.zeros((SIDE + 2 * side, SIDE + 2 * side))  # the square may stick out of the picture, the object not
    canvas[top + side : top + 2 * side, left + side : left + 2 * side] = patch
    return canvas[side:-side, side:-side]


def _ground(rng: np.random.Generator) -> Floats:
    """Return ``[64, 64, 3]`` clouds of colour with pieces of line before them, in [0, 1]."""
    ground = np.full((SIDE, SIDE, 3), rng.uniform(0.25, 0.75, 3))
    for cells, strength in ((3, 0.1), (7, 0.06), (15, 0.04)):
        spread = _interpolation(cells)
        values = rng.normal(0, strength, (3, cells, cells))
        ground += (spread @ values @ spread.T).transpose(1, 2, 0)
    for _ in range(rng.integers(2, 7)):
        _line(ground, rng)
    return ground.clip(0, 1)


def _interpolation(cells: int) -> Floats:
    """Return ``[64, cells]``, the weights of linear interpolation between that many points."""
    place = np.linspace(0, cells - 1, SIDE)[:, None]
    return np.clip(1 - abs(place - np.arange(cells)), 0, 1)


def _line(ground: Floats, rng: np.random.Generator) -> None:
    """Paint a piece of line over ``ground``, in place."""
    x, y = rng.uniform(0, SIDE, 2)
    length, angle, width = rng.uniform(8, 30), rng.uniform(0, 2 * math.pi), rng.uniform(1, 4)
    right, down = math.cos(angle), math.sin(angle)
    colour = rng.uniform(0, 1, 3)
    columns, rows = (_around(start, start + length * step, width) for start, step in ((x, right), (y, down)))
    u, v = np.arange(SIDE)[None, columns] + 0.5 - x, np.arange(SIDE)[rows, None] + 0.5 - y
    reached = (u * right + v * down).clip(0, length)
    distance = np.sqrt((u - reached * right) ** 2 + (v - reached * down) ** 2)
    share = (width / 2 + 0.5 - distance).clip(0, 1)[..., None]
    ground[rows, columns] += share * (colour - ground[rows, columns])


def _around(start: float, end: float, width: float) -> slice:
    """Return the pixels along one axis that a line from ``start`` to ``end`` can touch."""
    low, high = min(start, end) - width, max(start, end) + width
    return slice(max(0, math.floor(low)), max(0, math.ceil(high)))


def _colour_unlike(behind: Floats, rng: np.random.Generator) -> Floats:
    """Return a colour that differs in some channel from that of what is behind by 0.2 or more."""
    while True:
        colour = rng.uniform(0, 1, 3)
        if abs(colour - behind).max() >= 0.2:
            return colour
