"""The square without its people: paving, and houses where the ground ends."""

import colorsys
from itertools import pairwise

import numpy as np
from PIL import Image

from dotally.data.synthetic.brush import Brush, Colour, shade
from dotally.data.synthetic.camera import Camera
from dotally.data.synthetic.paving import pave

SKY: Colour = (196, 214, 232)
WINDOW: Colour = (74, 88, 104)
AWNINGS: list[Colour] = [(178, 62, 54), (58, 108, 92), (62, 92, 148), (222, 190, 120), (232, 226, 212)]

# metres from the camera to the houses
END = 62.0


def paint_place(camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Paint the empty square as ``camera`` sees it."""
    image = pave(camera, rng, end=END)
    brush = Brush(image, camera)
    # a little more than half of the street the camera can see
    edge = 0.6 * END * camera.size[1] / camera.focal
    _paint_wall(brush, -2 * edge, 2 * edge, 0.0, 60.0, SKY)
    left = -edge
    while left < edge:
        wide = rng.uniform(7.0, 13.0)
        _paint_house(brush, left, left + wide, rng)
        left += wide
    return image


def _paint_house(brush: Brush, left: float, right: float, rng: np.random.Generator) -> None:
    hue = rng.uniform(0.02, 0.15) if rng.random() < 0.75 else rng.uniform(0.3, 0.65)
    red, green, blue = colorsys.hsv_to_rgb(hue, rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.92))
    wall = (round(255 * red), round(255 * green), round(255 * blue))
    roof = rng.uniform(9.0, 17.0)
    _paint_wall(brush, left, right, 0.0, roof, wall)
    _paint_wall(brush, left, right, roof - 0.5, roof, shade(wall, 0.75))
    _paint_wall(brush, left, right, 0.0, 3.4, shade(wall, 0.8))
    columns = np.linspace(left, right, int((right - left) / 2.2) + 1).tolist()
    for near, far in pairwise(columns):
        _paint_wall(brush, near + 0.3, far - 0.3, 0.0, 2.6, shade(wall, 0.45))
        for sill in np.arange(4.2, roof - 2.2, 3.0).tolist():
            _paint_wall(brush, near + 0.55, far - 0.55, sill, sill + 1.7, WINDOW)
    if rng.random() < 0.6:
        awning = AWNINGS[int(rng.integers(len(AWNINGS)))]
        _paint_wall(brush, left + 0.3, right - 0.3, 2.4, 3.2, awning)


def _paint_wall(brush: Brush, left: float, right: float, bottom: float, top: float, paint: Colour) -> None:
    brush.face([(left, bottom, END), (right, bottom, END), (right, top, END), (left, top, END)], paint)
