"""The light of a day, the shadows it throws, and what a cheap sensor makes of it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from dotally.data.synthetic.brush import Brush
from dotally.data.synthetic.camera import Camera


@dataclass(frozen=True, kw_only=True)
class Light:
    """The light of one camera's day.

    Attributes:
        gain: What red, green and blue are multiplied with: exposure and tint together.
        sun: Where the shadow of something one metre high ends, in metres to the right and away.
        shadow: Share of the light that is left in a shadow.
    """

    gain: tuple[float, float, float]
    sun: tuple[float, float]
    shadow: float


def draw_light(rng: np.random.Generator, *, spread: float) -> Light:
    """Draw a warm or cold light whose exposure lies within ``spread`` powers of two of the middle."""
    exposure = 1.15 * 2.0 ** rng.uniform(-spread, spread)
    warmth, green = rng.uniform(-0.12, 0.12), rng.uniform(-0.03, 0.03)
    direction, length = rng.uniform(0.0, 2 * math.pi), rng.uniform(0.3, 1.6)
    return Light(
        gain=(exposure * (1 + warmth), exposure * (1 + green), exposure * (1 - warmth)),
        sun=(length * math.cos(direction), length * math.sin(direction)),
        shadow=rng.uniform(0.5, 0.95),
    )


def cast_shadows(
    image: Image.Image, camera: Camera, light: Light, posts: Iterable[tuple[float, float, float, float]]
) -> Image.Image:
    """Return ``image`` darkened by the shadows of ``posts``: (right, away, how tall, how wide) in metres."""
    mask = Image.new("L", image.size, 255)
    brush = Brush(mask, camera)
    for post in posts:
        _cast_shadow(brush, *post, light.sun, round(255 * light.shadow))
    soft = mask.filter(ImageFilter.BoxBlur(image.width / 640))
    return ImageChops.multiply(image, Image.merge("RGB", [soft] * 3))


def _cast_shadow(
    brush: Brush, right: float, away: float, tall: float, wide: float, sun: tuple[float, float], dark: int
) -> None:
    trunk = min(wide, 0.34) / 2
    across, along = sun[1] * trunk / math.hypot(*sun), -sun[0] * trunk / math.hypot(*sun)
    tip_right, tip_away = right + sun[0] * tall, away + sun[1] * tall
    near = [(right + across, 0.0, away + along), (right - across, 0.0, away - along)]
    far = [(tip_right - across, 0.0, tip_away - along), (tip_right + across, 0.0, tip_away + along)]
    brush.face(near + far, dark)
    brush.disc((right, 0.0, away), 1.5 * trunk, dark)
    brush.disc((tip_right, 0.0, tip_away), wide / 2, dark)


def expose(image: Image.Image, light: Light, rng: np.random.Generator) -> Image.Image:
    """Light ``image`` and photograph it: soft, with noise of 1-6 grey levels."""
    soft = image.filter(ImageFilter.BoxBlur(rng.uniform(0.0, 0.6)))
    pixels = np.asarray(soft, dtype=np.float32) * np.array(light.gain, dtype=np.float32)
    # bright parts roll off towards white instead of clipping
    pixels = 280.0 * np.tanh(pixels / 280.0)
    pixels += np.float32(rng.uniform(1.0, 6.0)) * rng.standard_normal(pixels.shape, dtype=np.float32)
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))
