"""A folder of one's own in another format, or in ShanghaiTech's layout."""

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from PIL import Image

from dotally.data.crowd import Split
from dotally.data.dotted import Dotted
from dotally.data.pictures import open_picture
from dotally.data.point_folder import PointFolder
from dotally.data.point_formats.write import WRITERS, write_mat, write_voc
from dotally.data.progress import progress
from dotally.errors import DataError
from dotally.files import write_text

SHANGHAITECH = "shanghaitech"
VOC = "voc"
TARGETS = (*WRITERS, VOC, SHANGHAITECH)
_QUALITY = 95


def convert_folder(source: PointFolder, out: Path, to: str, *, box: float | None = None) -> int:
    """Write the pictures and dots of a folder to another one, which appears when all is written.

    Pictures are copied as they are, under their names; dots outside the pictures are kept, as are classes where the
    format has them. ShanghaiTech's layout has upright JPEG pictures, ``part_B/train_data/images/IMG_1.jpg`` and so on,
    training and validation pictures in ``train_data``, no classes, and ``names.csv`` beside them.

    Args:
        source: What to convert.
        out: A folder that does not exist or is empty.
        to: A format, one of ``TARGETS``.
        box: Side in pixels of the squares that stand for dots in "voc"; a dot has no size, so it has to be said.

    Returns:
        How many pictures were written.

    Raises:
        DataError: The source cannot be read, ``out`` holds something, or the format cannot hold the dots.
    """
    if to not in TARGETS:
        raise DataError(f"cannot write {to!r}; dots can be written as: {', '.join(TARGETS)}")
    if (to == VOC) != (box is not None and 0 < box < float("inf")):
        raise DataError("Pascal VOC holds boxes and a dot has no size: --box PIXELS says how wide, for voc alone")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is in the way; name a folder that does not exist or is empty")
    pictures = source.pictures()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".converting-") as made:
            folder = Path(made, "made")
            folder.mkdir()
            if to == SHANGHAITECH:
                _shanghaitech(source, folder)
            else:
                _copy(pictures, folder, by_stem=to in ("labelme", "mat", "dots", "npy", VOC))
                write = WRITERS[to] if box is None else partial(write_voc, box=box)
                write(folder, pictures)
            with suppress(FileNotFoundError):
                out.rmdir()
            os.replace(folder, out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error})") from error
    return len(pictures)


def _copy(pictures: Sequence[Dotted], folder: Path, *, by_stem: bool) -> None:
    stems: dict[Path, str] = {}
    for one in progress(pictures, "copying pictures"):
        stem = Path(one.name).with_suffix("")
        if by_stem and stem in stems:
            raise DataError(f"{one.name} and {stems[stem]} would share a file of annotations; convert to csv or coco")
        stems[stem] = one.name
        target = folder / one.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one.picture, target)


def _shanghaitech(source: PointFolder, folder: Path) -> None:
    parts, table = source.parts(), io.StringIO()
    names = csv.writer(table, lineterminator="\n")
    names.writerow(("written", "file", "split", "dots"))
    splits: dict[str, tuple[Split, ...]] = {"train_data": ("train", "val"), "test_data": ("test",)}
    for place, some in splits.items():
        base = folder / "part_B" / place
        for kind in ("images", "ground-truth"):
            (base / kind).mkdir(parents=True)
        entries = [(split, one) for split in some for one in parts[split]]
        for number, (split, one) in enumerate(progress(entries, f"writing {place}"), 1):
            _jpeg(one, base / "images" / f"IMG_{number}.jpg")
            write_mat(base / "ground-truth" / f"GT_IMG_{number}.mat", one.points)
            names.writerow((f"{place}/images/IMG_{number}.jpg", one.name, split, len(one.points)))
    write_text(folder / "names.csv", table.getvalue())


def _jpeg(one: Dotted, target: Path) -> None:
    """Copy a picture that is an upright JPEG file already; write any other as one."""
    opened = open_picture(one.picture)
    with Image.open(one.picture) as file:
        as_it_is = file.format == "JPEG" and not opened.flags
    if as_it_is:
        shutil.copyfile(one.picture, target)
    else:
        Image.fromarray(opened.image).save(target, "JPEG", quality=_QUALITY, subsampling=0)
