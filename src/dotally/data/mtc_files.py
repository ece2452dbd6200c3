"""MTC, maize tassels (Lu et al., Plant Methods 2017) on disk, and what is known about it.

The layout, the lists and the place of the boxes in a mat file are those of the authors' own loader,
github.com/poppinace/tasselnetv2plus (``hldataset.py`` and ``data/maize_counting_dataset``). The names of the fields are
not known, so the boxes are taken by their place, as there.
"""

from pathlib import Path

import numpy as np

from dotally.data.crowd_dataset import Points, Record
from dotally.data.mat_file import read_mat, unwrapped
from dotally.data.pictures import natural_key
from dotally.data.published import Inventory, PublishedSet
from dotally.errors import AnnotationError

_SPLITS = {"train": "trainval", "test": "test"}


def read_points(record: Record) -> Points:
    """Read the middles of the boxes (x, y, width, height) in the second field of the struct ``annotation``.

    Raises:
        AnnotationError: Not a readable mat file, without such a struct, or its second field holds no boxes.
    """
    struct = read_mat(record.annotation, "annotation")["annotation"]
    fields = struct.dtype.names or ()
    if len(fields) < 2 or struct.size != 1:
        raise AnnotationError(f"{record.annotation}: annotation should be one struct with boxes as its second field")
    boxes = unwrapped(struct[fields[1]])
    if boxes.size == 0:
        return np.zeros((0, 2))
    if boxes.dtype.kind not in "uif" or boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise AnnotationError(
            f"{record.annotation}: the second field of annotation should hold finite boxes [N, 4], it holds "
            f"{boxes.dtype} {list(boxes.shape)}"
        )
    boxes = boxes.astype(np.float64)
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2


def _is_it(folder: Path) -> bool:
    return all((folder / split / kind).is_dir() for split in _SPLITS.values() for kind in ("images", "labels"))


def _take_stock(folder: Path) -> Inventory:
    records: dict[str, list[Record]] = {}
    missing: list[str] = []
    for split, place in _SPLITS.items():
        records[split] = []
        pictures = (path for path in (folder / place / "images").iterdir() if path.suffix.lower() == ".jpg")
        for picture in sorted(pictures, key=natural_key):
            annotation = folder / place / "labels" / f"{picture.stem}.mat"
            if annotation.is_file():
                records[split].append(Record(name=picture.name, picture=picture, annotation=annotation))
            else:
                missing.append(str(annotation.relative_to(folder)))
    return Inventory(folder=folder, records=records, missing=missing)


MTC_SET = PublishedSet(
    name="MTC",
    what="361 pictures of maize fields (Lu et al., Plant Methods 2017): tassels, as boxes with TasselNetV2+",
    licence="academic use only, as its successor MTDC says",
    source="https://github.com/poppinace/tasselnetv2plus, link 'Maize Tassels Counting'",
    loader="dotally.data.MTC",
    tree="""\
maize_counting_dataset/    the folder may have any name
    trainval/images/T0001_XM_20110809100243_02.jpg ...    labels/T0001_XM_20110809100243_02.mat ...
    test/images/...        labels/...""",
    is_it=_is_it,
    take_stock=_take_stock,
    read_points=read_points,
    pictures={"all": 361, "train": 186, "test": 175},
    heads={"all": 13_562},
    # printed for the boxes of MTDC, which are made on the same pictures
    unconfirmed=frozenset({"all"}),
    notes=(
        "the first release (github.com/poppinace/mtc, dots) has another layout, which is not known to us: read it by "
        "PointFolder, which takes .mat files with one array of N x 2",
        "no copy was at hand: the reader follows the authors' loader",
    ),
    size="1.8 GB as an archive",
)
