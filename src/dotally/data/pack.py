"""``dotally data pack``: a data set into one file that trainings read crops from, without decoding pictures."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dotally import data
from dotally.data.catalogue import CATALOGUE
from dotally.data.crowd import SPLITS, CrowdDataModule
from dotally.data.crowd_dataset import CrowdDataset, Record
from dotally.data.own_folder import located
from dotally.data.packed_file import PackedSplit, SplitPlan, create, open_index
from dotally.data.progress import progress
from dotally.errors import DataError


class PackedUp(NamedTuple):
    """What was done.

    Attributes:
        pictures: In the file.
        written: Of these now; the others were there, with their checksum.
        bytes: Size of the file.
    """

    pictures: int
    written: int
    bytes: int


def pack(source: CrowdDataModule, out: Path) -> PackedUp:
    """Decode all pictures of a data set into one file.

    The file is made under a hidden name beside ``out`` and renamed when all is in it. What an interrupted packing of
    the same pictures left there is gone on with, after its checksums; so is a whole file checked.

    Args:
        source: Decides on the splits, the size of the pictures and the widths of the dots.
        out: The file.

    Raises:
        DataError: The data set cannot be read, the disk is too small, or ``out`` holds something else.
    """
    source.prepare_data()
    sets: dict[str, CrowdDataset] = {split: source.dataset(split) for split in SPLITS}
    reading = {
        "longest_side": sets["train"].longest_side,
        "resize": getattr(source, "resize", None),
        "draft": getattr(source, "draft", False),
    }
    made_from = _identity(sets, reading)
    if out.exists():
        return _checked(out, made_from)
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not _goes_on(part, made_from):
            plans = {split: _plan(one, f"sizes of {split}") for split, one in sets.items()}
            _check_space(out.parent, sum(plan.bytes() for plan in plans.values()))
            create(part, plans, made_from, reading)
        written = sum(_fill(PackedSplit(part, split, writable=True), one, split) for split, one in sets.items())
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error})") from error
    return PackedUp(sum(len(one) for one in sets.values()), written, out.stat().st_size)


def source_of(name: str, settings: Sequence[str], data_root: str | None = None) -> CrowdDataModule:
    """Return the data module of a data set or of a folder of one's own.

    Args:
        name: As ``dotally data list`` has it, or a folder.
        settings: ``KEY=VALUE`` arguments of the module, values as in YAML.
        data_root: Of the data sets.

    Raises:
        DataError: There is no such set, it does not count, or a setting is wrong.
    """
    loaders = {one.name: one.loader.rpartition(".")[2] for one in CATALOGUE}
    if name in loaders:
        loader: Any = getattr(data, loaders[name])
        options = _options(settings) | {"data_root": data_root}
    elif (folder := located(name, data_root)).is_dir():
        loader, options = data.PointFolder, _options(settings) | {"folder": folder}
    else:
        raise DataError(f"{name}: neither a folder nor a data set; sets are: {', '.join(loaders)}")
    if not issubclass(loader, CrowdDataModule):
        raise DataError(f"{name}: has boxes for classifiers; only data sets that are counted are packed")
    try:
        return loader(**options)
    except (TypeError, ValueError) as error:
        raise DataError(f"{loader.__name__}: {' '.join(str(error).split())}") from error


def _options(settings: Sequence[str]) -> dict[str, Any]:
    options = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key.isidentifier() and equals):
            raise DataError(f"a setting is KEY=VALUE, got {setting!r}")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise DataError(f"{setting!r}: not a value as in YAML") from error
    return options


def _identity(sets: Mapping[str, CrowdDataset], reading: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what decides on the content: names, files as they are now, and how they are read."""
    digest = hashlib.sha256()
    for split, one in sets.items():
        digest.update(f"{split} {(one.sigma, one.outside, dict(reading), type(one).__name__)}\n".encode())
        for record in one.records:
            stamps = [(found.st_size, found.st_mtime_ns) for found in map(os.stat, (record.picture, record.annotation))]
            digest.update(f"{record.name} {stamps}\n".encode())
        digest.update(b"".join(points.tobytes() for _, points in one.annotations()))
    return digest.hexdigest()


def _plan(dataset: CrowdDataset, text: str) -> SplitPlan:
    return SplitPlan(
        names=[record.name for record in dataset.records],
        sizes=[_size(dataset, record) for record in progress(dataset.records, text)],
        counts=dataset.counts(),
        adaptive=dataset.sigma == "adaptive",
        region=getattr(getattr(dataset, "published", None), "region", None) is not None,
    )


def _size(dataset: CrowdDataset, record: Record) -> tuple[int, int]:
    """Return (height, width) that a picture will have, from its header alone."""
    height, width = dataset.stated_size(record)
    if dataset.longest_side is not None and max(height, width) > dataset.longest_side:
        factor = dataset.longest_side / max(height, width)
        height, width = (max(1, round(side * factor)) for side in (height, width))
    fit = getattr(dataset, "fit", None)
    return fit((height, width)) if fit is not None else (height, width)


def _goes_on(part: Path, made_from: str) -> bool:
    """Return whether an interrupted packing of the same source is there; another one is removed."""
    try:
        with open_index(part) as file:
            same = bool(file.attrs["made_from"] == made_from)
    except DataError:
        same = False
    if not same:
        part.unlink(missing_ok=True)
    return same


def _fill(packed: PackedSplit, dataset: CrowdDataset, split: str) -> int:
    written = 0
    for index in progress(range(len(packed)), f"packing {split}"):
        if not packed.is_whole(index):
            packed.write(index, dataset.load(index))
            written += 1
    packed.flush()
    return written


def _checked(out: Path, made_from: str) -> PackedUp:
    """Check a file that is there already."""
    with open_index(out) as file:
        if file.attrs["made_from"] != made_from:
            raise DataError(f"{out} is in the way: packed from other pictures or settings; remove it or name another")
        splits = [PackedSplit(out, split) for split in file]
    for packed in splits:
        for index in progress(range(len(packed)), f"checking {packed.split}"):
            if not packed.is_whole(index):
                raise DataError(f"{out}: {packed.plan.names[index]} is damaged; remove the file and pack it again")
    return PackedUp(sum(map(len, splits)), 0, out.stat().st_size)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free; pack smaller pictures "
            "(--set longest_side=1024), or elsewhere"
        )
