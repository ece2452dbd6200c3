"""Tiny ImageNet (Stanford CS231N): 64x64 photographs of 200 classes, or fewer, with a box each."""

from pathlib import Path
from typing import Any

from typing_extensions import override

from dotally.data.annotation_file import parse_number
from dotally.data.box_dataset import BoxRecord
from dotally.data.box_transforms import Framing
from dotally.data.box_trees import TINY_IMAGENET as TREE
from dotally.data.box_trees import is_tiny_imagenet
from dotally.data.find import find_folder, inside, numbered_lines
from dotally.data.localization import LocalizationDataModule, Split
from dotally.data.roots import data_roots
from dotally.data.sampling import carve
from dotally.data.voc_xml import check_box
from dotally.errors import AnnotationError, DataError


class TinyImageNetLocalization(LocalizationDataModule):
    """Tiny ImageNet as batches, whole or any part of its classes; its folder "val" is our test split.

    Validation is carved out of train, whose boxes are used for nothing else. The folder "test" of the full set has no
    annotations and is not read. Classes are the WordNet ids of ``wnids.txt`` in sorted order.

    Args:
        framing: See :class:`LocalizationDataModule`; pictures have 64 pixels a side, "crop" scales them to ``side``.
        side: Likewise.
        options: Likewise.

    Raises:
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    def __init__(self, *, framing: Framing = "keep", side: int = 64, **options: Any) -> None:
        super().__init__(framing=framing, side=side, **options)

    @override
    def records(self, split: Split) -> list[BoxRecord]:
        folder = self._folder()
        labels = {wnid: label for label, wnid in enumerate(_wnids(folder))}
        if split == "test":
            return _complete(_judged(folder / "val", labels), folder / "val" / "images")
        train = [record for wnid, label in labels.items() for record in _class(folder / "train" / wnid, label)]
        return carve(train, self.val_fraction, self.split_seed)[split == "val"]

    @override
    def class_names(self) -> list[str]:
        """Return the first word for each class in ``words.txt``."""
        folder = self._folder()
        words = dict(line.split("\t", 1) for _, line in numbered_lines(folder / "words.txt") if "\t" in line)
        return [words.get(wnid, wnid).split(",")[0].strip() for wnid in _wnids(folder)]

    def _folder(self) -> Path:
        return find_folder(data_roots(self.data_root), is_tiny_imagenet, what="Tiny ImageNet", tree=TREE)


def _wnids(folder: Path) -> list[str]:
    return sorted(line.strip() for _, line in numbered_lines(folder / "wnids.txt"))


def _class(folder: Path, label: int) -> list[BoxRecord]:
    found = []
    for where, line in numbered_lines(folder / f"{folder.name}_boxes.txt"):
        name, *corners = _fields(line, 5, where)
        found.append(_record(folder / "images", name, corners, label, where))
    return _complete(found, folder / "images")


def _judged(folder: Path, labels: dict[str, int]) -> list[BoxRecord]:
    found = []
    for where, line in numbered_lines(folder / "val_annotations.txt"):
        name, wnid, *corners = _fields(line, 6, where)
        if wnid not in labels:
            raise AnnotationError(f"{where}: the class {wnid!r} is not in wnids.txt")
        found.append(_record(folder / "images", name, corners, labels[wnid], where))
    return found


def _fields(line: str, number: int, where: str) -> list[str]:
    fields = line.split()
    if len(fields) != number:
        raise AnnotationError(f"{where}: expected {number} fields, found {len(fields)}: {line.strip()!r}")
    return fields


def _record(images: Path, name: str, corners: list[str], label: int, where: str) -> BoxRecord:
    x0, y0, x1, y1 = (parse_number(text, where, "a corner") for text in corners)
    box = check_box((x0, y0, x1, y1), where)
    return BoxRecord(name=name, picture=inside(images, name, where), label=label, boxes=(box,), where=where)


def _complete(records: list[BoxRecord], images: Path) -> list[BoxRecord]:
    """Return the records if they are those of all pictures in the folder, and of no others."""
    named = [record.name for record in records]
    there = {path.name for path in images.iterdir()} if images.is_dir() else set()
    if missing := sorted(set(named) - there):
        raise DataError(f"{images}: {len(missing)} of {len(named)} pictures are missing, the first is {missing[0]}")
    if alone := sorted(name for name in there - set(named) if name.upper().endswith(".JPEG")):
        raise DataError(f"{images}: {len(alone)} pictures have no box in the lists, the first is {alone[0]}")
    if len(set(named)) < len(named):
        twice = next(name for place, name in enumerate(named) if name in named[:place])
        raise AnnotationError(f"{images}: {twice} is annotated twice")
    return records
