"""Where people stand. Everything a label says is decided here, by random numbers alone, before any drawing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dotally.data.synthetic.camera import Camera, Floats
from dotally.data.synthetic.dial import Dial

HEAD_RADIUS = 0.125
"""Metres from the middle of a head to its outline, the top of a person included."""
COUNTS = (3, 140)
"""Fewest and most heads in a picture."""

GROUPED = 0.65
ELBOW_ROOM = 0.35
# how far outside the picture, in metres, people are still placed: their shoulders and shadows are seen
MARGIN = 0.5
# the last bits of a sine differ between machines; labels must not, so they are kept to 1/64 pixel
GRAIN = 64


@dataclass(frozen=True, kw_only=True)
class Heads:
    """The people of a picture, those just beside it included.

    Attributes:
        ground: ``[P, 2]`` metres, to the right of the camera and away from it.
        tall: ``[P]`` metres.
        points: ``[P, 2]`` (x, y) pixels, the middle of each head, multiples of 1/64.
        radius: ``[P]`` pixels.
        inside: ``[P]`` bool, whether the picture holds the point.
    """

    ground: Floats
    tall: Floats
    points: Floats
    radius: Floats
    inside: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.tall)

    def pick(self, chosen: NDArray[np.generic]) -> "Heads":
        """Return the people at ``chosen``, indices or a mask."""
        return Heads(**{name: values[chosen] for name, values in vars(self).items()})

    @property
    def labelled(self) -> "Heads":
        """The people whose head the picture holds, whether or not somebody stands before it."""
        return self.pick(self.inside)


def place_heads(camera: Camera, dial: Dial, rng: np.random.Generator, *, rank: float) -> Heads:
    """Fill the square before ``camera``: 65 % of the people in 1-5 groups, the others anywhere, none too close.

    ``rank`` in [0, 1) is the picture's place among the log-uniform counts; a view too small for its count
    ends with fewer.
    """
    fewest, most = COUNTS
    wanted = int(fewest * ((most + 1) / fewest) ** rank)
    tries = 12 * wanted + 60
    ground = place_anywhere(camera, dial, rng, tries)
    centres = place_anywhere(camera, dial, rng, int(rng.integers(1, 6)))
    grouped = rng.random(tries) < GROUPED
    around = centres[rng.integers(0, len(centres), tries)] + rng.normal(0.0, dial.huddle, (tries, 2))
    ground[grouped] = around[grouped]
    people = _seen(camera, dial, ground, rng.normal(1.68, 0.10, tries))
    return people.pick(_first(people, wanted))


def on_grid(points: Floats) -> Floats:
    """Round coordinates to the multiples of 1/64 pixel that labels are made of."""
    return np.round(points * GRAIN) / GRAIN


def place_anywhere(camera: Camera, dial: Dial, rng: np.random.Generator, number: int) -> Floats:
    """Draw places ``[number, 2]`` in view, every distance in view equally likely."""
    edges = camera.distance(np.array([camera.size[0], 0.0]), up=1.55)
    nearest, farthest = np.clip(edges, 1.0, dial.far).tolist()
    away = rng.uniform(nearest, farthest, number)
    _, scale = camera.project(np.zeros(number), np.full(number, 1.55), away)
    right = rng.uniform(-1.0, 1.0, number) * (camera.size[1] / 2 / scale + MARGIN)
    return np.stack([right, away], axis=-1)


def _seen(camera: Camera, dial: Dial, ground: Floats, tall: Floats) -> Heads:
    """Project the people and drop those out of range or well beside the picture."""
    near = (ground[:, 1] >= 1.0) & (ground[:, 1] <= dial.far)
    ground, tall = ground[near], tall[near]
    points, scale = camera.project(ground[:, 0], tall - HEAD_RADIUS, ground[:, 1])
    points = on_grid(points)
    height, width = camera.size
    x, y = points[:, 0], points[:, 1]
    visible = (y >= 0) & (y < height)
    beside = np.maximum(-x, x - width) <= MARGIN * scale
    inside = visible & (x >= 0) & (x < width)
    people = Heads(ground=ground, tall=tall, points=points, radius=HEAD_RADIUS * scale, inside=inside)
    return people.pick(visible & beside)


def _first(people: Heads, wanted: int) -> NDArray[np.intp]:
    """Return who may stay, first come first served, until ``wanted`` heads are in the picture."""
    kept: list[int] = []
    for person, place in enumerate(people.ground):
        if wanted == 0:
            break
        gaps = people.ground[kept] - place
        if not kept or np.einsum("ij,ij->i", gaps, gaps).min() >= ELBOW_ROOM**2:
            kept.append(person)
            wanted -= int(people.inside[person])
    return np.array(kept, dtype=np.intp)
