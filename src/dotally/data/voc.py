"""Pascal VOC, 2007 to 2012 (Everingham et al., IJCV 2010): photographs with boxes of 20 classes."""

from pathlib import Path
from typing import Any

from typing_extensions import override

from dotally.data.annotated import Annotated, Thing, by_class
from dotally.data.box_dataset import BoxRecord
from dotally.data.box_trees import VOC as TREE
from dotally.data.box_trees import is_voc
from dotally.data.find import find_folder, inside, numbered_lines
from dotally.data.localization import LocalizationDataModule, Split
from dotally.data.roots import data_roots
from dotally.data.sampling import carve
from dotally.data.voc_xml import XmlObject, read_voc_xml

# fmt: off
CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on


class VOCLocalization(LocalizationDataModule):
    """Pascal VOC as batches: one item for each class in each picture, judged by all boxes of that class.

    Validation is carved, by pictures, out of the train list. VOC counts pixels from 1; here they count from 0. Objects
    marked as difficult are kept, parts of objects (head, hand) are none.

    Args:
        year: Folder ``VOC<year>`` is taken.
        train_list: Name of the list to train on, without its suffix.
        test_list: Of that to test on; for 2012 VOC published no annotations of "test".
        options: See :class:`LocalizationDataModule`.

    Raises:
        DataError: From ``setup``, if the set is not found.
        AnnotationError: From ``setup``, if a list or an XML file cannot be read or names an unknown class.
    """

    def __init__(self, *, year: int = 2012, train_list: str = "train", test_list: str = "val", **options: Any) -> None:
        super().__init__(**options)
        self.year, self.lists = year, {"train": train_list, "test": test_list}

    @override
    def records(self, split: Split) -> list[BoxRecord]:
        folder = find_folder(data_roots(self.data_root), self._is_it, what=f"Pascal VOC {self.year}", tree=TREE)
        named = _listed(folder, self.lists["test" if split == "test" else "train"])
        if split != "test":
            named = carve(named, self.val_fraction, self.split_seed)[split == "val"]
        labels = {name: label for label, name in enumerate(CLASSES)}
        return by_class((_annotated(folder, name, where) for name, where in named), labels, stored=True)

    @override
    def class_names(self) -> list[str]:
        """Return the 20 classes in alphabetical order."""
        return list(CLASSES)

    def _is_it(self, folder: Path) -> bool:
        return folder.name == f"VOC{self.year}" and is_voc(folder)


def _listed(folder: Path, name: str) -> list[tuple[str, str]]:
    """Return (name, where it stands) of the pictures of a list, in which a flag may follow each name."""
    path = folder / "ImageSets" / "Main" / f"{name}.txt"
    return [(line.split()[0], where) for where, line in numbered_lines(path)]


def _annotated(folder: Path, name: str, where: str) -> Annotated:
    annotation = inside(folder / "Annotations", f"{name}.xml", where)
    things = tuple(_thing(annotation, found) for found in read_voc_xml(annotation).objects)
    return Annotated(name=f"{name}.jpg", picture=folder / "JPEGImages" / f"{name}.jpg", things=things)


def _thing(annotation: Path, found: XmlObject) -> Thing:
    x0, y0, x1, y1 = found.box
    return Thing(name=found.name, box=(x0 - 1, y0 - 1, x1 - 1, y1 - 1), where=f"{annotation}: line {found.line}")
