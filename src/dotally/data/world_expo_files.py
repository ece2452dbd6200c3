"""WorldExpo'10 (Zhang, Li, Wang, Yang, CVPR 2015) on disk, and what is known about it."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dotally.data.annotation_file import LARGEST
from dotally.data.crowd_dataset import Points, Record
from dotally.data.mat_file import read_mat, read_mat_points
from dotally.data.pictures import picture_size
from dotally.data.published import Inventory, PublishedSet, Region
from dotally.errors import AnnotationError

# scenes 1 to 5 of the tables, in the order of the C^3 Framework's preparation (datasets/WE/preapre_WE.m)
TEST_SCENES = ("104207", "200608", "200702", "202201", "500717")


def scene_of(record: Record) -> str:
    """Return the six digits that name the camera of a frame."""
    return record.picture.name[:6]


def read_points(record: Record) -> Points:
    """Read the heads of a frame, those outside the region too.

    Raises:
        AnnotationError: Not a readable mat file, or not with numbers ``[N, 2]``.
    """
    return read_mat_points(record.annotation, "point_position")


def read_region(record: Record) -> Region:
    """Draw the polygon of the frame's scene, ``[H, W]`` bool; pixels that its border touches belong to it.

    Raises:
        AnnotationError: Not a readable mat file, or without a polygon.
    """
    return _polygon(_roi(record.annotation.parent, scene_of(record)), picture_size(record.picture))


@lru_cache(maxsize=128)
def _polygon(path: Path, size: tuple[int, int]) -> Region:
    names = ("maskVerticesXCoordinates", "maskVerticesYCoordinates")
    x, y = (values.ravel() for values in read_mat(path, *names).values())
    plain = x.dtype.kind in "uif" and y.dtype.kind in "uif" and len(x) == len(y) >= 3
    if not plain or not (np.abs([x, y]) <= LARGEST).all():
        raise AnnotationError(f"{path}: {' and '.join(names)} should hold the corners of a polygon, three at least")
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon(list(zip(x.tolist(), y.tolist(), strict=True)), fill=1, outline=1)
    return np.array(canvas)


def _roi(folder: Path, scene: str) -> Path:
    """Return the region's file; annotations lie in the folder of their scene, or beside these folders."""
    beside = folder / "roi.mat"
    return beside if beside.is_file() else folder / scene / "roi.mat"


def _is_it(folder: Path) -> bool:
    return (folder / "test_frame").is_dir() or (folder / "train_frame").is_dir()


def _take_stock(folder: Path) -> Inventory:
    missing: list[str] = []
    train = _scene_records(folder, "train_frame", "train_label", missing)
    scenes = {
        scene: _scene_records(folder, f"test_frame/{scene}", f"test_label/{scene}", missing) for scene in TEST_SCENES
    }
    test = [record for scene in TEST_SCENES for record in scenes[scene]]
    return Inventory(folder=folder, records={"train": train, "test": test, **scenes}, missing=missing)


def _scene_records(folder: Path, frames: str, labels: str, missing: list[str]) -> list[Record]:
    found: list[Record] = []
    for picture in sorted((folder / frames).glob("[0-9]*.jpg")):
        scene, name = picture.name[:6], f"{picture.stem}.mat"
        nested = folder / labels / scene
        home = nested if (nested / name).is_file() or labels == "train_label" else folder / labels
        home = home if (home / name).is_file() else folder / labels
        files = (home / name, _roi(home, scene))
        lost = [str(path.relative_to(folder)) for path in files if not path.is_file()]
        missing += [path for path in lost if path not in missing]
        if not lost:
            found.append(Record(name=picture.name, picture=picture, annotation=home / name))
    return found


WORLD_EXPO = PublishedSet(
    name="WorldExpo'10",
    what="3980 frames of surveillance cameras (Zhang et al., CVPR 2015): 199,923 heads",
    licence="by an agreement signed with Shanghai Jiao Tong University, as far as we know",
    source="http://www.ee.cuhk.edu.hk/~xgwang/expo.html",
    loader="dotally.data.WorldExpo10",
    tree="""\
train_frame/<frame>.jpg             names begin with the six digits of their scene
train_label/<scene>/<frame>.mat     and roi.mat
test_frame/<scene>/<frame>.jpg      scenes 104207, 200608, 200702, 202201, 500717
test_label/<scene>/<frame>.mat      and roi.mat""",
    is_it=_is_it,
    take_stock=_take_stock,
    read_points=read_points,
    region=read_region,
    pictures={"train": 3380, **dict.fromkeys(TEST_SCENES, 120)},
    heads={"all": 199_923},
    # another page says 225,216; which of the two leaves out heads outside the regions is not known
    unconfirmed=frozenset({"all"}),
    notes=("only people in the region of each scene count", "tables print the error of each of the five test scenes"),
)
