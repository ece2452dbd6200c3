"""Checking a data set on disk against what is known about it, file by file."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from dotally.data.pictures import open_picture
from dotally.data.progress import progress
from dotally.data.published import PublishedSet
from dotally.data.published_sets import PUBLISHED_SETS
from dotally.data.shanghaitech_files import (
    LEAKS,
    PARTS,
    Part,
    PartFolder,
    PictureFacts,
    Release,
    Split,
    find_parts,
    known_facts,
    read_points,
)
from dotally.errors import DataError
from dotally.files import sha256

# heads of the part_X_final release outside their picture; with them its totals are the published 241,677 and 88,488
OUTSIDE: dict[Part, dict[Split, int]] = {"A": {"train": 294, "test": 108}, "B": {"train": 129, "test": 87}}

_NOTES: dict[Part, str] = {
    "A": "six train pictures show scenes of test pictures (train/test): "
    + ", ".join(f"{train}/{test}" for train, test in LEAKS.items()),
    # reported in github.com/desenzhou/ShanghaiTechDataset, issue 2
    "B": "label errors: train 108 has the dots of another picture; train 202, 296, 396 and test 131, 175, 303 have "
    "people without dots; train 217 and test 185, 283 have double dots",
}


# shown of each kind of problem
CASES = 10


@dataclass(kw_only=True)
class Report:
    """What a check found.

    Attributes:
        name: The data set.
        found: Lines on what is there.
        problems: What is wrong, by kind ("missing", "damaged", ...): one line for each case.
        notes: What is worth knowing and no fault of this copy.
    """

    name: str
    found: list[str] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.problems.values())

    def render(self) -> str:
        """Return the report as text, with the first ``CASES`` of each kind of problem."""
        lines = [self.name, *(f"  {line}" for line in self.found), *(f"  note: {note}" for note in self.notes)]
        for kind, cases in self.problems.items():
            if cases:
                lines.append(f"  {kind}: {len(cases)}")
                lines += [f"    {case}" for case in cases[:CASES]]
            if len(cases) > CASES:
                lines.append(f"    and {len(cases) - CASES} more")
        return "\n".join([*lines, "  all is well" if self.ok else "  NOT as it should be, see above"])


def verify(name: str, roots: Sequence[Path]) -> Report:
    """Check the data set ``name`` in ``roots``, or a folder of one's own pictures with boxes.

    Raises:
        DataError: The set is not there, or there is no check for one of that name.
    """
    if name in VERIFIERS:
        return VERIFIERS[name](roots)
    if Path(name).is_dir():
        from dotally.data.verify_boxes import verify_box_folder

        return verify_box_folder(Path(name))
    known = ", ".join(VERIFIERS)
    raise DataError(f"no check for {name!r}: no folder is called so, and the data sets with a check are: {known}")


def verify_shanghaitech(
    roots: Sequence[Path], *, facts: Mapping[Part, Mapping[Split, Mapping[int, PictureFacts]]] | None = None
) -> Report:
    """Check both parts of ShanghaiTech, or the one that is there.

    Every file of the ``part_X`` release must have its known checksum. Those of ``part_X_final`` are not known:
    its pictures must decode and have the known size, its annotations the known number of heads inside.

    Args:
        roots: Folders to look in.
        facts: What to compare with; by default what is known about all 1198 pictures.

    Raises:
        DataError: Neither part was found.
    """
    report, found = Report(name="ShanghaiTech"), {folder.part: folder for folder in find_parts(roots)}
    for part in PARTS:
        if part in found:
            _check_part(found[part], (facts or known_facts())[part], report)
        else:
            report.found.append(f"part {part}: not found")
    return report


def _verify_boxes(name: str, roots: Sequence[Path]) -> Report:
    from dotally.data.verify_boxes import verify_boxes  # takes seconds, with Lightning

    return verify_boxes(name, roots)


def _verify_published(published: PublishedSet, roots: Sequence[Path]) -> Report:
    from dotally.data.verify_published import verify_published  # itself needs the report

    return verify_published(published, roots)


VERIFIERS: dict[str, Callable[[Sequence[Path]], Report]] = {
    "shanghaitech": verify_shanghaitech,
    **{name: partial(_verify_published, published) for name, published in PUBLISHED_SETS.items()},
    **{name: partial(_verify_boxes, name) for name in ("tiny-imagenet", "imagenet", "voc", "cub")},
}
_SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """A picture with its annotation, both readable; ``known_*`` means that the checksum is the known one."""

    name: str
    facts: PictureFacts
    size: tuple[int, int]
    grey: bool
    heads: int
    outside: int
    double: int
    known_picture: bool
    known_annotation: bool


def _check_part(folder: PartFolder, facts: Mapping[Split, Mapping[int, PictureFacts]], report: Report) -> None:
    splits = {split: _check_split(folder, split, facts[split], report) for split in _SPLITS}
    checked = [one for split in _SPLITS for one in splits[split]]
    outside = sum(one.outside for one in checked)
    # the contents tell the releases apart, whatever the folder is called
    release: Release = "part_X_final" if outside else "part_X"
    if release != folder.release and checked:
        report.notes.append(f"part {folder.part}: the folder is named like the other release")
    report.found += [
        f"part {folder.part}: {folder.folder}, the {release.replace('X', folder.part)} release",
        *(_judge(folder.part, split, release, splits[split], facts[split], report) for split in _SPLITS),
        f"  {sum(one.heads for one in checked):,} heads together, {outside} of them outside their picture and "
        f"{sum(one.double for one in checked)} in the place of another; "
        f"{sum(one.grey for one in checked)} greyscale pictures",
        f"  {sum(one.known_picture + one.known_annotation for one in checked):,} of {2 * len(checked):,} files have "
        f"the checksums of the part_{folder.part} release",
    ]
    report.notes.append(f"part {folder.part}: {_NOTES[folder.part]}")


def _check_split(folder: PartFolder, split: Split, facts: Mapping[int, PictureFacts], report: Report) -> list[_Checked]:
    """Check every picture of a split and return those that can be read; the rest goes into the report."""
    pictures, annotations = folder.pictures(split), folder.annotations(split)
    where = f"part {folder.part} {split}"
    for files, name in ((pictures, "IMG_{}.jpg"), (annotations, "GT_IMG_{}.mat")):
        report.problems["missing"] += [f"{where} {name.format(n)}" for n in facts if n not in files]
        report.problems["extra"] += [f"{where} {file.name}" for n, file in files.items() if n not in facts]
    checked = []
    for number in progress([n for n in facts if n in pictures and n in annotations], f"checking {where}"):
        try:
            name = f"{where} IMG_{number}"
            checked.append(_check(name, pictures[number], annotations[number], facts[number]))
        except (DataError, OSError) as error:
            report.problems["damaged"].append(str(error))
    return checked


def _check(name: str, picture: Path, annotation: Path, facts: PictureFacts) -> _Checked:
    known = sha256(picture) == facts.picture_sha256
    size, grey = (facts.size, facts.mode == "L") if known else _look(picture)
    points = read_points(annotation)
    return _Checked(
        name=name,
        facts=facts,
        size=size,
        grey=grey,
        heads=len(points),
        outside=int(((points < 0) | (points >= (size[1], size[0]))).any(axis=1).sum()),
        double=len(points) - len(np.unique(points, axis=0)),
        known_picture=known,
        known_annotation=sha256(annotation) == facts.annotation_sha256,
    )


def _look(picture: Path) -> tuple[tuple[int, int], bool]:
    """Decode a picture; return its (height, width) and whether it is without colour."""
    image = open_picture(picture).image
    return (image.shape[0], image.shape[1]), bool((image == image[..., :1]).all())


def _judge(
    part: Part,
    split: Split,
    release: Release,
    checked: Sequence[_Checked],
    facts: Mapping[int, PictureFacts],
    report: Report,
) -> str:
    """Report what differs from what is known, and return a line of totals."""
    final = release == "part_X_final"
    for one in checked:
        if not (one.known_picture or (final and one.size == one.facts.size)):
            report.problems["changed"].append(f"{one.name}: not the published picture")
        if not (one.known_annotation or (final and one.heads - one.outside == one.facts.points)):
            report.problems["changed"].append(f"{one.name}: not the published dots ({one.heads} of {one.facts.points})")
    heads = sum(one.heads for one in checked)
    published = sum(fact.points for fact in facts.values()) + (OUTSIDE[part][split] if final else 0)
    if len(checked) == len(facts) and heads != published:
        report.problems["heads"].append(f"part {part} {split}: {heads:,}, published are {published:,}")
    return f"  {split}: {len(checked)} of {len(facts)} pictures, {heads:,} of {published:,} heads"
