"""ImageNet's localization task, ILSVRC 2012: 50,000 validation photographs of 1000 classes, with boxes in XML."""

import re
from collections.abc import Iterator
from pathlib import Path

from typing_extensions import override

from dotally.data.box_dataset import BoxRecord
from dotally.data.box_trees import IMAGENET as TREE
from dotally.data.box_trees import IMAGENET_VALID, Place, first_folder, is_imagenet
from dotally.data.find import find_folder, numbered_lines
from dotally.data.localization import LocalizationDataModule, Split
from dotally.data.roots import data_roots
from dotally.data.sampling import carve
from dotally.data.voc_xml import XmlAnnotation, read_voc_xml
from dotally.errors import AnnotationError, DataError

CLASSES = 1000

_LISTS = ("class_labels.txt", "annotations/class_labels.txt", "LOC_synset_mapping.txt")
_SYNSET = re.compile(r"n\d{8}")
_TRAIN = Place(
    ("images/train", "Data/CLS-LOC/train", "ILSVRC2012_img_train", "train"),
    ("annotations/train", "Annotations/CLS-LOC/train", "ILSVRC2012_bbox_train_v2", "bbox/train"),
)


class ImageNetLocalization(LocalizationDataModule):
    """ILSVRC 2012 as batches; its validation pictures, every one that has an XML file, are our test split.

    A label is the place of the picture's synset among all synsets in sorted order. The synset is the name of the folder
    that the annotation or the picture lies in, else, where all lie in one folder, that of the first object; all objects
    are kept, whatever their synset. Our validation split is carved out of the train pictures that have a box; the other
    train pictures need none. Where there is no train folder, "test" is the only split.

    Args:
        options: See :class:`LocalizationDataModule`; its framing "crop" at 224 pixels is that of the released STNet.

    Raises:
        DataError: From ``setup``, if the set is not found, pictures lack their annotation or the reverse, or the
            classes are not 1000 and no list names them.
        AnnotationError: From ``setup``, if an XML file cannot be read.
    """

    @override
    def records(self, split: Split) -> list[BoxRecord]:
        root = self._root()
        labels = {synset: label for label, synset in enumerate(self._synsets(root))}
        if split == "test":
            return list(_judged(root, labels))
        pictures, annotations = _index(root, _TRAIN)
        if not pictures:
            raise DataError(
                f"{root}: no train pictures, without which ImageNet can only be tested on. Expected\n{TREE}"
            )
        others, held_out = carve(sorted(set(pictures) & set(annotations)), self.val_fraction, self.split_seed)
        if split == "val":
            return [_record(pictures[stem], annotations[stem], labels) for stem in held_out]
        trained = sorted({*others, *(set(pictures) - set(annotations))})
        return [_unjudged(pictures[stem], labels) for stem in trained]

    @override
    def class_names(self) -> list[str]:
        """Return the names in the class list, or the synsets where there is no list."""
        root = self._root()
        names = _listed(root)
        return [names.get(synset, synset) for synset in self._synsets(root)]

    @override
    def splits(self) -> tuple[Split, ...]:
        """Return "test", with "train" and "val" before it where there is a train folder."""
        return ("train", "val", "test") if first_folder(self._root(), _TRAIN.pictures) else ("test",)

    def _root(self) -> Path:
        return find_folder(data_roots(self.data_root), is_imagenet, what="ImageNet (ILSVRC 2012)", tree=TREE)

    def _synsets(self, root: Path) -> list[str]:
        listed = _listed(root)
        if listed:
            return sorted(listed)
        pictures, annotations = _index(root, IMAGENET_VALID)
        synsets = {_synset(pictures.get(stem), path) for stem, path in annotations.items()}
        if len(synsets) != CLASSES:
            raise DataError(
                f"{root}: pictures of {len(synsets)} classes, not {CLASSES}, so that a class's place among them says "
                f"nothing; put the list of all classes at {root / _LISTS[1]}"
            )
        return sorted(synsets)


def _index(root: Path, place: Place) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the pictures and the annotations by their common name."""
    found = []
    for names, suffixes in ((place.pictures, {".jpeg", ".jpg"}), (place.annotations, {".xml"})):
        folder = first_folder(root, names)
        # one level of folders, by synset, or none
        paths = [path for pattern in ("*", "*/*") for path in folder.glob(pattern)] if folder else []
        files = sorted(path for path in paths if path.suffix.lower() in suffixes)
        by_stem = {path.stem: path for path in files}
        if len(by_stem) < len(files):
            twice = next(path for path in files if by_stem[path.stem] != path)
            raise DataError(f"{folder}: two files called {twice.stem}, {twice} and {by_stem[twice.stem]}; keep one")
        found.append(by_stem)
    return found[0], found[1]


def _listed(root: Path) -> dict[str, str]:
    """Return the names of the classes by synset, from the first list there is."""
    for name in _LISTS:
        if (root / name).is_file():
            return dict(_class(where, line) for where, line in numbered_lines(root / name))
    return {}


def _class(where: str, line: str) -> tuple[str, str]:
    """Split "n01440764 1 tench", "n01440764 tench, Tinca tinca" and the like."""
    synset, _, rest = line.strip().partition(" ")
    if not _SYNSET.fullmatch(synset):
        raise AnnotationError(f"{where}: should begin with a synset such as n01440764, it is {line.strip()!r}")
    return synset, re.sub(r"^\d+ ", "", rest).split(",")[0].replace("_", " ")


def _judged(root: Path, labels: dict[str, int]) -> Iterator[BoxRecord]:
    pictures, annotations = _index(root, IMAGENET_VALID)
    for have, lack, what in ((pictures, annotations, "an annotation"), (annotations, pictures, "a picture")):
        if alone := sorted(set(have) - set(lack)):
            raise DataError(f"{root}: {len(alone)} of {len(have)} lack {what}, the first is {have[alone[0]].name}")
    for stem in sorted(annotations):
        yield _record(pictures[stem], annotations[stem], labels)


def _record(picture: Path, annotation: Path, labels: dict[str, int]) -> BoxRecord:
    content = read_voc_xml(annotation)
    synset = _synset(picture, annotation, content)
    where = f"{annotation}: line {content.objects[0].line}"
    if synset not in labels:
        raise AnnotationError(f"{where}: the class {synset!r} is not among the {len(labels)} that are known")
    boxes = tuple(found.box for found in content.objects)
    return BoxRecord(name=picture.name, picture=picture, label=labels[synset], boxes=boxes, where=where, stored=True)


def _unjudged(picture: Path, labels: dict[str, int]) -> BoxRecord:
    synset = picture.parent.name
    if synset not in labels:
        raise DataError(f"{picture}: the class {synset!r} is not among the {len(labels)} that are known")
    return BoxRecord(name=picture.name, picture=picture, label=labels[synset])


def _synset(picture: Path | None, annotation: Path, content: XmlAnnotation | None = None) -> str:
    for path in (annotation, *([picture] if picture else [])):
        if _SYNSET.fullmatch(path.parent.name):
            return path.parent.name
    return (content or read_voc_xml(annotation)).objects[0].name
