"""Mall (Chen, Loy, Gong, Xiang, BMVC 2012) on disk, and what is known about it."""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from dotally.data.crowd_dataset import Points, Record
from dotally.data.mat_file import as_points, read_mat, unwrapped
from dotally.data.published import Inventory, PublishedSet
from dotally.errors import AnnotationError

FRAMES, TRAIN = 2000, 800
_FRAME = re.compile(r"seq_(\d{6})\.jpg")


def read_points(record: Record) -> Points:
    """Read the heads of frame ``seq_nnnnnn.jpg`` out of ``mall_gt.mat``.

    Raises:
        AnnotationError: Not a readable mat file, without this frame, or with another number of heads than it says.
    """
    frames, counts = _read(record.annotation)
    number = frame_number(record.name)
    if not 1 <= number <= len(frames):
        raise AnnotationError(f"{record.annotation}: holds {len(frames)} frames, none of them {record.name}")
    where = f"{record.annotation}: frame {number}"
    points = as_points(location(frames[number - 1], where), where)
    if len(points) != counts[number - 1]:
        raise AnnotationError(f"{where} has {len(points)} points, count says {counts[number - 1]:g}")
    return points


def frame_number(name: str) -> int:
    """Return the number in the name of a frame, 1 to 2000; 0 if it is none."""
    match = _FRAME.fullmatch(name)
    return int(match[1]) if match else 0


def location(cell: np.ndarray, where: str) -> np.ndarray:
    """Return the first two columns, x and y, of the field ``loc`` of a frame, as Mall and UCSD have it.

    Raises:
        AnnotationError: There is no such field, or not with two columns.
    """
    struct = unwrapped(cell)
    if struct.dtype.names is None or "loc" not in struct.dtype.names or struct.size != 1:
        raise AnnotationError(f"{where} should be a struct with a field loc")
    found = unwrapped(struct["loc"])
    if found.size and found.ndim != 2:
        raise AnnotationError(f"{where}: loc should hold rows of x and y")
    return found[:, :2] if found.size else found


# one file for all frames: it is read once in every worker
@lru_cache(maxsize=2)
def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    found = read_mat(path, "frame", "count")
    frames, counts = found["frame"].ravel(), found["count"].ravel()
    if frames.dtype != object or counts.dtype.kind not in "uif" or len(counts) != len(frames):
        raise AnnotationError(f"{path}: frame and count should hold a cell and a number for each frame")
    return frames, counts


def checksums() -> dict[str, str]:
    """Return the SHA-256 of the annotations, as one public downloader expects it."""
    return {"mall_gt.mat": "aa2fb21370c9c12d279a4bf1835ea51da91adf4c65e86f76a91ca23a2e51583a"}


def _is_it(folder: Path) -> bool:
    return (folder / "mall_gt.mat").is_file()


def _take_stock(folder: Path) -> Inventory:
    there = {frame_number(path.name) for path in (folder / "frames").glob("seq_*.jpg")}
    numbers = {"train": range(1, TRAIN + 1), "test": range(TRAIN + 1, FRAMES + 1)}
    return Inventory(
        folder=folder,
        records={
            split: [
                Record(name=name, picture=folder / "frames" / name, annotation=folder / "mall_gt.mat")
                for number, name in ((number, f"seq_{number:06}.jpg") for number in some)
                if number in there
            ]
            for split, some in numbers.items()
        },
        missing=[f"frames/seq_{n:06}.jpg" for n in range(1, FRAMES + 1) if n not in there],
    )


MALL = PublishedSet(
    name="Mall",
    what="2000 frames of a camera in a shopping mall (Chen et al., BMVC 2012): 62,325 heads",
    licence="research use, as far as we know",
    source="https://personal.ie.cuhk.edu.hk/~ccloy/downloads_mall_dataset.html",
    loader="dotally.data.Mall",
    tree="""\
mall_dataset/              the folder may have any name
    frames/seq_000001.jpg ... seq_002000.jpg
    mall_gt.mat""",
    is_it=_is_it,
    take_stock=_take_stock,
    read_points=read_points,
    pictures={"train": TRAIN, "test": FRAMES - TRAIN},
    heads={"all": 62_325},
    checksums=checksums,
    notes=("the frames are one film of one place: frames side by side look alike",),
)
