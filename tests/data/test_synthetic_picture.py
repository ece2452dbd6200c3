"""The pictures of the synthetic crowd: heads are where the labels say, and simple statistics do not count them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from dotally.data.synthetic import SyntheticSpec, plan_scene, render
from dotally.data.synthetic.brush import Brush
from dotally.data.synthetic.camera import Camera
from dotally.data.synthetic.dial import Split, stream
from dotally.data.synthetic.light import Light, cast_shadows, draw_light, expose
from dotally.data.synthetic.paving import Ground
from dotally.data.synthetic.people import paint_person
from dotally.data.synthetic.place import paint_place
from dotally.data.synthetic.scene import SIZE, paint

CAMERA = Camera(size=(384, 512), height=6.0, pitch=0.4, focal=500.0)
# mean and standard deviation of red, green and blue of three pictures; versions of Pillow differ by less than 1
GOLDEN_COLOURS: dict[tuple[Split, int], list[float]] = {
    ("train", 0): [156.3, 155.7, 145.2, 41.9, 39.0, 38.8],
    ("val", 1): [157.4, 159.2, 159.0, 24.3, 24.4, 28.3],
    ("test", 5): [143.7, 132.2, 117.6, 47.0, 39.4, 36.4],
}


@pytest.mark.parametrize(("split", "index"), GOLDEN_COLOURS)
def test_pictures_keep_their_colours(split: Split, index: int) -> None:
    pixels = np.asarray(render(plan_scene(split, index)), dtype=np.float64)
    found = [*pixels.mean((0, 1)), *pixels.std((0, 1))]
    assert_allclose(found, GOLDEN_COLOURS[split, index], atol=1.0)


def test_a_picture_is_the_same_every_time() -> None:
    first, second = (np.asarray(render(plan_scene("val", 3))) for _ in range(2))
    assert first.shape == (*SIZE, 3)
    assert (first == second).all()


def test_an_enlarged_picture_shows_the_same() -> None:
    scene = plan_scene("val", 1)
    small, large = (paint(scene, scene.camera.magnify(factor)).reduce(factor) for factor in (2, 4))
    assert_allclose(np.asarray(large).mean((0, 1)), np.asarray(small).mean((0, 1)), atol=2.0)
    assert np.abs(np.asarray(large, dtype=float) - np.asarray(small)).mean() < 12


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spot", [(0.0, 8.0), (-2.0, 14.0), (4.0, 30.0)])
def test_a_dot_is_on_its_head(spot: tuple[float, float], seed: int) -> None:
    image = Image.new("RGB", (512, 384), (1, 254, 1))
    paint_person(Brush(image, CAMERA), *spot, stream(seed), tall=1.7)
    x, y, scale = CAMERA.see((spot[0], 1.7 - 0.125, spot[1]))
    body = (np.asarray(image) != (1, 254, 1)).any(-1)
    rows, columns = body.any(1).nonzero()[0], body[int(y)].nonzero()[0]
    assert rows[0] == pytest.approx(y - 0.125 * scale, abs=1.0)
    assert (columns[0] + columns[-1] + 1) / 2 == pytest.approx(x, abs=0.75)
    assert len(columns) == pytest.approx(2 * 0.125 * scale, abs=1.5)


@pytest.mark.parametrize("radius", [0.05, 0.125, 0.5, 1.3])
def test_a_ball_has_the_place_and_area_of_its_projection(radius: float) -> None:
    image = Image.new("L", (512, 384))
    Brush(image, CAMERA).ball((0.7, 1.5, 9.0), radius, 255)
    x, y, scale = CAMERA.see((0.7, 1.5, 9.0))
    rows, columns = np.asarray(image).nonzero()
    assert_allclose((columns.mean() + 0.5, rows.mean() + 0.5), (x, y), atol=0.55)
    assert len(rows) == pytest.approx(np.pi * (radius * scale) ** 2, rel=0.25, abs=4)


def test_who_stands_in_front_hides_who_is_behind_in_any_order() -> None:
    scene = plan_scene("test", 5)
    backwards = replace(scene, heads=scene.heads.pick(np.arange(len(scene.heads))[::-1]))
    assert paint(scene, scene.camera) == paint(backwards, scene.camera)


def test_shadows_only_darken_and_fall_away_from_the_sun() -> None:
    white = Image.new("RGB", (512, 384), (255, 255, 255))
    light = Light(gain=(1.0, 1.0, 1.0), sun=(1.5, 0.0), shadow=0.5)
    dark = np.asarray(cast_shadows(white, CAMERA, light, [(0.0, 10.0, 1.7, 0.3)]))[..., 0] < 200
    x, _, scale = CAMERA.see((0.0, 0.0, 10.0))
    columns = dark.any(0).nonzero()[0]
    assert columns[0] == pytest.approx(x - 0.23 * scale, abs=2)
    assert columns[-1] == pytest.approx(x + (1.5 * 1.7 + 0.15) * scale, abs=2)


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_exposure_stays_within_its_spread(spread: float) -> None:
    exposures = [draw_light(stream(seed), spread=spread).gain[1] / 1.15 for seed in range(50)]
    assert np.abs(np.log2(exposures)).max() <= spread + np.log2(1.035)


def test_more_light_makes_a_brighter_picture_without_burning_out() -> None:
    grey = Image.new("RGB", (64, 64), (120, 120, 120))
    means = []
    for gain in (0.5, 1.0, 2.0, 4.0):
        light = Light(gain=(gain, gain, gain), sun=(1.0, 0.0), shadow=0.8)
        means.append(np.asarray(expose(grey, light, stream(0))).mean())
    assert means == sorted(means)
    assert means[2] < 230


def test_seams_cover_their_share_of_the_ground_at_any_distance() -> None:
    along = np.linspace(0.0, 100.0, 200_001)[None]
    for grain in (0.01, 0.1, 0.4):
        ground = Ground(u=along, v=along, grain=np.full_like(along, grain))
        assert ground.seams(along, step=1.0, wide=0.06).mean() == pytest.approx(0.06, rel=0.02)


def test_the_houses_stand_where_the_ground_ends() -> None:
    camera = Camera(size=(192, 256), height=6.0, pitch=0.25, focal=230.0)
    pixels = np.asarray(paint_place(camera, stream(3)), dtype=float)
    _, horizon, _ = camera.see((0.0, 0.0, 62.0))
    above, below = pixels[: int(horizon) - 2], pixels[int(horizon) + 20 :]
    assert above.std((0, 1)).mean() > 1.5 * below.std((0, 1)).mean()


@pytest.mark.slow
def test_global_statistics_do_not_count_the_crowd() -> None:
    statistics: dict[Split, list[list[float]]] = {"train": [], "val": [], "test": []}
    counts: dict[Split, list[int]] = {"train": [], "val": [], "test": []}
    for scene in SyntheticSpec().scenes():
        statistics[scene.split].append(_statistics(render(scene)))
        counts[scene.split].append(len(scene.heads.labelled))
    x, y = np.array(statistics["train"]), np.array(counts["train"])
    middle, spread = x.mean(0), x.std(0)
    z = (x - middle) / spread
    weights = np.linalg.solve(z.T @ z + 10 * np.eye(8), z.T @ (y - y.mean()))
    predicted = (np.array(statistics["test"]) - middle) / spread @ weights + y.mean()
    truth = np.array(counts["test"])
    assert np.abs(y.mean() - truth).mean() > 24
    assert np.abs(predicted.clip(0) - truth).mean() > 15


def _statistics(picture: Image.Image) -> list[float]:
    """Mean and deviation of each colour, and the mean change from column to column and from row to row."""
    pixels = np.asarray(picture, dtype=np.float64)
    grey = pixels.mean(-1)
    edges = [np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1)]
    return [*pixels.mean((0, 1)), *pixels.std((0, 1)), *edges]
