"""A pinhole camera above a flat square: metres on the ground to pixels, and back."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Spot = tuple[float, float, float]
"""A point of the world in metres: to the right of the camera, up from the ground, away from the camera."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera that looks straight ahead and down.

    Attributes:
        size: (height, width) of the picture in pixels.
        height: Metres above the ground.
        pitch: Radians below the horizon.
        focal: Focal length in pixels.
    """

    size: tuple[int, int]
    height: float
    pitch: float
    focal: float

    def project(self, right: Floats, up: Floats, away: Floats) -> tuple[Floats, Floats]:
        """Return the pixels ``[N, 2]`` (x, y) of points given in metres, and the pixels per metre ``[N]`` there."""
        sin, cos = math.sin(self.pitch), math.cos(self.pitch)
        scale = self.focal / (cos * away - sin * (up - self.height))
        x = self.size[1] / 2 + scale * right
        y = self.size[0] / 2 - scale * (cos * (up - self.height) + sin * away)
        return np.stack([x, y], axis=-1), scale

    def see(self, spot: Spot) -> tuple[float, float, float]:
        """Return x, y and the pixels per metre of one point: `project` for those who draw things one by one."""
        right, up, away = spot
        sin, cos = math.sin(self.pitch), math.cos(self.pitch)
        # a shadow may fall behind the camera; it is drawn as if it ended just in front
        scale = self.focal / max(cos * away - sin * (up - self.height), 0.3)
        x = self.size[1] / 2 + scale * right
        return x, self.size[0] / 2 - scale * (cos * (up - self.height) + sin * away), scale

    def distance(self, y: Floats, *, up: float = 0.0) -> Floats:
        """Return how far away, in metres, something ``up`` metres above the ground is seen at row ``y``; inf above."""
        sin, cos = math.sin(self.pitch), math.cos(self.pitch)
        down = (y - self.size[0] / 2) / self.focal
        fall = sin + down * cos
        with np.errstate(divide="ignore"):
            ahead = (self.height - up) * (cos - down * sin) / fall
        return np.where(fall > 0, ahead, np.inf)

    def magnify(self, factor: int) -> "Camera":
        """Return the same camera with ``factor`` times the resolution."""
        height, width = self.size
        return replace(self, size=(height * factor, width * factor), focal=self.focal * factor)


def draw_camera(rng: np.random.Generator, *, size: tuple[int, int]) -> Camera:
    """Mount a camera 4-9 m up, looking 14-38 degrees down, with a focal length of 0.85-1.3 picture widths.

    One that looks down steeply hangs high, or its view would be too small for a crowd.
    """
    steepness = rng.random()
    return Camera(
        size=size,
        height=rng.uniform(4.0 + 2.0 * steepness, 9.0),
        pitch=math.radians(14.0 + 24.0 * steepness),
        focal=rng.uniform(0.85, 1.3) * size[1],
    )
