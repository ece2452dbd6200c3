"""The pictures of a known crowd data set with their dots, to be looked at."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dotally.data.crowd_dataset import Points, Record
from dotally.data.dotted import Dotted
from dotally.data.pictures import picture_size
from dotally.data.published_sets import PUBLISHED_SETS
from dotally.data.shanghaitech_files import Split, find_parts, read_points
from dotally.errors import DataError

_SPLITS: tuple[Split, ...] = ("train", "test")


def dotted_set(name: str, roots: Sequence[Path]) -> list[Dotted]:
    """Return the pictures of a data set with their dots; those that cannot be read are left to its check.

    Args:
        name: As ``dotally data list`` has it.
        roots: Folders to look in.

    Raises:
        DataError: The set was not found, or has boxes instead of dots.
    """
    if name == "shanghaitech":
        return _dotted(_shanghaitech(roots), lambda record: read_points(record.annotation))
    if name not in PUBLISHED_SETS:
        raise DataError(f"{name} has no dots to draw; sets with dots are: shanghaitech, {', '.join(PUBLISHED_SETS)}")
    published = PUBLISHED_SETS[name]
    records = [record for some in published.find(roots).records.values() for record in some]
    # the splits of some sets overlap
    return _dotted(list({record.picture: record for record in records}.values()), published.points)


def _shanghaitech(roots: Sequence[Path]) -> list[Record]:
    return [
        Record(name=f"{folder.part} {split} {picture.name}", picture=picture, annotation=annotation)
        for folder in find_parts(roots)
        for split in _SPLITS
        for picture, annotation in folder.pairs(split)
    ]


def _dotted(records: Sequence[Record], read: Callable[[Record], Points]) -> list[Dotted]:
    found = []
    for record in records:
        try:
            points, size = read(record), picture_size(record.picture)
        except DataError:
            continue
        labels = ("",) * len(points)
        found.append(
            Dotted(
                name=record.name,
                picture=record.picture,
                annotation=record.annotation,
                points=points,
                labels=labels,
                size=size,
            )
        )
    return found
