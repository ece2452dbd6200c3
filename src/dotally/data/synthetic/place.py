"""The square without its people: light, paving laid on the ground, and houses where the ground ends."""

import colorsys
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dotally.data.synthetic.brush import Brush, Colour, shade
from dotally.data.synthetic.camera import Camera, Floats

@dataclass(frozen=True, kw_only=True)
class Light:
    """The light of one camera's day.

    Attributes:
        gain: What every channel is multiplied with: exposure and tint together.
        sun: Where the shadow of something one metre high ends, in metres to the right and away.
        shadow: Light left in a shadow, 0-1.
    """

    gain: tuple[float, float, float]
    sun: tuple[float, float]
    shadow: float


def draw_light(rng: np.random.Generator, *, spread: float) -> Light:
    """Draw a light whose exposure lies within ``spread`` powers of two of the middle, warm or cold."""
    exposure = 2.0 ** rng.uniform(-spread, spread)
    warmth, green = rng.uniform(-0.12, 0.12), rng.uniform(-0.03, 0.03)
    angle, length = rng.uniform(0.0, 2 * math.pi), rng.uniform(0.3, 1.6)
    return Light(
        gain=(exposure * (1 + warmth), exposure * (1 + green), exposure * (1 - warmth)),
        sun=(length * math.cos(angle), length * math.sin(angle)),
        shadow=rng.uniform(0.5, 0.95),
    )


HORIZON = 62.0


def paint_place(camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Paint the empty square as ``camera`` sees it: paving up to the houses."""
    image = Image.fromarray(_pave(camera, rng))
    _build_houses(Brush(image, camera), rng)
    return image


def _pave(camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lay stones on the ground, so that they shrink with distance as people do."""
    height, width = camera.size
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    away = np.minimum(camera.distance(rows), HORIZON)
    _, scale = camera.project(np.zeros(height), np.zeros(height), away)
    right = (columns - width / 2) / scale[:, None]
    footprint = np.maximum(np.abs(np.gradient(away)), 1 / scale)[:, None]
    turn = rng.uniform(0, math.pi)
    u = math.cos(turn) * right + math.sin(turn) * away[:, None]
    v = math.cos(turn) * away[:, None] - math.sin(turn) * right
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))]
    tone = pattern(u, v, footprint, rng)
    stone = np.array(_stone(rng))
    tone = 1 + tone + _stains(camera, rng)
    return np.clip(stone * tone[:, :, None], 0, 255).astype(np.uint8)


def _stone(rng):
    return tuple(255*c for c in colorsys.hsv_to_rgb(rng.uniform(0.02, 0.16) if rng.random() < 0.75 else rng.uniform(0.5, 0.65), rng.uniform(0.03, 0.25), rng.uniform(0.5, 0.85)))


def _stains(camera, rng):
    coarse = Image.fromarray(rng.normal(0, 0.05, (7, 9)).astype(np.float32))
    return np.asarray(coarse.resize((camera.size[1], camera.size[0]), Image.Resampling.BICUBIC))


def _seam(x, step, width, footprint):
    """Share of a pixel covered by seams of ``width`` every ``step`` metres."""
    gap = np.abs((x / step) % 1.0 - 0.5) * step
    gap = step / 2 - gap
    cover = np.clip((width / 2 + footprint / 2 - gap) / footprint, 0, 1) * np.minimum(1, width / footprint)
    return cover


def _cells(i, j, rng, amount, blur):
    table = rng.normal(0, amount, 1024).astype(np.float32)
    index = (i.astype(np.int64) * 57 + j.astype(np.int64) * 131) & 1023
    return table[index] * blur


def _slabs(u, v, footprint, rng):
    step = rng.uniform(0.8, 2.0)
    seams = np.maximum(_seam(u, step, 0.06, footprint), _seam(v, step, 0.06, footprint))
    return -0.3 * seams + _cells(np.floor(u / step), np.floor(v / step), rng, 0.05, np.clip(step / footprint / 3, 0, 1))


def _bricks(u, v, footprint, rng):
    step = rng.uniform(0.4, 0.8)
    row = np.floor(v / step)
    shifted = u + (row % 2) * step
    seams = np.maximum(_seam(shifted, 2 * step, 0.04, footprint), _seam(v, step, 0.04, footprint))
    return -0.3 * seams + _cells(np.floor(shifted / 2 / step), row, rng, 0.07, np.clip(step / footprint / 3, 0, 1))


def _checks(u, v, footprint, rng):
    step = rng.uniform(1.0, 2.5)
    odd = (np.floor(u / step) + np.floor(v / step)) % 2 - 0.5
    return rng.uniform(0.12, 0.35) * odd * np.clip(step / footprint / 3, 0, 1)


def _bands(u, v, footprint, rng):
    step = rng.uniform(3.0, 6.0)
    return rng.choice([-0.3, 0.25]) * _seam(u, step, rng.uniform(0.4, 1.0), footprint) - 0.25 * np.maximum(_seam(u, 0.75, 0.03, footprint), _seam(v, 0.75, 0.03, footprint))


def _rings(u, v, footprint, rng):
    radius = np.hypot(u - rng.uniform(-3, 3), v - rng.uniform(8, 16))
    return rng.choice([-0.25, 0.2]) * _seam(radius, rng.uniform(2.0, 4.0), rng.uniform(0.3, 0.8), footprint) - 0.2 * _seam(radius, 0.5, 0.03, footprint)


PATTERNS = [_slabs, _bricks, _checks, _bands, _rings]


def _build_houses(brush: Brush, rng: np.random.Generator) -> None:
    """Put a row of houses along the far side of the square."""
    edge = brush.camera.size[1] / 2 / brush.camera.focal * HORIZON * 1.15
    brush.face([(-2*edge, 0.0, HORIZON), (2*edge, 0.0, HORIZON), (2*edge, 60.0, HORIZON), (-2*edge, 60.0, HORIZON)], (196, 214, 232))
    left = -edge
    while left < edge:
        wide = rng.uniform(7.0, 13.0)
        _build_house(brush, left, wide, rng)
        left += wide


def _build_house(brush, left, wide, rng):
    wall = tuple(int(255*c) for c in colorsys.hsv_to_rgb(rng.uniform(0.02, 0.16) if rng.random()<.7 else rng.random(), rng.uniform(0.1, 0.45), rng.uniform(0.6, 0.92)))
    high = rng.uniform(9.0, 17.0)
    def box(x0, x1, y0, y1, colour):
        brush.face([(x0, y0, HORIZON), (x1, y0, HORIZON), (x1, y1, HORIZON), (x0, y1, HORIZON)], colour)
    box(left, left + wide, 0, high, wall)
    box(left, left + wide, high - 0.5, high, shade(wall, 0.75))
    box(left, left + wide, 0, 3.4, shade(wall, 0.8))
    shop = shade(wall, 0.45)
    columns = int(wide // 2.2)
    step = wide / columns
    awning = tuple(int(c) for c in rng.integers(60, 230, 3))
    for k in range(columns):
        x = left + k * step
        box(x + 0.3, x + step - 0.3, 0, 2.6, shop)
        y = 4.2
        while y + 2.2 < high:
            box(x + 0.55, x + step - 0.55, y, y + 1.7, (74, 88, 104))
            y += 3.0
    if rng.random() < 0.6:
        box(left + 0.3, left + wide - 0.3, 2.4, 3.2, awning)
