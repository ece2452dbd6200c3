"""TRANCOS (Guerrero-Gomez-Olmedo et al., IbPRIA 2015) on disk, and what is known about it."""

from pathlib import Path

import numpy as np

from dotally.data.crowd_dataset import Points, Record
from dotally.data.find import inside, numbered_lines
from dotally.data.mat_file import read_mat
from dotally.data.pictures import open_picture
from dotally.data.published import Inventory, PublishedSet, Region
from dotally.errors import AnnotationError, PictureError

_LISTS = {"train": "training", "val": "validation", "test": "test"}


def read_points(record: Record) -> Points:
    """Read the vehicles of a ``...dots.png``: every pixel with red in it is one, at its middle.

    Raises:
        AnnotationError: The file cannot be read.
    """
    try:
        red = open_picture(record.annotation).image[..., 0]
    except PictureError as error:
        raise AnnotationError(str(error)) from error
    rows, columns = np.nonzero(red)
    return np.stack([columns, rows], axis=1).astype(np.float64) + 0.5


def read_region(record: Record) -> Region:
    """Read the road, ``[H, W]`` bool: the variable ``BW`` of the picture's ``...mask.mat``.

    Raises:
        AnnotationError: Not a readable mat file, or without numbers ``[H, W]``.
    """
    path = record.picture.with_name(f"{record.picture.stem}mask.mat")
    mask = read_mat(path, "BW")["BW"]
    if mask.ndim != 2 or mask.dtype.kind not in "buif":
        raise AnnotationError(f"{path}: BW should hold numbers [H, W], it holds {mask.dtype} {list(mask.shape)}")
    return mask != 0


def _is_it(folder: Path) -> bool:
    return all((folder / "image_sets" / f"{name}.txt").is_file() for name in _LISTS.values())


def _take_stock(folder: Path) -> Inventory:
    records: dict[str, list[Record]] = {}
    missing: list[str] = []
    images = folder / "images"
    for split, list_name in _LISTS.items():
        records[split] = []
        for where, line in numbered_lines(folder / "image_sets" / f"{list_name}.txt"):
            picture = inside(images, line.strip(), where)
            dots, mask = (picture.with_name(f"{picture.stem}{suffix}") for suffix in ("dots.png", "mask.mat"))
            lost = [f"images/{path.name}" for path in (picture, dots, mask) if not path.is_file()]
            missing += lost
            if not lost:
                records[split].append(Record(name=picture.name, picture=picture, annotation=dots))
    return Inventory(folder=folder, records=records, missing=missing)


TRANCOS_SET = PublishedSet(
    name="TRANCOS",
    what="1244 pictures of traffic jams (Guerrero-Gomez-Olmedo et al., IbPRIA 2015): 46,796 vehicles",
    licence="not known to us; ask at its source",
    source="http://agamenon.tsc.uah.es/Personales/rlopez/data/trancos",
    loader="dotally.data.TRANCOS",
    tree="""\
TRANCOS_v3/                the folder may have any name
    images/image-1-000001.jpg  image-1-000001dots.png  image-1-000001mask.mat ...
    image_sets/training.txt  validation.txt  test.txt""",
    is_it=_is_it,
    take_stock=_take_stock,
    read_points=read_points,
    region=read_region,
    pictures={"all": 1244, "train": 403, "val": 420, "test": 421},
    heads={"all": 46_796},
    # the sizes of the splits are hearsay, and of three releases it is not known which the published count describes
    unconfirmed=frozenset({"all", "train", "val", "test"}),
    notes=("there are releases v1 to v3: say which one a result is of", "only vehicles on the masked road count"),
)
