"""Anything at all in place of a published set's annotations: it is read, or refused in one line that names the file."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from dotally.data import (
    CUBLocalization,
    PointFolder,
    carpk_files,
    imagenet,
    mall_files,
    tiny_imagenet,
    trancos_files,
    ucsd_files,
    world_expo_files,
)
from dotally.data.coco_json import read_coco_json
from dotally.data.crowd_dataset import Record
from dotally.data.nwpu_localization import read_head_truth
from dotally.data.point_folder import _listed
from dotally.data.shanghaitech_files import read_points as read_shanghaitech
from dotally.errors import AnnotationError

FUZZ = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBER = itertools.count()
ARRAYS: list[Any] = [
    np.zeros((0, 0)),
    np.ones((3, 2)),
    np.ones((2, 2), dtype=bool),
    np.ones((2, 2, 2)),
    np.array([[np.nan, 1.0]]),
    np.array([[1e300, -np.inf], [1.0, 2.0], [3.0, 1.0]]),
    np.array([[1 + 2j, 1.0]]),
    np.full((1, 2), 255, dtype=np.uint8),
    7.0,
    "text",
]


def _cells(values: list[Any]) -> np.ndarray:
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return cells


FIELDS = st.sampled_from(("loc", "location", "number", "mask", "frame", "boxes"))
MATLAB = st.recursive(
    st.sampled_from(ARRAYS),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(_cells) | st.dictionaries(FIELDS, inner, min_size=1, max_size=3)
    ),
    max_leaves=5,
)


def refused_or_read(read: Callable[[], object], path: Path) -> None:
    said = str(path)
    try:
        read()
    except AnnotationError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said


def _record(path: Path, name: str) -> Record:
    return Record(name=name, picture=path.with_name(name), annotation=path)


MAT_READERS: dict[str, tuple[str, tuple[str, ...], Callable[[Path], object]]] = {
    "shanghaitech": ("GT_IMG_1.mat", ("image_info",), read_shanghaitech),
    "mall": ("mall_gt.mat", ("frame", "count"), lambda path: mall_files.read_points(_record(path, "seq_000001.jpg"))),
    "ucsd": (
        "vidf1_33_000_frame_full.mat",
        ("frame", "fgt"),
        lambda path: ucsd_files.read_points(_record(path, "vidf1_33_000_f001.png")),
    ),
    "ucsd region": (
        "vidf1_33_roi_mainwalkway.mat",
        ("roi",),
        lambda path: ucsd_files.read_region(_record(path, "vidf1_33_000_f001.png")),
    ),
    "trancos region": (
        "image-1-000001mask.mat",
        ("BW",),
        lambda path: trancos_files.read_region(_record(path, "image-1-000001.jpg")),
    ),
    "world-expo": ("104207_1.mat", ("point_position",), lambda p: world_expo_files.read_points(_record(p, "x.jpg"))),
    "world-expo region": (
        "roi.mat",
        ("maskVerticesXCoordinates", "maskVerticesYCoordinates"),
        lambda path: world_expo_files.read_region(_record(path, "104207_1.jpg")),
    ),
}


@FUZZ
@given(values=st.tuples(MATLAB, MATLAB))
@pytest.mark.parametrize("name", list(MAT_READERS))
def test_any_variable_of_matlab_is_read_or_refused(name: str, values: tuple[Any, Any], tmp_path: Path) -> None:
    file, variables, read = MAT_READERS[name]
    folder = tmp_path / str(next(NUMBER))  # readers remember files by their paths
    folder.mkdir()
    savemat(folder / file, dict(zip(variables, values, strict=False)))
    Image.new("L", (4, 3)).save(folder / "104207_1.jpg")
    refused_or_read(lambda: read(folder / file), folder / file)


@FUZZ
@given(place=st.floats(0, 1), damage=st.binary(max_size=12), cut=st.booleans())
def test_damaged_dots_of_trancos_are_read_or_refused(place: float, damage: bytes, cut: bool, tmp_path: Path) -> None:
    path = tmp_path / "image-1-000001dots.png"
    Image.new("RGB", (8, 6), (255, 0, 0)).save(path)
    content = path.read_bytes()
    start = int(place * len(content))
    path.write_bytes(content[:start] + damage + (b"" if cut else content[start + len(damage) :]))
    refused_or_read(lambda: trancos_files.read_points(_record(path, "image-1-000001.jpg")), path)


TEXT = st.one_of(st.binary(max_size=40), st.text("0123456789 .-enaif/\n", max_size=60).map(str.encode))


@FUZZ
@given(content=TEXT)
def test_any_truth_of_heads_is_read_or_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "val_gt_loc.txt"
    path.write_bytes(content)
    refused_or_read(lambda: read_head_truth(path), path)


WORDS = (
    "a.jpg",
    "../a.jpg",
    "\0",
    "n0",
    "n01440764",
    "1",
    "2",
    "-3",
    "nan",
    "1e999",
    "tench,",
    "\t",
    " ",
    "\n",
    "\r\n",
    "\x85",
)
LISTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "tiny imagenet": ("val_annotations.txt", lambda folder: tiny_imagenet._judged(folder, {"n0": 0})),
    "imagenet": ("LOC_synset_mapping.txt", imagenet._listed),
}


@FUZZ
@given(content=TEXT | st.lists(st.sampled_from(WORDS), max_size=12).map(lambda words: " ".join(words).encode()))
@pytest.mark.parametrize("name", list(LISTS))
def test_any_list_of_boxes_or_classes_is_read_or_refused(name: str, content: bytes, tmp_path: Path) -> None:
    file, read = LISTS[name]
    (tmp_path / file).write_bytes(content)
    refused_or_read(lambda: read(tmp_path), tmp_path / file)


LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4) | st.just(10**400)
PART = LEAVES | st.lists(LEAVES, min_size=4, max_size=4) | st.lists(st.lists(LEAVES, max_size=2), max_size=2)


@FUZZ
@given(
    part=PART, key=st.sampled_from(["id", "file_name", "height", "width", "image_id", "category_id", "bbox", "name"])
)
def test_any_part_of_coco_is_read_or_refused(part: Any, key: str, tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 5, "bbox": [1, 2, 10, 20]}],
        "categories": [{"id": 5, "name": "dog"}],
    }
    for entries in content.values():
        entries[0] |= {key: part} if key in entries[0] else {}
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    refused_or_read(lambda: read_coco_json(path), path)


@FUZZ
@given(content=TEXT)
@pytest.mark.parametrize("name", ["images", "image_class_labels", "bounding_boxes", "train_test_split", "classes"])
def test_any_list_of_birds_is_read_or_refused(name: str, content: bytes, tmp_path: Path) -> None:
    lists = {
        "images": "1 one/a.jpg",
        "image_class_labels": "1 1",
        "bounding_boxes": "1 1 2 3 4",
        "train_test_split": "1 0",
        "classes": "1 one",
    }
    base = tmp_path / "CUB_200_2011"
    (base / "images").mkdir(parents=True, exist_ok=True)
    for other, line in lists.items():
        (base / f"{other}.txt").write_bytes(content if other == name else line.encode())
    refused_or_read(lambda: CUBLocalization(data_root=tmp_path).records("test"), base)


@FUZZ
@given(content=TEXT)
@pytest.mark.parametrize("name", ["trancos", "carpk", "own"])
def test_any_list_of_pictures_is_read_or_refused(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / {"trancos": "image_sets/test.txt", "carpk": "ImageSets/test.txt", "own": "train.txt"}[name]
    path.parent.mkdir(exist_ok=True)
    for other in ("training.txt", "validation.txt", "train.txt"):
        (path.parent / other).touch()
    path.write_bytes(content)
    if name == "own":
        Image.new("L", (4, 3)).save(tmp_path / "1.png")
        (tmp_path / "1.csv").write_text("x,y\n1,2\n")
        refused_or_read(lambda: _listed(tmp_path, PointFolder(tmp_path).pictures()), path)
    else:
        take_stock = (trancos_files.TRANCOS_SET if name == "trancos" else carpk_files.CARPK_SET).take_stock
        refused_or_read(lambda: take_stock(tmp_path), path)
