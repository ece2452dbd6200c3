"""One picture of the synthetic crowd: first planned, in numbers, then painted."""

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from PIL import Image

from dotally.data.synthetic.brush import Brush
from dotally.data.synthetic.camera import Camera, draw_camera
from dotally.data.synthetic.clutter import THINGS, Painter
from dotally.data.synthetic.dial import CAMERAS, DIALS, SPLITS, Difficulty, Split, stream
from dotally.data.synthetic.heads import Heads, place_anywhere, place_heads
from dotally.data.synthetic.light import Light, cast_shadows, draw_light, expose
from dotally.data.synthetic.people import paint_person
from dotally.data.synthetic.place import paint_place

SIZE = (192, 256)
"""(height, width) of a picture in pixels."""

GOLDEN_RATIO = 0.6180339887498949
# what each stream of random numbers of a camera or a picture is for
PLAN, PAINT, SENSOR, JPEG, NOISE = range(5)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything about a picture but its pixels.

    Attributes:
        split: Part of the data set; no camera belongs to two.
        index: Number of the picture in its split, from 0.
        seed: Seed of the data set.
        difficulty: How hard the data set is.
        camera: Where the camera hangs.
        light: The camera's light.
        heads: Who stands where.
    """

    split: Split
    index: int
    seed: int
    difficulty: Difficulty
    camera: Camera
    light: Light
    heads: Heads

    @property
    def camera_number(self) -> int:
        """Number of the camera in its split; neighbouring pictures come from different cameras."""
        return self.index % CAMERAS[self.split]

    def stream(self, use: int) -> np.random.Generator:
        """Return the random numbers of this picture for one use."""
        return stream(self.seed, SPLITS.index(self.split), self.camera_number, self.index + 1, use)


@dataclass(frozen=True)
class Standing:
    """A person or thing on the square: its place, height and width in metres, and how to paint it."""

    right: float
    away: float
    tall: float
    wide: float
    paint: Painter

    @property
    def post(self) -> tuple[float, float, float, float]:
        """What throws its shadow."""
        return self.right, self.away, self.tall, self.wide


def plan_scene(split: Split, index: int, *, seed: int = 0, difficulty: Difficulty = "default") -> Scene:
    """Decide everything a label says, without drawing: the same numbers with every version of Pillow.

    A picture depends on nothing but its arguments, so a larger data set begins with the smaller one.
    """
    dial, branch, number = DIALS[difficulty], SPLITS.index(split), index % CAMERAS[split]
    mount = stream(seed, branch, number, 0, PLAN)
    camera = draw_camera(mount, size=SIZE)
    light = draw_light(mount, spread=dial.light if split == "train" else dial.unseen_light)
    # multiples of the golden ratio spread evenly, so that even few pictures hold few and many people
    rank = (stream(seed, branch).random() + GOLDEN_RATIO * index) % 1.0
    heads = place_heads(camera, dial, stream(seed, branch, number, index + 1, PLAN), rank=rank)
    return Scene(split=split, index=index, seed=seed, difficulty=difficulty, camera=camera, light=light, heads=heads)


def render(scene: Scene) -> Image.Image:
    """Paint a scene and photograph it: RGB of 256x192 pixels."""
    # drawn at twice the size, because Pillow draws hard edges
    painting = paint(scene, scene.camera.magnify(2))
    return expose(painting.reduce(2), scene.light, scene.stream(SENSOR))


def paint(scene: Scene, camera: Camera) -> Image.Image:
    """Paint a scene at ``camera``'s resolution from far to near, so that who stands in front hides who is behind."""
    rng = scene.stream(PAINT)
    standing = _crowd(scene.heads) + _clutter(scene, rng)
    place = _empty_place(camera, scene.seed, SPLITS.index(scene.split), scene.camera_number, 0, PAINT)
    image = cast_shadows(place, camera, scene.light, [one.post for one in standing])
    brush = Brush(image, camera)
    for one in sorted(standing, key=lambda one: -one.away):
        one.paint(brush, one.right, one.away, rng)
    return image


# 24 cameras watch the training pictures in turn; each keeps its square, half a megabyte
@lru_cache(maxsize=24)
def _empty_place(camera: Camera, seed: int, *key: int) -> Image.Image:
    return paint_place(camera, stream(seed, *key))


def _crowd(heads: Heads) -> list[Standing]:
    people = zip(heads.ground.tolist(), heads.tall.tolist(), strict=True)
    return [Standing(right, away, tall, 0.3, partial(paint_person, tall=tall)) for (right, away), tall in people]


def _clutter(scene: Scene, rng: np.random.Generator) -> list[Standing]:
    dial = DIALS[scene.difficulty]
    fewest, most = dial.clutter
    things = []
    for right, away in place_anywhere(scene.camera, dial, rng, int(rng.integers(fewest, most + 1))).tolist():
        painter, tall, wide = THINGS[int(rng.integers(len(THINGS)))]
        things.append(Standing(right, away, tall, wide, painter))
    return things
