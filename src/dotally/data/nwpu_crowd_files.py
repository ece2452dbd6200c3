"""NWPU-Crowd (Wang, Gao, Lin, Li, TPAMI 2020) on disk, its split, and what is known about it."""

from pathlib import Path

import numpy as np

from dotally.data.annotation_file import is_number, shown
from dotally.data.crowd_dataset import Points, Record
from dotally.data.mat_file import read_mat_points
from dotally.data.point_formats.json_file import load_json
from dotally.data.published import Inventory, PublishedSet
from dotally.errors import AnnotationError

LABELLED, PICTURES = 3609, 5109
# train is 1 to 3109 and val 3110 to 3609, but for these two, which changed places: train.txt and val.txt of the set,
# and the evaluation of its localization sample code (gjy3035/NWPU-Crowd-Sample-Code-for-Localization, eval/eval.py)
_TRAIN_END, _INTO_TRAIN, _INTO_VAL = 3109, 3169, 3098


def split_numbers() -> dict[str, list[int]]:
    """Return the numbers of the 3109 "train", 500 "val" and 1500 "test" pictures; those of "test" have no labels."""
    val = {*range(_TRAIN_END + 1, LABELLED + 1), _INTO_VAL} - {_INTO_TRAIN}
    return {
        "train": [number for number in range(1, LABELLED + 1) if number not in val],
        "val": sorted(val),
        "test": list(range(LABELLED + 1, PICTURES + 1)),
    }


def read_points(record: Record) -> Points:
    """Read the heads of a json or mat file, which hold the same; 351 pictures show nobody.

    Raises:
        AnnotationError: Not a readable file, not with points [x, y], or with another number than it says.
    """
    if record.annotation.suffix == ".mat":
        return read_mat_points(record.annotation, "annPoints")
    top, content = load_json(record.annotation)
    number = top.field(content, "human_num", (int, float), "a number")
    points = []
    for place, point in top.entries(content, "points"):
        if not isinstance(point, list) or len(point) != 2 or not all(map(is_number, point)):
            raise AnnotationError(f"{place}: should be a point [x, y] in pixels")
        points.append(point)
    if number != len(points):
        raise AnnotationError(f"{top}: human_num says {shown(number)}, there are {len(points)} points")
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _is_it(folder: Path) -> bool:
    named = any((folder / kind).is_dir() for kind in ("jsons", "mats"))
    return named and (folder / "images").is_dir()


def _take_stock(folder: Path) -> Inventory:
    pictures = {path.stem: path for path in (folder / "images").glob("[0-9][0-9][0-9][0-9].jpg")}
    annotations = {path.stem: path for path in (folder / "mats").glob("[0-9][0-9][0-9][0-9].mat")}
    annotations |= {path.stem: path for path in (folder / "jsons").glob("[0-9][0-9][0-9][0-9].json")}
    records = {
        split: [
            Record(name=pictures[name].name, picture=pictures[name], annotation=annotations[name])
            for name in (f"{number:04}" for number in numbers)
            if name in pictures and name in annotations
        ]
        for split, numbers in split_numbers().items()
    }
    missing = [f"images/{name}.jpg" for name in sorted(annotations.keys() - pictures.keys())]
    missing += [
        f"jsons/{name}.json or mats/{name}.mat"
        for name in sorted(pictures.keys() - annotations.keys())
        if int(name) <= LABELLED
    ]
    return Inventory(folder=folder, records=records, missing=missing)


NWPU_CROWD = PublishedSet(
    name="NWPU-Crowd",
    what="5109 photographs (Wang et al., TPAMI 2020): 2,133,375 heads, those of the 1500 test pictures not public",
    licence="not known to us; ask at its source",
    source="https://www.crowdbenchmark.com",
    loader="dotally.data.NWPUCrowd",
    tree="""\
NWPU-Crowd/                the folder may have any name
    images/0001.jpg ... 5109.jpg        of images_part1 to images_part5 together
    jsons/0001.json ... 3609.json       or mats/0001.mat ... 3609.mat""",
    is_it=_is_it,
    take_stock=_take_stock,
    read_points=read_points,
    pictures={"train": 3109, "val": 500},
    # of val_gt_loc.txt; at most 12,924 in a picture, 35 pictures of nobody. All 5109 hold 2,133,375
    heads={"val": 196_238},
    notes=(
        "the labels of the 1500 test pictures are only on the server, crowdbenchmark.com",
        "picture 3169 belongs to train and 3098 to val",
    ),
)
