"""SyntheticShapes: pictures that code paints, with boxes of exactly the pixels an object covers."""

import hashlib

import numpy as np
import pytest
import torch

from dotally.data import SyntheticShapes
from dotally.data.shapes import RADIUS, SHAPES, SIDE, paint

# of labels and boxes of the first pictures of each split, seed 0; raised deliberately when the painter changes
GOLDEN = {
    "train": "ef4f0e785736a4a6",
    "val": "583aa30743b018f9",
    "test": "3649a42a98753afa",
}


def small(**options: object) -> SyntheticShapes:
    return SyntheticShapes(pictures=40, val_pictures=20, test_pictures=30, **options)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_labels_and_boxes_are_the_golden_ones(split: str) -> None:
    rows = [[record.label, *record.boxes[0]] for record in small().records(split)[:20]]
    assert hashlib.sha256(np.array(rows, dtype="<i4").tobytes()).hexdigest()[:16] == GOLDEN[split]


def test_the_first_picture_looks_as_it_did() -> None:
    picture = paint(0, 2, 0)
    assert picture.image.shape == (SIDE, SIDE, 3)
    # its mean colour, since the last bit of a pixel may depend on the processor
    assert picture.image.mean((0, 1)) == pytest.approx([158.5, 140.3, 163.8], abs=0.5)


@pytest.mark.parametrize("label", range(len(SHAPES)))
def test_boxes_are_tight_around_objects_that_lie_inside(label: int) -> None:
    found = [one for one in (paint(3, 0, index) for index in range(150)) if one.label == label][:8]
    assert len(found) == 8
    for one in found:
        x0, y0, x1, y1 = one.box
        assert 0 <= x0 < x1 < SIDE
        assert 0 <= y0 < y1 < SIDE
        assert max(x1 - x0, y1 - y0) + 1 <= 2 * RADIUS[1] + 1
        assert max(x1 - x0, y1 - y0) + 1 >= RADIUS[0] - 1


def test_a_disc_has_the_box_of_its_circle() -> None:
    for name, inside in SHAPES.items():
        axis = np.linspace(-1.2, 1.2, 97)
        u, v = np.meshgrid(axis, axis)
        covered = inside(u, v)
        radius = np.hypot(u, v)[covered]
        assert radius.max() <= 1 + 1e-9, name
        assert radius.max() > 0.9, name
        if name == "disc":
            assert covered.mean() * 2.4**2 == pytest.approx(np.pi, rel=0.1)


def test_splits_differ_and_depend_on_the_render_seed_alone() -> None:
    shapes = small(seed=5, split_seed=3)
    assert shapes.fingerprint() == small().fingerprint()
    assert shapes.fingerprint() != small(render_seed=1).fingerprint()
    first = [shapes.records(split)[0].picture for split in ("train", "val", "test")]
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[1], first[2])


def test_a_picture_does_not_depend_on_how_many_there_are() -> None:
    assert small().records("train")[7].boxes == SyntheticShapes(pictures=8).records("train")[7].boxes


def test_training_sees_labels_only() -> None:
    shapes = small(batch_size=8)
    shapes.setup()
    for batch in shapes.train_dataloader():
        assert batch["boxes"].shape == (0, 4)
        assert batch["count"].tolist() == [0] * 8
    for batch in (*shapes.val_dataloader(), *shapes.test_dataloader()):
        assert batch["count"].tolist() == [1] * len(batch["name"])
        assert batch["image"].dtype == torch.uint8


def test_it_needs_no_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOTALLY_DATA_ROOT", raising=False)
    assert small().num_classes == 8
    assert small().class_names()[6] == "half disc"


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="every split needs a picture"):
        SyntheticShapes(val_pictures=0)
