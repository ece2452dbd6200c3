"""MTC: maize tassels, boxes in the second field of a struct."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from dotally.data import MTC
from dotally.data.crowd_dataset import Record
from dotally.data.mtc_files import read_points
from dotally.data.verify import verify
from dotally.errors import AnnotationError, DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return FABRICATED["mtc_tree"](tmp_path)


def test_the_splits_are_the_authors_and_validation_is_one_stretch_in_time(base: Path) -> None:
    data = MTC(data_root=base, val_fraction=0.3)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [7, 3, 3]
    days = [int(record.name[15:17]) for record in data.dataset("val").records]
    assert days == list(range(days[0], days[0] + 3))


def test_the_middle_of_a_box_is_a_tassel_and_a_picture_may_have_none(base: Path) -> None:
    test_set = MTC(data_root=base, resize=None).dataset("test")
    assert test_set.counts()[-1] == 0
    sample = test_set[0]
    assert np.allclose(sample.points, FABRICATED["points_of"](1), atol=1e-4)
    column, row = sample.points.long().T
    assert int(sample.image[:, row, column].max()) < 80


def test_pictures_are_an_eighth_unless_asked_otherwise(base: Path) -> None:
    height, width = FABRICATED["SIZE"]
    assert MTC(data_root=base).dataset("test")[0].size == (height // 8, width // 8)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"filename": "x", "boxes": np.zeros((2, 3))}, r"should hold finite boxes \[N, 4\], it holds float64 \[2, 3\]"),
        ({"filename": "x", "boxes": np.full((1, 4), np.nan)}, "should hold finite boxes"),
        ({"boxes": np.zeros((2, 4))}, "one struct with boxes as its second field"),
        (np.zeros((2, 4)), "one struct with boxes as its second field"),
    ],
)
def test_another_struct_is_refused_with_its_file(base: Path, annotation: Any, message: str) -> None:
    path = next((base / "test" / "labels").iterdir())
    savemat(path, {"annotation": annotation})
    with pytest.raises(AnnotationError, match=rf"{path.name}: .*{message}"):
        MTC(data_root=base).dataset("test").counts()


def test_a_lost_annotation_is_named(base: Path) -> None:
    sorted((base / "test" / "labels").iterdir())[0].unlink()
    with pytest.raises(DataError, match=r"1 files are missing .* the first is test/labels/T0001"):
        MTC(data_root=base).setup("test")


def test_the_check_says_how_many_of_the_published_pictures_are_there(base: Path) -> None:
    report = verify("mtc", [base])
    assert report.problems["numbers"] == [
        "train: 10 pictures, published are 186",
        "test: 3 pictures, published are 175",
    ]
    assert any("13,562" in note and "not confirmed" in note for note in report.notes)


@settings(deadline=None, max_examples=40)
@given(content=st.binary(max_size=60), place=st.integers(0, 400))
def test_any_damage_is_boxes_or_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, place: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.mat"
    savemat(path, {"annotation": {"filename": "x", "boxes": np.ones((2, 4))}}, do_compression=place % 2 == 0)
    sound = path.read_bytes()
    path.write_bytes(sound[:place] + content + sound[place + len(content) :])
    said = str(path)
    try:
        assert read_points(Record(name="fuzz", picture=path, annotation=path)).shape[1:] == (2,)
    except AnnotationError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said
