"""The plan of the synthetic crowd: labels that come from random numbers alone."""

import hashlib

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dotally.data.synthetic import SyntheticSpec, plan_scene, render
from dotally.data.synthetic.camera import Camera, draw_camera
from dotally.data.synthetic.dial import CAMERAS, SPLITS, stream
from dotally.data.synthetic.heads import COUNTS, ELBOW_ROOM, HEAD_RADIUS
from dotally.data.synthetic.scene import SIZE, Scene

# SHA-256 of all 320 label arrays of the default data set; GENERATOR has to be raised when it changes
GOLDEN_POINTS = "80d982f3aa74930acfa5e7e31812611430752bd04f94aef660c6949ea3ec2418"


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return list(SyntheticSpec().scenes())


@pytest.fixture
def camera() -> Camera:
    return draw_camera(stream(7), size=SIZE)


def test_the_default_points_never_change(scenes: list[Scene]) -> None:
    digest = hashlib.sha256()
    for scene in scenes:
        digest.update(scene.heads.labelled.points.astype("<f8").tobytes())
    assert digest.hexdigest() == GOLDEN_POINTS


def test_drawing_leaves_the_points_alone() -> None:
    before = plan_scene("test", 5)
    render(before)
    after = plan_scene("test", 5)
    assert (before.heads.points == after.heads.points).all()


def test_every_label_lies_in_the_picture_on_the_grid_of_a_64th_pixel(scenes: list[Scene]) -> None:
    points = np.concatenate([scene.heads.labelled.points for scene in scenes])
    assert (points >= 0).all()
    assert (points < (SIZE[1], SIZE[0])).all()
    assert (points * 64 % 1 == 0).all()
    assert (points == points.astype(np.float32)).all()


def test_a_label_is_the_projected_middle_of_its_head(scenes: list[Scene]) -> None:
    for scene in scenes[:20]:
        heads = scene.heads
        for place, tall, point, radius in zip(heads.ground, heads.tall, heads.points, heads.radius, strict=True):
            x, y, scale = scene.camera.see((place[0], tall - HEAD_RADIUS, place[1]))
            assert_allclose(point, (x, y), atol=1 / 128)
            assert radius == pytest.approx(HEAD_RADIUS * scale)


def test_counts_spread_evenly_on_a_logarithmic_scale(scenes: list[Scene]) -> None:
    for split in SPLITS:
        counts = np.array([len(scene.heads.labelled) for scene in scenes if scene.split == split])
        assert COUNTS[0] <= counts.min() < 6
        assert 120 < counts.max() <= COUNTS[1]
        assert 33 < counts.mean() < 38
        assert 17 < np.median(counts) < 24


def test_heads_are_as_small_as_in_the_far_half_of_shanghaitech_b(scenes: list[Scene]) -> None:
    radius = np.concatenate([scene.heads.labelled.radius for scene in scenes])
    # the prototype of the benchmark had 0.7, 1.0, 2.1, 3.7 and 5.1 pixels
    assert_allclose(np.quantile(radius, [0.01, 0.1, 0.5, 0.9, 0.99]), [0.7, 1.0, 1.8, 3.5, 5.2], rtol=0.05)


def test_nobody_stands_in_another(scenes: list[Scene]) -> None:
    for scene in scenes[::20]:
        ground = scene.heads.ground
        gaps = np.linalg.norm(ground[:, None] - ground[None], axis=-1) + 9 * np.eye(len(ground))
        assert gaps.min() >= ELBOW_ROOM


def test_no_camera_serves_two_splits(scenes: list[Scene]) -> None:
    cameras = {split: {scene.camera for scene in scenes if scene.split == split} for split in SPLITS}
    assert {split: len(found) for split, found in cameras.items()} == CAMERAS
    assert len(set.union(*cameras.values())) == sum(CAMERAS.values())


def test_cameras_keep_to_their_range(scenes: list[Scene]) -> None:
    for camera in {scene.camera for scene in scenes}:
        assert 4 <= camera.height <= 9
        assert 14 <= np.degrees(camera.pitch) <= 38
        assert 0.85 <= camera.focal / camera.size[1] <= 1.3


def test_a_larger_data_set_begins_with_the_smaller(scenes: list[Scene]) -> None:
    larger = list(SyntheticSpec(train=170).scenes())
    for small, large in zip(scenes[:160], larger[:160], strict=True):
        assert (small.heads.points == large.heads.points).all()


def test_seeds_and_difficulties_give_other_crowds() -> None:
    base = plan_scene("train", 0).heads.points
    for other in (plan_scene("train", 0, seed=1), plan_scene("train", 0, difficulty="hard"), plan_scene("val", 0)):
        assert other.heads.points.shape != base.shape or (other.heads.points != base).any()


def test_difficulty_makes_heads_smaller() -> None:
    small = []
    for difficulty in ("easy", "default", "hard"):
        heads = [plan_scene("train", index, difficulty=difficulty).heads.radius for index in range(48)]
        small.append(np.quantile(np.concatenate(heads), 0.05))
    assert small[0] > 1.2 * small[1] > 1.2 * 1.2 * small[2]


def test_streams_with_different_keys_are_different() -> None:
    first = [stream(0, *key).random() for key in ((), (0,), (0, 0), (3,), (3, 0), (0, 3))]
    assert len(set(first)) == len(first)
    assert stream(1, 3).random() != stream(0, 3).random()


def test_distance_is_the_inverse_of_projection(camera: Camera) -> None:
    away = np.array([5.0, 12.0, 40.0])
    for up in (0.0, 1.5):
        pixels, _ = camera.project(np.zeros(3), np.full(3, up), away)
        assert_allclose(camera.distance(pixels[:, 1], up=up), away)


def test_nothing_of_the_ground_is_seen_above_the_horizon() -> None:
    level = Camera(size=SIZE, height=5.0, pitch=0.0, focal=256.0)
    assert np.isinf(level.distance(np.array([0.0, 50.0, 95.0]))).all()
    assert np.isfinite(level.distance(np.array([97.0, 191.0]))).all()


def test_one_spot_is_seen_where_many_are_projected(camera: Camera) -> None:
    pixels, scale = camera.project(np.array([-2.0]), np.array([1.2]), np.array([9.0]))
    assert_allclose(camera.see((-2.0, 1.2, 9.0)), (*pixels[0], scale[0]))


def test_a_magnified_camera_sees_the_same_larger(camera: Camera) -> None:
    small, large = camera.see((1.0, 1.6, 10.0)), camera.magnify(3).see((1.0, 1.6, 10.0))
    assert_allclose(large, 3 * np.array(small))
