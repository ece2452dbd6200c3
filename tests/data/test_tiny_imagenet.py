"""Tiny ImageNet in its real layout, and what all localization data modules have in common, shown on it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dotally.data import TinyImageNetLocalization
from dotally.data.sampling import SeededSampler
from dotally.errors import AnnotationError, DataError

WNIDS = ["n02000002", "n01000001", "n03000003"]  # not in order, as in the published wnids.txt


def tree(folder: Path, train: int = 10, val: int = 4) -> Path:
    generator = np.random.default_rng(0)

    def paint(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = generator.integers(2)
        pixels = generator.integers(0, 256, (64, 64) if grey else (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, "JPEG")
        return path.name

    def box() -> str:
        corners = np.sort(generator.integers(0, 64, (2, 2)), axis=0)
        return "\t".join(map(str, corners.ravel()))

    for wnid in WNIDS:
        base = folder / "train" / wnid
        lines = [f"{paint(base / 'images' / f'{wnid}_{n}.JPEG')}\t{box()}\n" for n in range(train)]
        (base / f"{wnid}_boxes.txt").write_text("".join(lines))
    names = [paint(folder / "val" / "images" / f"val_{n}.JPEG") for n in range(val)]
    lines = [f"{name}\t{WNIDS[n % 3]}\t{box()}\n" for n, name in enumerate(names)]
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    (folder / "wnids.txt").write_text("\n".join(WNIDS) + "\n\n")
    words = {"n01000001": "goldfish, Carassius auratus", "n02000002": "entity", "n09999999": "other"}
    (folder / "words.txt").write_text("".join(f"{wnid}\t{name}\n" for wnid, name in words.items()))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    tree(root / "somewhere" / "tiny-imagenet-200")
    return root


def tiny(root: Path, **options: Any) -> TinyImageNetLocalization:
    return TinyImageNetLocalization(**{"data_root": root, "batch_size": 4, "eval_batch_size": 3, **options})


def test_labels_are_places_among_the_sorted_ids(root: Path) -> None:
    data = tiny(root)
    assert data.class_names() == ["goldfish", "entity", "n03000003"]
    assert [record.label for record in data.records("test")] == [1, 0, 2, 1]


def test_every_picture_counts_once(root: Path) -> None:
    data = tiny(root, val_fraction=0.2)
    names = {split: [record.name for record in data.records(split)] for split in data.splits()}
    assert {split: len(of) for split, of in names.items()} == {"train": 24, "val": 6, "test": 4}
    assert len(set().union(*names.values())) == 34
    data.setup()
    assert sum(len(batch["name"]) for batch in data.val_dataloader()) == 6
    assert sum(len(batch["name"]) for batch in data.test_dataloader()) == 4  # a last batch of one is not dropped


def test_boxes_are_for_judging_and_not_for_training(root: Path) -> None:
    data = tiny(root)
    data.setup()
    for batch in data.train_dataloader():
        assert batch["count"].sum() == len(batch["boxes"]) == 0
        assert batch["image"].shape == (4, 3, 64, 64)
    for batch in data.val_dataloader():
        assert batch["count"].tolist() == [1] * len(batch["name"])
    line = (root / "somewhere/tiny-imagenet-200/val/val_annotations.txt").read_text().splitlines()[2]
    assert data.test_set[2].boxes[0].tolist() == [float(field) for field in line.split()[2:]]


def test_a_batch_depends_on_seed_and_epoch_alone(root: Path) -> None:
    def drawn(epoch: int, **options: Any) -> torch.Tensor:
        data = tiny(root, area=(0.5, 1.0), **options)
        data.setup("fit")
        loader = data.train_dataloader()
        assert isinstance(loader.sampler, SeededSampler)
        loader.sampler.set_epoch(epoch)
        return torch.cat([batch["image"] for batch in loader])

    assert torch.equal(drawn(0), drawn(0, keep_in_memory=True))
    assert not torch.equal(drawn(0), drawn(1))
    assert not torch.equal(drawn(0), drawn(0, seed=1))


def test_the_fingerprint_knows_split_and_boxes_but_not_how_they_are_shown(root: Path, tmp_path: Path) -> None:
    first = tiny(root).fingerprint()
    assert tiny(root, framing="crop", side=32, seed=4, batch_size=9).fingerprint() == first
    assert tiny(root, split_seed=1).fingerprint() != first
    copy = tree(tmp_path / "copy")
    assert tiny(copy).fingerprint() == first
    lines = (copy / "val" / "val_annotations.txt").read_text().replace("val_0.JPEG\tn02000002", "val_0.JPEG\tn01000001")
    (copy / "val" / "val_annotations.txt").write_text(lines)
    assert tiny(copy).fingerprint() != first


def test_pictures_can_be_framed_for_larger_networks(root: Path) -> None:
    data = tiny(root, framing="crop", side=224)
    data.setup("test")
    small = tiny(root)
    small.setup("test")
    assert data.test_set[0].size == (224, 224)
    assert torch.equal(data.test_set[0].boxes, small.test_set[0].boxes * 3.5)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        (
            "val/val_annotations.txt",
            "val_9.JPEG\tn01000001\t1\t2\t3",
            r"val_annotations\.txt: line 5: expected 6 fields",
        ),
        ("val/val_annotations.txt", "val_9.JPEG\tn07\t1\t2\t3\t4", r"line 5: the class 'n07' is not in wnids\.txt"),
        ("val/val_annotations.txt", "val_9.JPEG\tn01000001\t1\t2\tx\t4", r"line 5: a corner should be a number"),
        ("val/val_annotations.txt", "val_9.JPEG\tn01000001\t9\t2\t3\t4", r"line 5: the box .* ends before"),
        ("val/val_annotations.txt", "../../a.JPEG\tn01000001\t1\t2\t3\t4", r"line 5: .* is a path that leaves"),
        ("val/val_annotations.txt", "val_9.JPEG\tn01000001\t1\t2\t3\t4", r"1 of 5 pictures are missing.*val_9"),
        ("val/val_annotations.txt", "val_0.JPEG\tn01000001\t1\t2\t3\t4", r"val_0\.JPEG is annotated twice"),
    ],
)
def test_a_broken_list_is_one_clear_line(name: str, line: str, message: str, tmp_path: Path) -> None:
    folder = tree(tmp_path / "tiny")
    with (folder / name).open("a") as file:
        file.write(line + "\n")
    with pytest.raises((AnnotationError, DataError), match=message) as error:
        tiny(folder).records("test")
    assert "\n" not in str(error.value)


def test_half_a_download_is_noticed(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tiny")
    (folder / "train" / WNIDS[0] / f"{WNIDS[0]}_boxes.txt").unlink()
    with pytest.raises(AnnotationError, match=r"n02000002_boxes\.txt: cannot be read"):
        tiny(folder).records("train")
    annotations = folder / "val" / "val_annotations.txt"
    annotations.write_text("\n".join(annotations.read_text().splitlines()[1:]))
    with pytest.raises(DataError, match=r"1 pictures have no box in the lists, the first is val_0\.JPEG"):
        tiny(folder).records("test")


def test_a_missing_set_is_named_with_the_expected_tree(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)Tiny ImageNet was not found in .*wnids\.txt"):
        tiny(tmp_path).setup("test")


@pytest.mark.parametrize("options", [{"framing": "fit"}, {"side": 0}, {"val_fraction": 1.0}, {"area": (2, 3)}])
def test_impossible_options_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        tiny(Path(), **options)


@pytest.mark.real
def test_the_real_pictures(data_root: list[Path]) -> None:
    roots = [root for root in data_root if (root / "tiny-imagenet-39").is_dir()]
    if not roots:
        pytest.skip("no tiny-imagenet-39 below DOTALLY_DATA_ROOT")
    data = tiny(roots[0], eval_batch_size=64)
    data.setup()
    assert (len(data.train_set), len(data.val_set), len(data.test_set)) == (17550, 1950, 1950)
    assert data.num_classes == 39
    assert data.class_names()[0] == "goldfish"
    batch = next(iter(data.test_dataloader()))
    assert batch["image"].shape == (64, 3, 64, 64)
    assert batch["boxes"].shape == (64, 4)
    boxes = np.concatenate([boxes for _, _, boxes in data.test_set.annotations()])
    assert boxes.min() >= 0
    assert boxes.max() <= 63
