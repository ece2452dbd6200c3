"""Paving laid on the ground in metres, so that stones shrink with distance as people do."""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dotally.data.synthetic.camera import Camera, Floats


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What each pixel shows of the ground, ``[H, W]`` (or broadcast to it) in metres.

    Attributes:
        u: Place along the stones.
        v: Place across the stones.
        grain: Length of ground within one pixel; a pattern finer than it fades, or it would shimmer.
    """

    u: Floats
    v: Floats
    grain: Floats

    def seams(self, along: Floats, *, step: float, wide: float) -> Floats:
        """Return the share of each pixel covered by seams ``wide`` every ``step`` of the coordinate ``along``."""
        gap = step / 2 - np.abs(along / step % 1.0 - 0.5) * step
        covered = np.clip((wide + self.grain) / 2 - gap, 0.0, np.minimum(self.grain, wide))
        return covered / self.grain

    def stones(self, row: Floats, column: Floats, *, step: float, rng: np.random.Generator) -> Floats:
        """Return how much lighter or darker each stone is than the others."""
        tones = rng.normal(0.0, 0.06, 1024)
        number = 57 * np.floor(row).astype(np.int64) + 131 * np.floor(column).astype(np.int64)
        return tones[number & 1023] * self.fade(step)

    def fade(self, step: float) -> Floats:
        """Return 1 where ``step`` is well resolved, falling to 0 where it shrinks below a pixel."""
        return np.clip(step / self.grain / 3, 0.0, 1.0)


Pattern = Callable[[Ground, np.random.Generator], Floats]


def pave(camera: Camera, rng: np.random.Generator, *, end: float) -> Image.Image:
    """Paint the ground before ``camera``, which ends ``end`` metres away."""
    ground = _survey(camera, rng.uniform(0.0, math.pi), end)
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))]
    warm = rng.random() < 0.75
    hue = rng.uniform(0.02, 0.14) if warm else rng.uniform(0.5, 0.65)
    stone = colorsys.hsv_to_rgb(hue, rng.uniform(0.03, 0.25), rng.uniform(0.55, 0.9))
    tone = 255.0 * (1.0 + pattern(ground, rng) + _stains(camera, rng))
    return Image.fromarray(np.clip(tone[..., None] * np.array(stone), 0, 255).astype(np.uint8))


def _survey(camera: Camera, turn: float, end: float) -> Ground:
    height, width = camera.size
    away = np.minimum(camera.distance(np.arange(0.5, height)), end)
    _, scale = camera.project(np.zeros(height), np.zeros(height), away)
    grain = np.maximum(np.abs(np.gradient(away)), 1.0 / scale)
    right = (np.arange(0.5, width) - width / 2) / scale[:, None]
    sin, cos = math.sin(turn), math.cos(turn)
    return Ground(u=cos * right + sin * away[:, None], v=cos * away[:, None] - sin * right, grain=grain[:, None])


def _stains(camera: Camera, rng: np.random.Generator) -> Floats:
    """Return large soft spots, as every old pavement has."""
    spots = Image.fromarray(rng.normal(0.0, 0.05, (7, 9)).astype(np.float32))
    height, width = camera.size
    return np.asarray(spots.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)


def _slabs(ground: Ground, rng: np.random.Generator) -> Floats:
    step = rng.uniform(0.8, 2.0)
    seams = np.maximum(ground.seams(ground.u, step=step, wide=0.06), ground.seams(ground.v, step=step, wide=0.06))
    return ground.stones(ground.u / step, ground.v / step, step=step, rng=rng) - 0.3 * seams


def _bricks(ground: Ground, rng: np.random.Generator) -> Floats:
    step = rng.uniform(0.4, 0.8)
    row = np.floor(ground.v / step)
    u = ground.u + row % 2 * step
    seams = np.maximum(ground.seams(u, step=2 * step, wide=0.04), ground.seams(ground.v, step=step, wide=0.04))
    return ground.stones(row, u / (2 * step), step=step, rng=rng) - 0.3 * seams


def _checks(ground: Ground, rng: np.random.Generator) -> Floats:
    step = rng.uniform(1.0, 2.5)
    odd = (np.floor(ground.u / step) + np.floor(ground.v / step)) % 2 - 0.5
    return rng.uniform(0.12, 0.35) * odd * ground.fade(step)


def _bands(ground: Ground, rng: np.random.Generator) -> Floats:
    bands = ground.seams(ground.u, step=rng.uniform(3.0, 6.0), wide=rng.uniform(0.4, 1.0))
    joints = np.maximum(ground.seams(ground.u, step=0.75, wide=0.03), ground.seams(ground.v, step=0.75, wide=0.03))
    return rng.choice([-0.3, 0.25]) * bands - 0.25 * joints


def _rings(ground: Ground, rng: np.random.Generator) -> Floats:
    radius = np.hypot(ground.u - rng.uniform(-3.0, 3.0), ground.v - rng.uniform(8.0, 16.0))
    rings = ground.seams(radius, step=rng.uniform(2.0, 4.0), wide=rng.uniform(0.3, 0.8))
    return rng.choice([-0.25, 0.2]) * rings - 0.2 * ground.seams(radius, step=0.5, wide=0.03)


PATTERNS: list[Pattern] = [_slabs, _bricks, _checks, _bands, _rings]
