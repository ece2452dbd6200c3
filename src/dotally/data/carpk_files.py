"""CARPK (Hsieh, Lin, Hsu, ICCV 2017) on disk, and what is known about it."""

from pathlib import Path

import numpy as np

from dotally.data.annotation_file import parse_number
from dotally.data.crowd_dataset import Points, Record
from dotally.data.find import inside, numbered_lines
from dotally.data.published import Inventory, PublishedSet
from dotally.errors import AnnotationError


def read_points(record: Record) -> Points:
    """Read the middles of the cars' boxes: lines of ``xmin ymin xmax ymax class``; an empty file means no car.

    Raises:
        AnnotationError: A line is something else; the file and the line are named.
    """
    points = []
    for where, line in numbered_lines(record.annotation):
        fields = line.split()
        if len(fields) != 5:
            raise AnnotationError(f"{where}: should be xmin ymin xmax ymax class, it has {len(fields)} fields")
        left, top, right, bottom = (parse_number(field, where, "a side of the box") for field in fields[:4])
        if right < left or bottom < top:
            raise AnnotationError(f"{where}: the box ends before it begins: {line.strip()!r}")
        points.append(((left + right) / 2, (top + bottom) / 2))
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _is_it(folder: Path) -> bool:
    lists = all((folder / "ImageSets" / f"{split}.txt").is_file() for split in ("train", "test"))
    return lists and (folder / "Images").is_dir() and (folder / "Annotations").is_dir()


def _take_stock(folder: Path) -> Inventory:
    records: dict[str, list[Record]] = {"train": [], "test": []}
    missing: list[str] = []
    for split, found in records.items():
        for where, line in numbered_lines(folder / "ImageSets" / f"{split}.txt"):
            name = line.strip().removesuffix(".png")
            picture = inside(folder / "Images", f"{name}.png", where)
            annotation = inside(folder / "Annotations", f"{name}.txt", where)
            lost = [str(path.relative_to(folder)) for path in (picture, annotation) if not path.is_file()]
            missing += lost
            if not lost:
                found.append(Record(name=f"{name}.png", picture=picture, annotation=annotation))
    return Inventory(folder=folder, records=records, missing=missing)


CARPK_SET = PublishedSet(
    name="CARPK",
    what="1448 pictures of car parks from a drone (Hsieh et al., ICCV 2017): 89,777 cars as boxes",
    licence="after asking with a form, as far as we know",
    source="https://lafi.github.io/LPN",
    loader="dotally.data.CARPK",
    tree="""\
CARPK_devkit/data/         the folder may have any name
    Images/*.png
    Annotations/*.txt      lines of xmin ymin xmax ymax class
    ImageSets/train.txt  test.txt""",
    is_it=_is_it,
    take_stock=_take_stock,
    read_points=read_points,
    pictures={"all": 1448, "train": 989, "test": 459},
    heads={"all": 89_777},
    unconfirmed=frozenset({"train", "test"}),
    notes=("neighbouring pictures of one flight show the same cars",),
)
