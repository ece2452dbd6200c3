"""ShanghaiTech with careless annotators: only training dots move, counts stay, the noise belongs to the picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dotally.data.noisy_shanghaitech import NoisyShanghaiTech
from dotally.data.shanghaitech import ShanghaiTech

Tree = Callable[..., Path]


@pytest.fixture(scope="module")
def root(shanghaitech_tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release in which a head lies outside its picture."""
    return shanghaitech_tree(tmp_path_factory.mktemp("noisy"), release="final", parts=["B"], train=10)


def noisy(root: Path, **options: Any) -> NoisyShanghaiTech:
    return NoisyShanghaiTech(part="B", data_root=root, **options)


def points(module: ShanghaiTech, split: Any) -> dict[str, np.ndarray]:
    return dict(module.dataset(split).annotations())


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def test_only_training_dots_change(root: Path) -> None:
    clean, careless = ShanghaiTech(part="B", data_root=root), noisy(root, annotation_noise=5.0, annotation_swaps=0.2)
    assert not same(points(clean, "train"), points(careless, "train"))
    for split in ("val", "test"):
        assert same(points(clean, split), points(careless, split))
    assert clean.fingerprint() != careless.fingerprint()


def test_every_picture_keeps_its_count(root: Path) -> None:
    clean = ShanghaiTech(part="B", data_root=root).dataset("train")
    careless = noisy(root, annotation_noise=60.0, annotation_swaps=0.5).dataset("train")
    assert careless.counts() == clean.counts()
    assert careless.dropped() == clean.dropped()
    assert [len(careless.load(index).points) for index in range(len(careless))] == clean.counts()


def test_swaps_forget_and_double_as_many(root: Path) -> None:
    clean, careless = points(noisy(root), "train"), points(noisy(root, annotation_swaps=0.25), "train")
    for name, truth in clean.items():
        heads, times = np.unique(careless[name], axis=0, return_counts=True)
        missing = len(truth) - len(heads)
        assert missing == (times == 2).sum() > 0
        assert {tuple(head) for head in heads} <= {tuple(head) for head in truth}


def test_without_noise_it_is_shanghaitech(root: Path) -> None:
    clean, still = points(ShanghaiTech(part="B", data_root=root), "train"), points(noisy(root), "train")
    assert {name: sorted(map(tuple, dots)) for name, dots in clean.items()} == {
        name: sorted(map(tuple, dots)) for name, dots in still.items()
    }


def test_dots_move_as_far_as_asked(root: Path) -> None:
    clean, careless = points(noisy(root), "train"), points(noisy(root, annotation_noise=2.0), "train")
    moved = np.concatenate([careless[name] - clean[name] for name in clean])
    assert len(moved) > 60
    # heads near the border are reflected, and dots lie on a grid of 1/64
    assert moved.std() == pytest.approx(2.0, rel=0.25)


def test_the_noise_belongs_to_the_picture_and_its_seed(root: Path) -> None:
    first, again = (points(noisy(root, annotation_noise=5.0, seed=seed), "train") for seed in (0, 1))
    assert same(first, again)
    assert not same(first, points(noisy(root, annotation_noise=5.0, noise_seed=1), "train"))


def test_the_noise_is_part_of_the_specification(root: Path) -> None:
    arguments = noisy(root, annotation_noise=5.0).hparams
    assert (arguments["annotation_noise"], arguments["annotation_swaps"], arguments["part"]) == (5.0, 0.0, "B")


@pytest.mark.parametrize("wrong", [{"annotation_noise": -1.0}, {"annotation_noise": float("nan")}])
def test_noise_out_of_range_is_refused(root: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="annotation_noise must be a number of pixels"):
        noisy(root, **wrong)


def test_swaps_out_of_range_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"annotation_swaps must lie within 0 and 0.5, got 0.6"):
        noisy(root, annotation_swaps=0.6)
