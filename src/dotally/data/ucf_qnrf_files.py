"""UCF-QNRF (Idrees et al., ECCV 2018) on disk, and what is known about it."""

import json
import re
from pathlib import Path

from dotally.data.crowd_dataset import Points, Record
from dotally.data.mat_file import read_mat_points
from dotally.data.published import Inventory, PublishedSet

_FACTS = Path(__file__).parent / "facts"
_PICTURES = {"train": 1201, "test": 334}


def validation_names() -> set[str]:
    """Return the 120 train pictures that Bayesian loss (ICCV 2019) and DM-Count (2020) validate on."""
    return set(json.loads((_FACTS / "ucf_qnrf_val.json").read_text(encoding="utf-8"))["val"])


def read_points(record: Record) -> Points:
    """Read the heads of an ``img_dddd_ann.mat`` file; some lie outside their picture.

    Raises:
        AnnotationError: Not a readable mat file, or not with numbers ``[N, 2]``.
    """
    return read_mat_points(record.annotation, "annPoints")


def _is_it(folder: Path) -> bool:
    return any(next((folder / name).glob("img_*_ann.mat"), None) for name in ("Train", "Test"))


def _take_stock(folder: Path) -> Inventory:
    records: dict[str, list[Record]] = {}
    missing = []
    for split in _PICTURES:
        base = folder / split.capitalize()
        files = {path.name for path in base.iterdir()} if base.is_dir() else set()
        numbers = {match[1] for name in files if (match := re.fullmatch(r"img_(\d{4})(\.jpg|_ann\.mat)", name))}
        records[split] = []
        for number in sorted(numbers):
            picture, annotation = f"img_{number}.jpg", f"img_{number}_ann.mat"
            lost = [f"{base.name}/{name}" for name in (picture, annotation) if name not in files]
            missing += lost
            if not lost:
                records[split].append(Record(name=picture, picture=base / picture, annotation=base / annotation))
    return Inventory(folder=folder, records=records, missing=missing)


UCF_QNRF = PublishedSet(
    name="UCF-QNRF",
    what="1535 photographs from the web (Idrees et al., ECCV 2018): 1,251,642 heads as dots",
    licence="not known to us; ask at its source",
    source="https://www.crcv.ucf.edu/data/ucf-qnrf",
    loader="dotally.data.UCFQNRF",
    tree="""\
UCF-QNRF_ECCV18/           the folder may have any name
    Train/img_0001.jpg  img_0001_ann.mat ... img_1201.jpg  img_1201_ann.mat
    Test/img_0001.jpg  img_0001_ann.mat ... img_0334.jpg  img_0334_ann.mat""",
    is_it=_is_it,
    take_stock=_take_stock,
    read_points=read_points,
    pictures=_PICTURES,
    # crcv.ucf.edu; at most 12,865 heads in a picture
    heads={"all": 1_251_642},
    notes=("codes resize its pictures in different ways, and their results do not compare: name the rule",),
)
