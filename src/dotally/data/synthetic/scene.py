"""One picture of the synthetic crowd: planned by numbers, then painted."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from dotally.data.synthetic.brush import Brush
from dotally.data.synthetic.camera import Camera, draw_camera
from dotally.data.synthetic.clutter import THINGS
from dotally.data.synthetic.dial import CAMERAS, DIALS, SPLITS, Difficulty, Split, stream
from dotally.data.synthetic.heads import Heads, place_anywhere, place_heads
from dotally.data.synthetic.people import paint_person
from dotally.data.synthetic.place import Light, draw_light, paint_place
from dotally.data.synthetic.sensor import expose

SIZE = (192, 256)
"""(height, width) of a picture."""
GOLDEN = 0.6180339887498949

@dataclass(frozen=True, kw_only=True)
class Scene:
    seed: int
    split: Split
    index: int
    camera_number: int
    camera: Camera
    light: Light
    heads: Heads
    difficulty: Difficulty


def plan_scene(split: Split, index: int, *, seed: int = 0, difficulty: Difficulty = "default") -> Scene:
    dial, branch = DIALS[difficulty], SPLITS.index(split)
    number = index % CAMERAS[split]
    mount = stream(seed, branch, number, 0)
    camera = draw_camera(mount, size=SIZE)
    light = draw_light(mount, spread=dial.light if split == "train" else dial.unseen_light)
    rank = (stream(seed, branch).random() + GOLDEN * index) % 1.0
    heads = place_heads(camera, dial, stream(seed, branch, number, index + 1, 0), rank=rank)
    return Scene(seed=seed, split=split, index=index, camera_number=number, camera=camera, light=light, heads=heads, difficulty=difficulty)


@lru_cache(maxsize=48)
def _empty_place(camera: Camera, *key: int) -> Image.Image:
    return paint_place(camera, stream(*key))


def paint(scene: Scene, *, factor: int = 2) -> Image.Image:
    branch = SPLITS.index(scene.split)
    camera = scene.camera.magnify(factor)
    rng = stream(scene.seed, branch, scene.camera_number, scene.index + 1, 1)
    canvas = _empty_place(camera, scene.seed, branch, scene.camera_number, 1).copy()
    dial = DIALS[scene.difficulty]
    spots = place_anywhere(scene.camera, dial, rng, int(rng.integers(dial.clutter[0], dial.clutter[1] + 1)))
    items = [(z, x, *THINGS[int(rng.integers(len(THINGS)))]) for x, z in spots.tolist()]
    people = list(zip(scene.heads.ground.tolist(), scene.heads.tall.tolist()))
    canvas = _cast_shadows(canvas, camera, scene.light, [(x, z, h) for (x, z), h in people] + [(x, z, h) for z, x, _, h in items], factor)
    brush = Brush(canvas, camera)
    todo = [(z, x, None, h) for (x, z), h in people] + items
    for z, x, thing, h in sorted(todo, key=lambda t: -t[0]):
        if thing is None:
            paint_person(brush, x, z, h, rng)
        else:
            thing(brush, x, z, rng)
    return canvas


def _cast_shadows(canvas, camera, light, posts, factor):
    mask = Image.new("L", canvas.size, 255)
    brush = Brush(mask, camera)
    right, away = light.sun
    paint = round(255 * light.shadow)
    for x, z, tall in posts:
        brush.disc((x, 0, z), 0.28, paint)
        length = (right**2 + away**2) ** 0.5
        px, pz = away / length * 0.17, -right / length * 0.17
        tip = (x + right * tall, z + away * tall)
        brush.face([(x + px, 0, z + pz), (tip[0] + px, 0, tip[1] + pz), (tip[0] - px, 0, tip[1] - pz), (x - px, 0, z - pz)], paint)
        brush.disc((tip[0], 0, tip[1]), 0.17, paint)
    mask = mask.filter(ImageFilter.BoxBlur(0.4*factor))
    return ImageChops.multiply(canvas, Image.merge("RGB", [mask] * 3))


def render(scene: Scene) -> Image.Image:
    rng = stream(scene.seed, SPLITS.index(scene.split), scene.camera_number, scene.index + 1, 2)
    return expose(paint(scene), scene.light, 2, rng)
