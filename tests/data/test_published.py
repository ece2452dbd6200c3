"""What the published data sets have in common: samples, splits of films, names, and readers of broken files."""

import json
import pickle
import runpy
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import dotally.data
from dotally.data import UCFQNRF, UCSDPedestrian, carpk_files, jhu_crowd_files, nwpu_crowd_files
from dotally.data.catalogue import render_catalogue
from dotally.data.crowd_dataset import Points, Record
from dotally.data.nwpu_localization import read_head_predictions
from dotally.data.published import visible_cells
from dotally.data.published_module import carve_block
from dotally.data.published_sets import PUBLISHED_SETS
from dotally.data.verify import VERIFIERS, verify
from dotally.errors import AnnotationError, DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))
NUMBER = st.one_of(st.integers(), st.floats(), st.text(max_size=4), st.booleans(), st.none())


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("seed", range(4))
def test_a_block_is_one_stretch_and_nothing_is_lost(fraction: float, seed: int) -> None:
    items = list(range(40))
    train, val = carve_block(items, fraction, seed)
    assert sorted(train + val) == items
    assert val == list(range(val[0], val[0] + len(val)))
    assert train
    assert len(val) == min(max(1, round(40 * fraction)), 39)


def test_a_cell_is_visible_if_any_of_its_pixels_is() -> None:
    image = torch.zeros(1, 3, 9, 16, dtype=torch.uint8)
    image[0, 2, 8, 3] = 1
    assert visible_cells(image, 8).tolist() == [[[[False, False], [True, False]]]]


def test_samples_can_be_sent_to_workers(tmp_path: Path) -> None:
    FABRICATED["ucf_qnrf_tree"](tmp_path)
    dataset = UCFQNRF(data_root=tmp_path, resize="bl", longest_side=None).dataset("test")
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[0].image, dataset[0].image)


def test_black_pixels_inside_a_region_stay_visible(tmp_path: Path) -> None:
    FABRICATED["ucsd_tree"](tmp_path)
    black = tmp_path / "vidf" / "vidf1_33_000.y" / "vidf1_33_000_f002.png"
    black.unlink()
    Image.new("L", (238, 158)).save(black)
    sample = UCSDPedestrian(data_root=tmp_path).dataset("test")[1]
    assert int(sample.image[:, :, :119].min()) == 1
    assert int(sample.image[:, :, 119:].max()) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heads_turn_with_a_picture_that_lies_on_its_side(tmp_path: Path, orientation: int) -> None:
    base = FABRICATED["ucf_qnrf_tree"](tmp_path, test=1)
    path = base / "Test" / "img_0001.jpg"
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(path, exif=exif, quality=95)
    sample = UCFQNRF(data_root=tmp_path).dataset("test")[0]
    column, row = sample.points.long().T
    assert len(column) == len(FABRICATED["points_of"](1))
    assert int(sample.image[:, row, column].max()) < 80
    turned = any("turned as EXIF asks" in note for note in verify("ucf-qnrf", [base]).notes)
    assert turned == (orientation > 1)


def test_every_set_is_listed_can_be_checked_and_names_a_loader_that_exists(tmp_path: Path) -> None:
    text = render_catalogue(tmp_path)
    for name, published in PUBLISHED_SETS.items():
        assert f"{name}: NOT FOUND" in text
        assert name in VERIFIERS
        assert published.loader.removeprefix("dotally.data.") in dotally.data.__all__
        module = getattr(dotally.data, published.loader.removeprefix("dotally.data."))
        assert module.published is published
        with pytest.raises(DataError, match="was not found"):
            verify(name, [tmp_path])


def test_a_changed_file_is_noted_where_a_copy_is_known(tmp_path: Path) -> None:
    FABRICATED["ucf_cc_50_tree"](tmp_path / "set")
    report = verify("ucf-cc-50", [tmp_path])
    assert "0 of 100 files have the checksums of a copy that circulates" in report.found
    assert any(note.startswith("not as in that copy: 1.jpg, 1_ann.mat") for note in report.notes)
    assert any("published are 63,974" in case for case in report.problems["numbers"])


def test_exchanged_axes_and_pictures_of_no_split_are_noted(tmp_path: Path) -> None:
    base = FABRICATED["ucf_qnrf_tree"](tmp_path)
    assert not any("exchanged" in note or "no split" in note for note in verify("ucf-qnrf", [base]).notes)
    with Image.open(base / "Test" / "img_0001.jpg") as image:
        width, height = image.size
    assert width > height + 4
    points = np.array([[1.5, height + 2.5], [2.5, width - 1.5]])
    FABRICATED["ann_points"](base / "Test" / "img_0001_ann.mat", points)
    (base / "Train" / "img_0002_ann.mat").unlink()
    notes = verify("ucf-qnrf", [base]).notes
    assert "in 1 pictures x and y look exchanged: look at some, with --pictures" in notes
    assert any("1 pictures are in no split" in note and note.endswith("Train/img_0002.jpg") for note in notes)


def parsed(read: Callable[[Record], Points], path: Path) -> None:
    """Read a file of any contents: it is points, or one clear line that names the file."""
    try:
        points = read(Record(name=path.name, picture=path, annotation=path))
    except AnnotationError as error:
        if str(path) not in str(error) or "\n" in str(error):
            raise ValueError(f"not one line on the file: {error}") from error
    else:
        assert points.shape[1:] == (2,)


@pytest.mark.parametrize("read", [jhu_crowd_files.read_points, carpk_files.read_points])
@settings(deadline=None)
@given(content=st.one_of(st.binary(max_size=40), st.text("0123456789 .-enaif\n", max_size=60).map(str.encode)))
def test_any_text_is_points_or_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, read: Callable[[Record], Points], content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.txt"
    path.write_bytes(content)
    parsed(read, path)


@settings(deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=40),
        st.fixed_dictionaries(
            {
                "human_num": NUMBER,
                "points": st.one_of(NUMBER, st.lists(st.one_of(NUMBER, st.lists(NUMBER, max_size=3)))),
            }
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_any_json_is_points_or_one_clear_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_bytes(content)
    parsed(nwpu_crowd_files.read_points, path)


@settings(deadline=None)
@given(content=st.one_of(st.binary(max_size=40), st.text("0123456789 .-enaif\n", max_size=60).map(str.encode)))
def test_any_list_of_heads_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "heads.txt"
    path.write_bytes(content)
    with suppress(AnnotationError):
        assert all(points.shape[1] == 2 for points in read_head_predictions(path).values())
