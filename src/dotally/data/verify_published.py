"""Checking a published crowd data set on disk against what is known about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dotally.data.crowd_dataset import Points, Record
from dotally.data.pictures import natural_key, open_picture
from dotally.data.progress import progress
from dotally.data.published import PublishedSet
from dotally.data.verify import Report
from dotally.errors import DataError
from dotally.files import sha256


@dataclass(kw_only=True)
class _Tally:
    """What was counted in one split."""

    pictures: int = 0
    heads: int = 0
    outside: int = 0
    elsewhere: int = 0
    exchanged: int = 0
    double: int = 0
    empty: int = 0
    turned: int = 0
    most: int = 0

    def add(self, other: "_Tally") -> None:
        self.most = max(self.most, other.most)
        for name in vars(self).keys() - {"most"}:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def verify_published(published: PublishedSet, roots: Sequence[Path]) -> Report:
    """Decode every picture, read every annotation, and compare the numbers with the published ones.

    Numbers that rest on hearsay are noted where they differ; they are no problem.

    Raises:
        DataError: The set was not found.
    """
    inventory = published.find(roots)
    report = Report(name=published.name, found=[str(inventory.folder)])
    report.problems["missing"] += inventory.missing
    tallies = {
        split: _tally_split(published, records, split, report)
        # a scene of a test split is part of it and would count twice
        for split, records in _disjoint(inventory.records).items()
        if records
    }
    whole = _Tally()
    for split, tally in tallies.items():
        whole.add(tally)
        report.found.append(_line(published, split, tally))
    if len(tallies) > 1:
        report.found.append(_line(published, "all", whole))
    if alone := _alone(inventory.records):
        named = f"{len(alone):,} pictures are in no split or have no annotation here, the first is"
        report.notes.append(f"{named} {alone[0].relative_to(inventory.folder)}")
    for kind, facts in (("pictures", published.pictures), ("heads", published.heads)):
        for split, known in facts.items():
            seen = getattr(whole if split == "all" else tallies.get(split, _Tally()), kind)
            if seen != known:
                _differ(report, f"{split}: {seen:,} {kind}, published are {known:,}", split in published.unconfirmed)
    if whole.turned:
        report.notes.append(f"{whole.turned} pictures are turned as EXIF asks, and their heads with them: look at some")
    if whole.exchanged:
        report.notes.append(f"in {whole.exchanged} pictures x and y look exchanged: look at some, with --pictures")
    _check_sums(published, inventory.folder, report)
    report.notes += published.notes
    return report


def _disjoint(records: Mapping[str, list[Record]]) -> dict[str, list[Record]]:
    scenes = {split: some for split, some in records.items() if split.isdecimal()}
    return {split: some for split, some in records.items() if not (scenes and split == "test")}


def _alone(records: Mapping[str, Sequence[Record]]) -> list[Path]:
    """Return the pictures that lie beside those of the splits and belong to none."""
    used = {record.picture for some in records.values() for record in some}
    places = {(picture.parent, picture.suffix) for picture in used}
    there = {path for folder, suffix in places for path in folder.glob(f"*{suffix}")}
    return sorted(there - used, key=natural_key)


def _tally_split(published: PublishedSet, records: Sequence[Record], split: str, report: Report) -> _Tally:
    whole = _Tally()
    for record in progress(records, f"checking {published.name} {split}"):
        try:
            whole.add(_tally(published, record))
        except (DataError, OSError) as error:
            report.problems["damaged"].append(str(error))
    return whole


def _tally(published: PublishedSet, record: Record) -> _Tally:
    opened = open_picture(record.picture)
    height, width = opened.image.shape[:2]
    annotated = published.read_points(record)
    points = replace(published, read_points=lambda _: annotated).points(record)
    if not np.isfinite(points).all():
        raise DataError(f"{record.annotation}: holds coordinates that are not finite")
    outside = _outside(points, width, height)
    return _Tally(
        pictures=1,
        heads=len(points),
        outside=outside,
        elsewhere=len(annotated) - len(points),
        exchanged=_outside(points, height, width) < outside,
        double=len(points) - len(np.unique(points, axis=0)),
        empty=len(points) == 0,
        turned="rotated" in opened.flags,
        most=len(points),
    )


def _outside(points: Points, width: int, height: int) -> int:
    return int(((points < 0) | (points >= (width, height))).any(axis=1).sum())


def _line(published: PublishedSet, split: str, tally: _Tally) -> str:
    region = f", {tally.elsewhere:,} more off the region that counts" if published.region else ""
    return (
        f"{split}: {tally.pictures:,} pictures, {tally.heads:,} heads, at most {tally.most:,} in one; {tally.outside} "
        f"outside their picture, {tally.double} in the place of another, {tally.empty} pictures of nobody{region}"
    )


def _check_sums(published: PublishedSet, folder: Path, report: Report) -> None:
    if published.checksums is None:
        return
    known = {name: known for name, known in published.checksums().items() if (folder / name).is_file()}
    others = [name for name, known_sum in known.items() if sha256(folder / name) != known_sum]
    report.found.append(
        f"{len(known) - len(others)} of {len(known)} files have the checksums of a copy that circulates"
    )
    if others:
        report.notes.append(f"not as in that copy: {', '.join(others[:5])}{' and more' if len(others) > 5 else ''}")


def _differ(report: Report, line: str, unconfirmed: bool) -> None:
    if unconfirmed:
        report.notes.append(f"{line} (not confirmed)")
    else:
        report.problems["numbers"].append(line)
