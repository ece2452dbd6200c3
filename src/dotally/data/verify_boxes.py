"""Checking data sets with boxes: every annotation is read, every picture decoded."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from dotally.data.box_dataset import BoxRecord, LocalizationDataset
from dotally.data.box_folder import BoxFolder, files_below
from dotally.data.box_trees import VOC, is_voc
from dotally.data.cub import CUBLocalization
from dotally.data.find import find_folder
from dotally.data.imagenet import ImageNetLocalization
from dotally.data.localization import LocalizationDataModule
from dotally.data.progress import progress
from dotally.data.tiny_imagenet import TinyImageNetLocalization
from dotally.data.verify import Report
from dotally.data.voc import VOCLocalization
from dotally.data.voc_xml import read_voc_xml
from dotally.errors import AnnotationError, DataError

# pictures of a whole set to train (validation included) and to test on; of Tiny ImageNet any part may be there
PUBLISHED: dict[str, dict[str, int]] = {"imagenet": {"test": 50_000}, "cub": {"train": 5_994, "test": 5_794}}


def verify_boxes(name: str, roots: Sequence[Path]) -> Report:
    """Check one of the published sets.

    Args:
        name: "tiny-imagenet", "imagenet", "voc" or "cub".
        roots: Folders to look in.

    Raises:
        DataError: It is in none of them, or whole files of it are missing.
    """
    root = os.pathsep.join(map(str, roots))
    if name == "voc":
        folder = find_folder(roots, is_voc, what="Pascal VOC", tree=VOC)
        return check_boxes(folder.name, VOCLocalization(year=int(folder.name[3:]), data_root=root))
    kinds = {"tiny-imagenet": TinyImageNetLocalization, "imagenet": ImageNetLocalization, "cub": CUBLocalization}
    return check_boxes(name, kinds[name](data_root=root), published=PUBLISHED.get(name))


def verify_box_folder(folder: Path) -> Report:
    """Check a folder of one's own pictures as ``BoxFolder`` reads it; every broken XML file is named at once.

    Raises:
        DataError: There are no pictures or no annotations in it.
    """
    report = Report(name=str(folder))
    report.problems["broken"] += _broken(files_below(folder, ".xml"))
    return report if report.problems["broken"] else check_boxes(str(folder), BoxFolder(folder, test_fraction=1))


def check_boxes(name: str, data: LocalizationDataModule, *, published: dict[str, int] | None = None) -> Report:
    """Read all of a data set that a training or an evaluation will meet.

    Args:
        name: What to call it.
        data: Its module.
        published: How many pictures the whole set has, by "train" and "test".
    """
    report, every = Report(name=name), dict[str, list[BoxRecord]]()
    try:
        classes = data.class_names()
        for split in data.splits():  # validation is ours, carved out of train
            every.setdefault("train" if split == "val" else split, []).extend(data.records(split))
    except AnnotationError as error:
        report.problems["broken"].append(str(error))
        return report
    for part, records in every.items():
        report.problems["damaged"] += _unreadable(part, records)
        pictures, boxes = len(_pictures(records)), sum(len(record.boxes) for record in records)
        shown = len({record.label for record in records})
        named = f"{part}: " if len(every) > 1 else ""
        report.found.append(f"{named}{pictures:,} pictures, {boxes:,} boxes, {shown} of {len(classes)} classes")
        if published and part in published and pictures != published[part]:
            report.problems["number"].append(f"{part}: {pictures:,} pictures, published are {published[part]:,}")
    report.notes += _notes([record for records in every.values() for record in records], classes)
    return report


def _broken(xmls: Sequence[Path]) -> Iterator[str]:
    for xml in xmls:
        try:
            read_voc_xml(xml)
        except AnnotationError as error:
            yield str(error)


def _unreadable(part: str, records: Sequence[BoxRecord]) -> Iterator[str]:
    """Yield what is wrong with each picture that cannot be read, or whose boxes do not fit it."""
    for record in progress(records, f"checking {part}"):
        try:
            # pictures to train on need no box
            LocalizationDataset([record], framing="keep", labels_only=not record.boxes and part == "train").load(0)
        except (DataError, OSError) as error:
            yield str(error)


def _notes(records: Sequence[BoxRecord], classes: Sequence[str]) -> Iterator[str]:
    several = len(records) - len(_pictures(records))
    if several:
        yield (
            "pictures that show several classes are one item for each of them: learnt from labels, a network that "
            f"names one class a picture is wrong on {several:,} of {len(records):,} items at least"
        )
    if len(classes) == 1:
        yield (
            f"one class only ({classes[0]}): labels teach nothing where there is nothing to tell apart; add pictures "
            "of something else, or localize with a network that others trained (dotally localize --weights --truth)"
        )


def _pictures(records: Sequence[BoxRecord]) -> set[str]:
    return {str(record.picture) if isinstance(record.picture, Path) else record.name for record in records}
