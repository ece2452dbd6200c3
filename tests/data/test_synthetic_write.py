"""The synthetic crowd on disk: ShanghaiTech's layout, complete or absent, written once."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from dotally.data import shanghaitech_files
from dotally.data.synthetic import SyntheticSpec, plan_scene, read_manifest, write_synthetic_crowd
from dotally.data.synthetic import write as writing
from dotally.data.synthetic.scene import Scene
from dotally.errors import DataError

SPEC = SyntheticSpec(train=4, val=2, test=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "deep" / "crowd"
    write_synthetic_crowd(folder, SPEC)
    return folder


def test_the_reader_of_shanghaitech_finds_every_picture_with_its_points(folder: Path) -> None:
    part = shanghaitech_files.find_part([folder], "A")
    assert part.release == "part_X"
    assert list(part.pictures("train")) == [1, 2, 3, 4, 5, 6]
    scenes = [plan_scene("train", index) for index in range(4)] + [plan_scene("val", index) for index in range(2)]
    for (picture, annotation), scene in zip(part.pairs("train"), scenes, strict=True):
        assert Image.open(picture).size == (256, 192)
        assert (shanghaitech_files.read_points(annotation) == scene.heads.labelled.points).all()
    assert len(part.pairs("test")) == 3


def test_an_annotation_has_the_structure_of_a_real_one(folder: Path) -> None:
    info = loadmat(folder / "part_A/train_data/ground-truth/GT_IMG_1.mat")["image_info"]
    assert (info.dtype, info.shape) == (object, (1, 1))
    assert info[0, 0].shape == (1, 1)
    assert info[0, 0].dtype.names == ("location", "number")
    location, number = info[0, 0][0, 0]
    assert location.dtype == np.float64
    assert (number.shape, number.dtype, number.item()) == ((1, 1), np.uint16, len(location))


@pytest.mark.real
def test_a_real_annotation_has_that_structure(data_root: list[Path]) -> None:
    part = shanghaitech_files.find_part(data_root, "A")
    info = loadmat(part.annotations("train")[1])["image_info"]
    assert (info.shape, info[0, 0].shape, info[0, 0].dtype.names) == ((1, 1), (1, 1), ("location", "number"))
    location, number = info[0, 0][0, 0]
    assert (location.dtype, number.shape, number.dtype) == (np.float64, (1, 1), np.uint16)


def test_the_manifest_describes_every_picture(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["spec"] == {"generator": writing.GENERATOR, **asdict(SPEC)}
    for entry, scene in zip(manifest["pictures"], SPEC.scenes(), strict=True):
        points = scene.heads.labelled.points
        assert (entry["split"], entry["camera"], entry["count"]) == (scene.split, scene.camera_number, len(points))
        assert entry["points_sha256"] == hashlib.sha256(points.tobytes()).hexdigest()
        assert (folder / entry["folder"] / "images" / entry["name"]).is_file()


def test_heads_are_written_with_their_size_and_place(folder: Path) -> None:
    with np.load(folder / "heads.npz") as heads:
        for number, scene in enumerate(SPEC.scenes()):
            mine, truth = heads["picture"] == number, scene.heads.labelled
            assert (heads["points"][mine] == truth.points).all()
            assert (heads["radius"][mine] == truth.radius).all()
            assert (heads["ground"][mine] == truth.ground).all()


def test_a_second_call_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "render", _fail)
    assert write_synthetic_crowd(folder, SPEC) == read_manifest(folder, SPEC)


def test_another_spec_is_not_mistaken_for_the_one_on_disk(folder: Path) -> None:
    with pytest.raises(DataError, match="another synthetic crowd"):
        write_synthetic_crowd(folder, replace(SPEC, seed=1))


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"train": 5}, {"difficulty": "hard"}, {"annotation_noise": 1.0}, {"annotation_swaps": 0.1}],
)
def test_every_spec_has_a_folder_of_its_own(other: dict[str, object]) -> None:
    assert replace(SPEC, **other).folder_name != SPEC.folder_name
    assert replace(SPEC, annotation_noise=0).folder_name == SPEC.folder_name


@pytest.mark.parametrize("name", ["thesis.tex", "manifest.json"])
@pytest.mark.parametrize("content", ["precious", "[]", '{"version": 3}'])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match="name a folder that does not exist"):
        write_synthetic_crowd(tmp_path, SPEC)
    assert (tmp_path / name).read_text() == content


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    write_synthetic_crowd(tmp_path / "crowd", SyntheticSpec(train=1, val=1, test=1))
    (tmp_path / "empty").mkdir()
    write_synthetic_crowd(tmp_path / "empty", SyntheticSpec(train=1, val=1, test=1))
    assert (tmp_path / "empty" / "manifest.json").read_text() == (tmp_path / "crowd" / "manifest.json").read_text()


def test_nothing_half_written_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = iter([Image.new("RGB", (256, 192))] * 3)
    monkeypatch.setattr(writing, "render", lambda scene: next(pictures, None) or _fail(scene))
    with pytest.raises(KeyboardInterrupt):
        write_synthetic_crowd(tmp_path / "crowd", SPEC)
    assert list(tmp_path.iterdir()) == []


def test_who_comes_second_uses_what_the_first_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = writing.render

    def overtaken(scene: Scene) -> Image.Image:
        monkeypatch.setattr(writing, "render", real)
        write_synthetic_crowd(tmp_path / "crowd", SPEC)
        return real(scene)

    monkeypatch.setattr(writing, "render", overtaken)
    assert len(write_synthetic_crowd(tmp_path / "crowd", SPEC)["pictures"]) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["crowd"]


def test_noisy_labels_keep_the_count_and_leave_val_and_test_clean(folder: Path, tmp_path: Path) -> None:
    noisy = replace(SPEC, annotation_noise=2.0, annotation_swaps=0.1)
    clean_entries = read_manifest(folder, SPEC)["pictures"]
    for clean, entry in zip(clean_entries, write_synthetic_crowd(tmp_path / "noisy", noisy)["pictures"], strict=True):
        assert entry["count"] == clean["count"]
        assert (entry["points_sha256"] != clean["points_sha256"]) == (entry["split"] == "train")
    with np.load(tmp_path / "noisy" / "heads.npz") as heads, np.load(folder / "heads.npz") as truth:
        assert (heads["points"] == truth["points"]).all()


def _fail(_: Scene) -> Image.Image:
    raise KeyboardInterrupt
