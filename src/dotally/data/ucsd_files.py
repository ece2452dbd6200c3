"""UCSD pedestrians (Chan, Liang, Vasconcelos, CVPR 2008) on disk, and what is known about it."""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from dotally.data.crowd_dataset import Points, Record
from dotally.data.mall_files import location
from dotally.data.mat_file import as_points, read_mat, unwrapped
from dotally.data.published import Inventory, PublishedSet, Region
from dotally.errors import AnnotationError

CLIPS, FRAMES_A_CLIP = 10, 200
# CSRNet, CVPR 2018: frames 601 to 1400 train, the other 1200 test
TRAIN = range(601, 1401)
# (height, width): CSRNet enlarges the frames of 158 x 238 by four
UPSCALED = (632, 952)
_FRAME = re.compile(r"vidf1_33_(\d{3})_f(\d{3})\.png")
_FILMS = ("vidf", "ucsdpeds/vidf", "video/vidf")


def frame_name(number: int) -> str:
    """Return the file name of frame 1 .. 2000 of the ten clips in a row."""
    clip, frame = divmod(number - 1, FRAMES_A_CLIP)
    return f"vidf1_33_{clip:03}_f{frame + 1:03}.png"


def read_points(record: Record) -> Points:
    """Read the people of a frame out of its clip's ``vidf1_33_0cc_frame_full.mat``, those off the walkway too.

    Raises:
        AnnotationError: Not a readable mat file, or without this frame.
    """
    match = _FRAME.fullmatch(record.name)
    frames = _read(record.annotation)
    if match is None or not 1 <= int(match[2]) <= len(frames):
        raise AnnotationError(f"{record.annotation}: holds {len(frames)} frames, none of them {record.name}")
    where = f"{record.annotation}: frame {int(match[2])}"
    return as_points(location(frames[int(match[2]) - 1], where), where)


def read_region(record: Record) -> Region:
    """Read the walkway, ``[158, 238]`` bool: one for all frames.

    Raises:
        AnnotationError: Not a readable mat file, or without the mask.
    """
    return _read_mask(record.annotation.with_name("vidf1_33_roi_mainwalkway.mat"))


@lru_cache(maxsize=CLIPS)
def _read(path: Path) -> np.ndarray:
    frames = _frames(path)
    if frames.dtype != object and frames.dtype.names is None:
        raise AnnotationError(f"{path}: frame should hold a struct for each frame")
    return frames.ravel()


def _frames(path: Path) -> np.ndarray:
    """Read the frames, which one release of the files keeps in a struct of another name."""
    try:
        return read_mat(path, "frame")["frame"]
    except AnnotationError:
        nested = read_mat(path, "fgt")["fgt"]
    if nested.dtype.names is None or "frame" not in nested.dtype.names:
        raise AnnotationError(f"{path}: fgt should be a struct with a field frame")
    return unwrapped(nested["frame"])


@lru_cache(maxsize=1)
def _read_mask(path: Path) -> Region:
    roi = read_mat(path, "roi")["roi"]
    if roi.dtype.names is None or "mask" not in roi.dtype.names:
        raise AnnotationError(f"{path}: roi should be a struct with a field mask")
    mask = unwrapped(roi["mask"])
    if mask.ndim != 2 or mask.dtype.kind not in "buif":
        raise AnnotationError(f"{path}: roi.mask should hold numbers [H, W]")
    return mask != 0


def _film(folder: Path) -> Path | None:
    return next((folder / name for name in _FILMS if (folder / name).is_dir()), None)


def _is_it(folder: Path) -> bool:
    return (folder / "vidf-cvpr").is_dir() and _film(folder) is not None


def _take_stock(folder: Path) -> Inventory:
    film, truth = _film(folder) or folder / "vidf", folder / "vidf-cvpr"
    numbers = {"train": TRAIN, "test": [n for n in range(1, CLIPS * FRAMES_A_CLIP + 1) if n not in TRAIN]}
    there = {path.name for path in film.glob("vidf1_33_00?.y/*.png")}
    annotations = {f"vidf1_33_{clip:03}": truth / f"vidf1_33_{clip:03}_frame_full.mat" for clip in range(CLIPS)}
    known = [truth / "vidf1_33_roi_mainwalkway.mat", *annotations.values()]
    missing = [f"vidf-cvpr/{path.name}" for path in known if not path.is_file()]
    records: dict[str, list[Record]] = {}
    for split, some in numbers.items():
        names = [frame_name(number) for number in some]
        missing += [f"{film.name}/{name[:12]}.y/{name}" for name in names if name not in there]
        records[split] = [
            Record(name=name, picture=film / f"{name[:12]}.y" / name, annotation=annotations[name[:12]])
            for name in names
            if name in there and annotations[name[:12]].is_file()
        ]
    return Inventory(folder=folder, records=records, missing=missing)


UCSD = PublishedSet(
    name="UCSD pedestrians",
    what="2000 grey frames of a walkway (Chan et al., CVPR 2008): 49,885 people",
    licence="not known to us; ask at its source",
    source="http://www.svcl.ucsd.edu/projects/peoplecnt",
    loader="dotally.data.UCSDPedestrian",
    tree="""\
vidf/                      of ucsdpeds.zip; ucsdpeds/vidf and video/vidf are found too
    vidf1_33_000.y/vidf1_33_000_f001.png ... vidf1_33_009.y/vidf1_33_009_f200.png
vidf-cvpr/                 of vidf-cvpr.zip
    vidf1_33_000_frame_full.mat ... vidf1_33_009_frame_full.mat
    vidf1_33_roi_mainwalkway.mat""",
    is_it=_is_it,
    take_stock=_take_stock,
    read_points=read_points,
    region=read_region,
    pictures={"train": len(TRAIN), "test": CLIPS * FRAMES_A_CLIP - len(TRAIN)},
    heads={"all": 49_885},
    # people on the border of the walkway are in or out by the rule for its pixels
    unconfirmed=frozenset({"all"}),
    notes=("only people on the walkway count", "the frames are one film: frames side by side look alike"),
)
