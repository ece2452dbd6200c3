"""Caltech-UCSD Birds 200-2011 (Wah et al., 2011): 11,788 photographs of 200 species, a box each."""

from collections.abc import Callable
from pathlib import Path

from typing_extensions import override

from dotally.data.annotation_file import parse_number
from dotally.data.box_dataset import BoxRecord
from dotally.data.box_trees import CUB as TREE
from dotally.data.box_trees import is_cub
from dotally.data.find import find_folder, inside, numbered_lines
from dotally.data.localization import LocalizationDataModule, Split
from dotally.data.roots import data_roots
from dotally.data.sampling import carve
from dotally.data.voc_xml import Box
from dotally.errors import AnnotationError

Numbered = dict[str, tuple[str, str]]
"""By the number that begins a line: file and line, and the rest of the line."""


class CUBLocalization(LocalizationDataModule):
    """CUB-200-2011 as batches, in its own split; validation is carved out of train.

    Args:
        options: See :class:`LocalizationDataModule`.

    Raises:
        DataError: From ``setup``, if the set is not found.
        AnnotationError: From ``setup``, if its lists cannot be read or do not fit together.
    """

    @override
    def records(self, split: Split) -> list[BoxRecord]:
        folder = self._folder()
        lists = {name: _numbered(folder / f"{name}.txt") for name in ("images", *_FIELDS)}
        labels = {number: label for label, number in enumerate(_numbered(folder / "classes.txt"))}
        chosen = [number for number in lists["images"] if _is_train(lists, number) == (split != "test")]
        if split != "test":
            chosen = carve(chosen, self.val_fraction, self.split_seed)[split == "val"]
        return [_record(folder, lists, number, labels) for number in chosen]

    @override
    def class_names(self) -> list[str]:
        """Return the species, without their numbers."""
        found = _numbered(self._folder() / "classes.txt").values()
        return [name.partition(".")[2].replace("_", " ") or name for _, name in found]

    def _folder(self) -> Path:
        return find_folder(data_roots(self.data_root), is_cub, what="CUB-200-2011", tree=TREE)


def _numbered(path: Path) -> Numbered:
    found: Numbered = {}
    for where, line in numbered_lines(path):
        number, _, rest = line.strip().partition(" ")
        if not number.isdecimal() or not rest or number in found:
            raise AnnotationError(f"{where}: should be a new number and a value, it is {line.strip()!r}")
        found[number] = (where, rest.strip())
    return found


def _is_train(lists: dict[str, Numbered], number: str) -> bool:
    return _value(lists, "train_test_split", number) == "1"


def _value(lists: dict[str, Numbered], name: str, number: str) -> str:
    if number not in lists[name]:
        where = lists["images"][number][0]
        raise AnnotationError(f"{where}: picture {number} is not in {name}.txt; unpack the archive again")
    where, value = lists[name][number]
    _FIELDS[name](value, where)
    return value


def _record(folder: Path, lists: dict[str, Numbered], number: str, labels: dict[str, int]) -> BoxRecord:
    where, name = lists["images"][number]
    species = _value(lists, "image_class_labels", number)
    if species not in labels:
        place = lists["image_class_labels"][number][0]
        raise AnnotationError(f"{place}: the class {species!r} is not in classes.txt")
    box = _box(_value(lists, "bounding_boxes", number), lists["bounding_boxes"][number][0])
    return BoxRecord(
        name=name,
        picture=inside(folder / "images", name, where),
        label=labels[species],
        boxes=(box,),
        where=lists["bounding_boxes"][number][0],
        stored=True,
    )


def _box(text: str, where: str) -> Box:
    """Parse "x y width height"."""
    fields = [parse_number(field, where, "a number of the box") for field in text.split()]
    if len(fields) != 4 or fields[2] <= 0 or fields[3] <= 0:
        raise AnnotationError(f"{where}: should be x, y, width and height of a box, it is {text!r}")
    x, y, width, height = fields
    return (x, y, x + width - 1, y + height - 1)


def _flag(text: str, where: str) -> None:
    if text not in ("0", "1"):
        raise AnnotationError(f"{where}: should be 1 for train or 0 for test, it is {text!r}")


def _any(text: str, where: str) -> None:
    """Accept what is checked against another list."""


_FIELDS: dict[str, Callable[[str, str], object]] = {
    "train_test_split": _flag,
    "image_class_labels": _any,
    "bounding_boxes": _box,
}
