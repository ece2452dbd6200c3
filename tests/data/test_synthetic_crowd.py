"""SyntheticCrowd: the rendered crowd through the loaders of every other counting data set."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from dotally.data.synthetic import plan_scene
from dotally.data.synthetic_crowd import SyntheticCrowd
from dotally.errors import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synthetic") / "crowd"


def _crowd(folder: Path | None, **options: Any) -> SyntheticCrowd:
    return SyntheticCrowd(pictures=5, val_pictures=2, test_pictures=3, folder=folder, **options)


@pytest.fixture
def crowd(folder: Path) -> SyntheticCrowd:
    crowd = _crowd(folder, batch_size=2)
    crowd.prepare_data()
    crowd.setup()
    return crowd


def test_the_cameras_are_the_splits(crowd: SyntheticCrowd) -> None:
    assert [record.name for record in crowd.train_set.records] == [f"IMG_{n}.jpg" for n in range(1, 6)]
    assert [record.name for record in crowd.val_set.records] == ["IMG_6.jpg", "IMG_7.jpg"]
    assert crowd.val_set.counts() == [len(plan_scene("val", index).heads.labelled) for index in range(2)]
    assert crowd.test_set.counts() == [len(plan_scene("test", index).heads.labelled) for index in range(3)]


def test_the_target_of_a_batch_sums_to_its_count(crowd: SyntheticCrowd) -> None:
    for loader in (crowd.train_dataloader(), crowd.val_dataloader(), crowd.test_dataloader()):
        for padded in loader:
            batch = crowd.on_after_batch_transfer(padded, 0)
            assert batch["density"].shape[1:] == (1, 24, 32)
            assert_close(batch["density"].sum((1, 2, 3)), batch["count"].float())


def test_the_same_crowd_has_the_same_fingerprint_wherever_it_lies(crowd: SyntheticCrowd, tmp_path: Path) -> None:
    assert _crowd(tmp_path / "copy").fingerprint() == crowd.fingerprint()
    assert _crowd(tmp_path / "other", render_seed=1).fingerprint() != crowd.fingerprint()


def test_the_training_seed_does_not_touch_the_pictures(crowd: SyntheticCrowd, folder: Path) -> None:
    other = _crowd(folder, seed=9)
    assert other.fingerprint() == crowd.fingerprint()


def test_annotation_noise_leaves_the_counts_alone(crowd: SyntheticCrowd, tmp_path: Path) -> None:
    noisy = _crowd(tmp_path / "noisy", annotation_noise=2.0, annotation_swaps=0.1)
    noisy.setup()
    assert noisy.train_set.counts() == crowd.train_set.counts()
    assert noisy.fingerprint() != crowd.fingerprint()


def test_heads_have_one_width(crowd: SyntheticCrowd) -> None:
    sample = crowd.val_set[0]
    assert not sample.adaptive
    assert (sample.sigma == torch.tensor(4.0)).all()


def test_without_a_folder_it_goes_under_runs_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    crowd = _crowd(None)
    crowd.prepare_data()
    assert crowd.folder == Path("runs", "data", crowd.spec.folder_name)
    assert (tmp_path / crowd.folder / "manifest.json").is_file()


def test_a_folder_with_another_crowd_is_refused(crowd: SyntheticCrowd, folder: Path) -> None:
    with pytest.raises(DataError, match="another synthetic crowd"):
        _crowd(folder, difficulty="hard").prepare_data()
