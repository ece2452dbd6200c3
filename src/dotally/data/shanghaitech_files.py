"""ShanghaiTech (Zhang et al., CVPR 2016) on disk: finding its parts, pairing and reading its files, known facts."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from dotally.data.find import subfolders
from dotally.data.mat_file import as_points, load_mat, unwrapped
from dotally.errors import AnnotationError, DataError

Part = Literal["A", "B"]
Split = Literal["train", "test"]
PARTS: tuple[Part, ...] = ("A", "B")
Release = Literal["part_X", "part_X_final"]

SOURCE = "github.com/desenzhou/ShanghaiTechDataset"
TREE = """\
part_A/                    or part_A_final/, the authors' older release; part_B alike
    train_data/
        images/IMG_1.jpg ...
        ground-truth/GT_IMG_1.mat ...       in the older release ground_truth/
    test_data/
        images/ and ground-truth/, as above"""

# train picture of part A: the test picture that shows the same scene. 121 is 98 pixel by pixel, 154 is 181 at
# another resolution; found by perceptual hash over all 482 pictures and confirmed by eye. Part B has none.
LEAKS = {2: 173, 60: 40, 97: 142, 121: 98, 139: 82, 154: 181}

_FACTS = Path(__file__).parent / "facts"


@dataclass(frozen=True, kw_only=True)
class PartFolder:
    """One part of the set, as found on disk.

    Attributes:
        part: "A" or "B".
        folder: Holds ``train_data`` and ``test_data``.
        release: By the folder's name. "part_X_final" has 402 (A) and 216 (B) more heads, all outside the pictures.
    """

    part: Part
    folder: Path
    release: Release

    def pictures(self, split: Split) -> dict[int, Path]:
        """Return the ``IMG_n.jpg`` files by their number, in its order."""
        return _numbered(self.folder / f"{split}_data" / "images", r"IMG_([1-9]\d*)\.jpe?g")

    def annotations(self, split: Split) -> dict[int, Path]:
        """Return the ``GT_IMG_n.mat`` files by their number, in its order."""
        # converted density maps often lie in a ground_truth beside ground-truth: the one with mat files counts
        for name in ("ground-truth", "ground_truth"):
            found = _numbered(self.folder / f"{split}_data" / name, r"GT_IMG_([1-9]\d*)\.mat")
            if found:
                return found
        return {}

    def pairs(self, split: Split) -> list[tuple[Path, Path]]:
        """Return (picture, annotation) of every picture, by number.

        Raises:
            DataError: There are none, or some lack their partner, as in half a download.
        """
        pictures, annotations = self.pictures(split), self.annotations(split)
        where = self.folder / f"{split}_data"
        if not pictures:
            raise DataError(f"{where}: no images/IMG_*.jpg here; expected\n{TREE}")
        for have, lack, name in ((pictures, annotations, "GT_IMG_{}.mat"), (annotations, pictures, "IMG_{}.jpg")):
            alone = [number for number in have if number not in lack]
            if alone:
                raise DataError(
                    f"{where}: {len(alone)} of {len(have)} files have no partner, the first misses "
                    f"{name.format(alone[0])}; unpack the archive again, `dotally data verify` lists what is missing"
                )
        return [(pictures[number], annotations[number]) for number in pictures]


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """What is known about one picture of the ``part_X`` release, whose points all lie inside.

    Attributes:
        size: (height, width) in pixels.
        mode: Pillow's name of its pixel format, "RGB" or "L".
        points: Annotated heads.
        picture_sha256: Of the jpg file.
        annotation_sha256: Of the mat file.
    """

    size: tuple[int, int]
    mode: str
    points: int
    picture_sha256: str
    annotation_sha256: str


def find_part(roots: Sequence[Path], part: Part, *, depth: int = 1) -> PartFolder:
    """Find part A or B in any spelling of either release.

    Looked at are every root and the folders in it down to ``depth`` levels; the root may also be the part itself.
    Where both releases lie side by side, ``part_X`` is taken.

    Raises:
        DataError: It is in none of them; the message has the places, the expected tree and the source.
    """
    looked_at = []
    for root in roots:
        for folder in _folders(root, depth):
            looked_at.append(str(folder))
            for candidate in (folder, *subfolders(folder)):
                release = _release(candidate, part)
                if release:
                    return PartFolder(part=part, folder=candidate, release=release)
    shown = looked_at[:8] + ([f"and {len(looked_at) - 8} more"] if len(looked_at) > 8 else [])
    raise DataError(
        f"ShanghaiTech part {part} was not found; looked in {', '.join(shown) or 'no folder at all'}.\n"
        f"Expected in one of these folders:\n{TREE}\n"
        f"Get it from {SOURCE}, then run `dotally data add shanghaitech ARCHIVE_OR_FOLDER`"
    )


def find_parts(roots: Sequence[Path], *, depth: int = 1) -> list[PartFolder]:
    """Find whichever of the two parts are there; see :func:`find_part`.

    Raises:
        DataError: Neither is.
    """
    found: list[PartFolder] = []
    absent: list[DataError] = []
    for part in PARTS:
        try:
            found.append(find_part(roots, part, depth=depth))
        except DataError as error:
            absent.append(error)
    if not found:
        raise absent[0]
    return found


def read_points(path: Path) -> np.ndarray:
    """Read the heads of a ``GT_IMG_n.mat`` file.

    Returns:
        ``[N, 2]`` float64, (x, y) in pixels; those of the older release may lie outside the picture.

    Raises:
        AnnotationError: Not a readable mat file, or not with the fields, shapes and values it should have.
    """
    info = unwrapped(load_mat(path, ["image_info"]).get("image_info"))
    if info.dtype.names is None or "location" not in info.dtype.names or info.size != 1:
        raise AnnotationError(f"{path}: no image_info with a field location; is it a file of ShanghaiTech?")
    points = as_points(unwrapped(info["location"]), f"{path}: location")
    if "number" in info.dtype.names:
        number = unwrapped(info["number"])
        if number.size != 1 or number.item() != len(points):
            raise AnnotationError(f"{path}: number says {number.tolist()} heads, location has {len(points)}")
    return points


def official_split(part: Part) -> tuple[list[int], list[int]]:
    """Return the numbers of the train pictures that CSRNet's published lists train on, and those held out.

    240 and 59 of part A (IMG_280 is in neither list), 320 and 80 of part B; the held-out ones in the lists' order.
    """
    lists = json.loads((_FACTS / "shanghaitech_splits.json").read_text(encoding="utf-8"))[part]
    out = {*lists["val"], *lists["absent"]}
    return [number for number in known_facts()[part]["train"] if number not in out], lists["val"]


@cache
def known_facts() -> dict[Part, dict[Split, dict[int, PictureFacts]]]:
    """Return what is known about each of the 1198 pictures: ``known_facts()["A"]["train"][1]``."""
    facts: dict[Part, dict[Split, dict[int, PictureFacts]]] = {
        "A": {"train": {}, "test": {}},
        "B": {"train": {}, "test": {}},
    }
    with (_FACTS / "shanghaitech.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            part: Part = "A" if row["part"] == "A" else "B"
            split: Split = "train" if row["split"] == "train" else "test"
            facts[part][split][int(row["index"])] = _facts(row)
    return facts


def _facts(row: dict[str, str]) -> PictureFacts:
    return PictureFacts(
        size=(int(row["height"]), int(row["width"])),
        mode=row["mode"],
        points=int(row["points"]),
        picture_sha256=row["sha256_jpg"],
        annotation_sha256=row["sha256_mat"],
    )


def _folders(root: Path, depth: int) -> Iterator[Path]:
    yield root
    if depth > 0:
        for folder in subfolders(root):
            yield from _folders(folder, depth - 1)


def _release(folder: Path, part: Part) -> Release | None:
    if not ((folder / "train_data").is_dir() or (folder / "test_data").is_dir()):
        return None
    names: dict[str, Release] = {f"part_{part}".lower(): "part_X", f"part_{part}_final".lower(): "part_X_final"}
    return names.get(folder.name.lower())


def _numbered(folder: Path, pattern: str) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    matches = ((re.fullmatch(pattern, path.name, re.IGNORECASE), path) for path in folder.iterdir())
    return dict(sorted((int(match[1]), path) for match, path in matches if match))
