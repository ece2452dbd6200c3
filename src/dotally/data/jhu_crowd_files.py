"""JHU-CROWD++ (Sindagi, Yasarla, Patel, TPAMI 2020) on disk, and what is known about it."""

from pathlib import Path

import numpy as np

from dotally.data.annotation_file import parse_number
from dotally.data.crowd_dataset import Points, Record
from dotally.data.find import numbered_lines
from dotally.data.published import Inventory, PublishedSet
from dotally.errors import AnnotationError

_PICTURES = {"train": 2272, "val": 500, "test": 1600}


def read_points(record: Record) -> Points:
    """Read the heads of a gt file: lines of ``x y w h o b``, the centre and more; an empty file means nobody.

    Raises:
        AnnotationError: A line is not six numbers; the file and the line are named.
    """
    points = []
    for where, line in numbered_lines(record.annotation):
        fields = line.split()
        if len(fields) != 6:
            hint = "; five make a line of YOLO, a conversion that cannot be used" if len(fields) == 5 else ""
            raise AnnotationError(f"{where}: should be x y w h o b, six numbers, it has {len(fields)}{hint}")
        x, y, *_ = (parse_number(field, where, "each of x y w h o b") for field in fields)
        points.append((x, y))
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _is_it(folder: Path) -> bool:
    return any((folder / split / "gt").is_dir() and (folder / split / "images").is_dir() for split in _PICTURES)


def _take_stock(folder: Path) -> Inventory:
    records: dict[str, list[Record]] = {}
    missing: list[str] = []
    for split in _PICTURES:
        base = folder / split
        pictures = {path.stem: path for path in (base / "images").glob("*.jpg")}
        annotations = {path.stem: path for path in (base / "gt").glob("*.txt")}
        missing += [f"{split}/images/{name}.jpg" for name in sorted(annotations.keys() - pictures.keys())]
        missing += [f"{split}/gt/{name}.txt" for name in sorted(pictures.keys() - annotations.keys())]
        records[split] = [
            Record(name=pictures[name].name, picture=pictures[name], annotation=annotations[name])
            for name in sorted(pictures.keys() & annotations.keys())
        ]
    return Inventory(folder=folder, records=records, missing=missing)


JHU_CROWD = PublishedSet(
    name="JHU-CROWD++",
    what="4372 photographs in all weathers (Sindagi et al., TPAMI 2020): 1,515,005 heads",
    licence="non-commercial, as far as we know",
    source="http://www.crowd-counting.com",
    loader="dotally.data.JHUCrowd",
    tree="""\
jhu_crowd_v2.0/            the folder may have any name
    train/images/0001.jpg ...
    train/gt/0001.txt ...      lines of x y w h o b; empty for a picture of nobody
    train/image_labels.txt
    val/ and test/ likewise""",
    is_it=_is_it,
    take_stock=_take_stock,
    read_points=read_points,
    pictures={"all": 4372, **_PICTURES},
    heads={"all": 1_515_005},
    # the authors' paper was not at hand for the sizes of the splits
    unconfirmed=frozenset(_PICTURES),
    notes=("some pictures show nobody, on purpose; their gt files are empty",),
)
