"""Annotation noise moves, forgets and repeats dots, and never changes how many there are."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dotally.data.synthetic import SyntheticSpec, plan_scene
from dotally.data.synthetic.dial import stream
from dotally.data.synthetic.noise import forget_and_repeat, jitter
from dotally.data.synthetic.scene import SIZE
from dotally.data.synthetic.write import annotate


@pytest.mark.parametrize("strength", [0.0, 0.5, 2.0, 4.0, 100.0])
def test_jitter_keeps_every_dot_in_the_picture(strength: float) -> None:
    heads = plan_scene("train", 0).heads.labelled
    moved = jitter(heads.points, heads.radius, strength=strength, size=SIZE, rng=stream(0))
    assert moved.shape == heads.points.shape
    assert (moved >= 0).all()
    assert (moved < (SIZE[1], SIZE[0])).all()
    assert (moved * 64 % 1 == 0).all()


def test_no_jitter_moves_nothing() -> None:
    heads = plan_scene("train", 3).heads.labelled
    moved = jitter(heads.points, heads.radius, strength=0.0, size=SIZE, rng=stream(0))
    assert (moved == heads.points).all()


def test_jitter_is_measured_in_head_diameters() -> None:
    points, radius = np.full((20_000, 2), 500.0), np.repeat([1.0, 3.0], 10_000)
    moved = jitter(points, radius, strength=2.0, size=(1000, 1000), rng=stream(0)) - points
    assert_allclose(moved[:10_000].std(0), 4.0, rtol=0.03)
    assert_allclose(moved[10_000:].std(0), 12.0, rtol=0.03)
    assert_allclose(moved.mean(0), 0.0, atol=0.2)


def test_a_dot_at_the_edge_is_reflected_into_the_picture() -> None:
    points = np.tile([[0.0, 191.0]], (5_000, 1))
    moved = jitter(points, np.ones(5_000), strength=1.0, size=(192, 256), rng=stream(0))
    # the mean of a folded normal distribution
    assert moved[:, 0].mean() == pytest.approx(2.0 * np.sqrt(2 / np.pi), rel=0.05)


@pytest.mark.parametrize("number", [0, 1, 2, 7, 140])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_as_many_heads_are_repeated_as_forgotten(number: int, share: float) -> None:
    dotted = forget_and_repeat(number, share=share, rng=stream(number))
    times = np.bincount(dotted, minlength=number)
    assert len(dotted) == number
    assert (times == 0).sum() == (times == 2).sum() == min(round(share * number), number // 2)
    assert times.max(initial=0) <= 2


@pytest.mark.parametrize("spec", [SyntheticSpec(annotation_noise=2.0), SyntheticSpec(annotation_swaps=0.2)])
def test_only_training_labels_are_noisy_and_none_is_lost(spec: SyntheticSpec) -> None:
    for split in ("val", "test"):
        scene = plan_scene(split, 0)
        assert (annotate(scene, spec) == scene.heads.labelled.points).all()
    scene = plan_scene("train", 0)
    noisy, clean = annotate(scene, spec), scene.heads.labelled.points
    assert noisy.shape == clean.shape
    assert (noisy != clean).any()


def test_noise_is_the_same_every_time() -> None:
    spec, scene = SyntheticSpec(annotation_noise=1.0, annotation_swaps=0.1), plan_scene("train", 8)
    assert (annotate(scene, spec) == annotate(scene, spec)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"annotation_noise": -1.0},
        {"annotation_noise": float("nan")},
        {"annotation_swaps": 0.6},
        {"difficulty": "brutal"},
        {"train": 0},
        {"seed": -1},
    ],
)
def test_a_spec_refuses_what_makes_no_data_set(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SyntheticSpec(**wrong)
