"""UCF_CC_50 (Idrees et al., CVPR 2013) on disk, its folds, and what is known about it."""

import csv
import re
from pathlib import Path
from typing import Literal

from dotally.data.crowd_dataset import Points, Record
from dotally.data.mat_file import read_mat_points
from dotally.data.published import Inventory, PublishedSet
from dotally.data.sampling import shuffled

Folds = Literal["order", "seed"]
COUNT, FOLDS = 50, 5
_CHECKSUMS = Path(__file__).parent / "facts" / "ucf_cc_50.csv"


def fold_numbers(fold: int, folds: Folds = "order", seed: int = 0) -> list[int]:
    """Return the ten pictures that fold 1 .. 5 tests on, by number.

    No list of folds was published. "order" takes 1-10, 11-20 and so on, the common reading; "seed" draws them at
    random, as the C^3 Framework does, but the same for everyone.

    Raises:
        ValueError: There is no such fold, or no such way to make them.
    """
    if fold not in range(1, FOLDS + 1) or folds not in ("order", "seed"):
        raise ValueError(f"fold must be 1 to {FOLDS} and folds 'order' or 'seed', got {fold} and {folds!r}")
    numbers = list(range(1, COUNT + 1))
    if folds == "seed":
        numbers = shuffled(numbers, seed, "UCF_CC_50")
    size = COUNT // FOLDS
    return sorted(numbers[(fold - 1) * size : fold * size])


def read_points(record: Record) -> Points:
    """Read the heads of an ``n_ann.mat`` file; some lie outside their picture.

    Raises:
        AnnotationError: Not a readable mat file, or not with numbers ``[N, 2]``.
    """
    return read_mat_points(record.annotation, "annPoints")


def checksums() -> dict[str, str]:
    """Return the SHA-256 of the 100 files, as github.com/davideverona/deep-crowd-counting_crowdnet has them."""
    with _CHECKSUMS.open(newline="", encoding="utf-8") as file:
        return {row["file"]: row["sha256"] for row in csv.DictReader(file)}


def _is_it(folder: Path) -> bool:
    return any((folder / f"{number}_ann.mat").is_file() for number in (1, COUNT))


def _take_stock(folder: Path) -> Inventory:
    files = {name for path in folder.iterdir() if re.fullmatch(r"\d+(\.jpg|_ann\.mat)", name := path.name)}
    wanted = [(f"{number}.jpg", f"{number}_ann.mat") for number in range(1, COUNT + 1)]
    return Inventory(
        folder=folder,
        records={
            "all": [
                Record(name=picture, picture=folder / picture, annotation=folder / annotation)
                for picture, annotation in wanted
                if {picture, annotation} <= files
            ]
        },
        missing=[name for pair in wanted for name in pair if name not in files],
    )


UCF_CC_50 = PublishedSet(
    name="UCF_CC_50",
    what="50 grey photographs of dense crowds (Idrees et al., CVPR 2013): 63,974 heads as dots",
    licence="research use",
    source="https://www.crcv.ucf.edu/data/ucf-cc-50",
    size="8.4 MB, as it circulates",
    loader="dotally.data.UCFCC50",
    tree="1.jpg  1_ann.mat  2.jpg  2_ann.mat ... 50.jpg  50_ann.mat      in one folder of any name",
    is_it=_is_it,
    take_stock=_take_stock,
    read_points=read_points,
    pictures={"all": COUNT},
    # counted on the files in circulation, in which 5 heads lie outside their picture; the paper says 94 to 4543 heads
    # a picture and a mean size of 2101 x 2888, the files have 96 to 4633 and no side above 1024
    heads={"all": 63_974},
    checksums=checksums,
    notes=("all pictures are greyscale", "there is no published list of the five folds: name yours with any result"),
)
