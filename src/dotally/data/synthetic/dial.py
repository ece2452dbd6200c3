"""How hard the synthetic crowd is, and where its random numbers come from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Difficulty = Literal["easy", "default", "hard"]
Split = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")
CAMERAS: dict[Split, int] = {"train": 24, "val": 6, "test": 12}


@dataclass(frozen=True, kw_only=True)
class Dial:
    """What one degree of difficulty means.

    Attributes:
        far: Distance of the farthest people in metres; it sets how small heads become.
        huddle: Standard deviation of a group in metres; it sets how much people hide each other.
        clutter: Fewest and most distractors in a picture.
        light: Half range of a training camera's exposure, as a power of two.
        unseen_light: The same for the cameras of validation and test.
    """

    far: float
    huddle: float
    clutter: tuple[int, int]
    light: float
    unseen_light: float


DIALS: dict[Difficulty, Dial] = {
    "easy": Dial(far=22.0, huddle=3.2, clutter=(0, 3), light=0.2, unseen_light=0.2),
    "default": Dial(far=45.0, huddle=2.2, clutter=(3, 11), light=0.6, unseen_light=0.6),
    "hard": Dial(far=60.0, huddle=1.5, clutter=(8, 20), light=0.4, unseen_light=1.0),
}


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return the random numbers that belong to ``key``, and to nothing else, under ``seed``.

    The key is a spawn key, not more entropy: entropy is padded with zeros, so (3,) and (3, 0) would coincide.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
