"""Pictures of one's own with boxes, as labelling tools leave them: Pascal VOC XML or COCO JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from dotally.data.annotated import Annotated, Thing, by_class
from dotally.data.box_dataset import BoxRecord
from dotally.data.coco_json import is_coco_json, read_coco_json
from dotally.data.find import inside
from dotally.data.localization import SPLITS, LocalizationDataModule, Split
from dotally.data.own_folder import located
from dotally.data.pictures import natural_key, picture_files
from dotally.data.sampling import carve
from dotally.data.voc_xml import read_voc_xml
from dotally.errors import AnnotationError, DataError


class BoxFolder(LocalizationDataModule):
    """A folder of pictures with boxes; which of the two formats it has is seen by itself.

    Pictures may lie anywhere below the folder. An XML file belongs to the picture of its own name, or to the one it
    names. A COCO file names its pictures relative to itself or to the folder. Every picture needs a box: one without
    is an error, not an example of nothing. There is one item for each class in each picture; test and validation
    pictures are carved out at random.

    Labels alone teach a network what tells classes apart, so that a training wants pictures of two classes at least; a
    folder of one class is for judging networks that were trained on others.

    Args:
        folder: Where everything is; a relative one that is not below the working folder may be below a data root.
        classes: Names of the classes in the order of a network's outputs; None takes those that occur, sorted, or those
            of the COCO file in its order.
        test_fraction: Part of the pictures to test on; 1 tests on all of them and leaves none to train on.
        options: See :class:`LocalizationDataModule`.

    Raises:
        ValueError: If ``test_fraction`` is not above 0 and at most 1.
        DataError: From ``setup``, if the folder holds no pictures or no annotations, or to train, only one class.
        AnnotationError: From ``setup``, if annotations cannot be read, name unknown classes or pictures that are not
            there, leave the folder, or leave out a picture.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        classes: Sequence[str] | None = None,
        test_fraction: float = 0.2,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 0 < test_fraction <= 1:
            raise ValueError(f"test_fraction must be above 0 and at most 1, got {test_fraction}")
        self.folder, self.test_fraction = located(folder, self.data_root), test_fraction
        self.classes = None if classes is None else list(classes)

    @override
    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        if stage == "fit" and len({record.label for record in self.train_set.records}) == 1:
            name = self.class_names()[self.train_set.records[0].label]
            raise DataError(
                f"{self.folder}: every picture to train on is of the class {name!r}, and labels teach nothing where "
                "there is nothing to tell apart; add pictures of something else, or localize with a network that was "
                f"trained on others: dotally localize {self.folder} --truth {self.folder} --weights FILE --out DIR"
            )

    @override
    def records(self, split: Split) -> list[BoxRecord]:
        found, names = self._read()
        return by_class(self._part(found, split), {name: label for label, name in enumerate(names)})

    @override
    def class_names(self) -> list[str]:
        """Return the classes that were named, or those that occur."""
        return self._read()[1]

    @override
    def splits(self) -> tuple[Split, ...]:
        """Return the splits there are: only "test" where all pictures are tested on."""
        return ("test",) if self.test_fraction == 1 else SPLITS

    def _part(self, found: list[Annotated], split: Split) -> list[Annotated]:
        if self.test_fraction == 1:
            if split != "test":
                raise DataError(f"{self.folder}: nothing to train on, because test_fraction=1 tests on every picture")
            return found
        if len(found) < 3:
            raise DataError(
                f"{self.folder}: {len(found)} pictures cannot be split in three; test on all with test_fraction=1"
            )
        # a carve leaves at least one on either side, and the second one needs two to carve from
        fraction = min(self.test_fraction, (len(found) - 2) / len(found))
        rest, test = carve(found, fraction, self.split_seed)
        return test if split == "test" else carve(rest, self.val_fraction, self.split_seed)[split == "val"]

    def _read(self) -> tuple[list[Annotated], list[str]]:
        """Return all pictures with what is annotated in them, and the classes."""
        pictures = picture_files(self.folder)
        xmls = files_below(self.folder, ".xml")
        jsons = [path for path in files_below(self.folder, ".json") if is_coco_json(path)]
        if xmls and jsons:
            raise DataError(
                f"{self.folder}: holds annotations as XML ({xmls[0].name}) and as COCO JSON ({jsons[0].name}); "
                "leave one of the two"
            )
        if not xmls and not jsons:
            others = _why_not(files_below(self.folder, ".json"))
            raise DataError(f"{self.folder}: {len(pictures)} pictures, but neither VOC XML nor COCO JSON files{others}")
        found, names = _read_xmls(self.folder, xmls, pictures) if xmls else _read_jsons(self.folder, jsons)
        _check_complete(self.folder, pictures, found)
        return found, self.classes or names


def files_below(folder: Path, suffix: str) -> list[Path]:
    """Return the files with a suffix at any depth, hidden ones left out, in natural order."""
    files = (path for path in folder.rglob(f"*{suffix}") if path.is_file())
    shown = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    return sorted(shown, key=natural_key)


def _read_xmls(folder: Path, xmls: Sequence[Path], pictures: Sequence[Path]) -> tuple[list[Annotated], list[str]]:
    by_stem: dict[str, list[Path]] = {}
    for picture in pictures:
        by_stem.setdefault(picture.stem, []).append(picture)
    found = []
    for xml in xmls:
        content = read_voc_xml(xml)
        things = tuple(Thing(name=one.name, box=one.box, where=f"{xml}: line {one.line}") for one in content.objects)
        picture = _picture_of(xml, content.filename, folder, by_stem)
        name = picture.relative_to(folder).as_posix()
        found.append(Annotated(name=name, picture=picture, things=things, size=content.size))
    return found, sorted({thing.name for one in found for thing in one.things})


def _picture_of(xml: Path, filename: str, folder: Path, by_stem: dict[str, list[Path]]) -> Path:
    """Return the picture with the name of the XML file, else the one that it names."""
    candidates = by_stem.get(xml.stem, [])
    if filename and not candidates:
        candidates = by_stem.get(inside(folder, filename, f"{xml}: filename").stem, [])
    if len(candidates) > 1:  # the same names in several folders: the one beside it, or in a folder beside its own
        near = [path for path in candidates if path.parent == xml.parent]
        candidates = near or [path for path in candidates if path.parent.parent == xml.parent.parent]
    if len(candidates) != 1:
        what = "several pictures" if candidates else "no picture"
        raise AnnotationError(f"{xml}: line 1: {what} below {folder} called {xml.stem} or {filename or 'as it says'!r}")
    return candidates[0]


def _read_jsons(folder: Path, jsons: Sequence[Path]) -> tuple[list[Annotated], list[str]]:
    found, names = [], dict[str, None]()
    for path in jsons:
        classes, pictures = read_coco_json(path)
        names |= dict.fromkeys(classes)
        for name, (size, things) in pictures.items():
            if things:  # those without are found out with the pictures that no file lists
                picture = _named(folder, path, name)
                shown = picture.relative_to(folder).as_posix()
                found.append(Annotated(name=shown, picture=picture, things=tuple(things), size=size))
    return found, list(names)


def _why_not(jsons: Sequence[Path]) -> str:
    """Say what keeps the first of some files from being of COCO's format."""
    for path in jsons:
        try:
            read_coco_json(path)
        except AnnotationError as error:
            return f" ({error})"
    return ""


def _named(folder: Path, json: Path, name: str) -> Path:
    places = [inside(place, name, f"{json}: file_name") for place in (json.parent, folder, folder / "images")]
    for place in places:
        if place.is_file():
            return place
    raise AnnotationError(f"{json}: the picture {name!r} is neither beside it nor in {folder} or its folder images")


def _check_complete(folder: Path, pictures: Sequence[Path], found: Sequence[Annotated]) -> None:
    """Refuse pictures with no annotation or with two."""
    seen: set[Path] = set()
    for one in found:
        if one.picture in seen:
            raise AnnotationError(f"{one.things[0].where}: {one.name} is annotated twice")
        seen.add(one.picture)
    if without := [path for path in pictures if path not in seen]:
        raise AnnotationError(
            f"{folder}: {len(without)} of {len(pictures)} pictures have no box, the first is "
            f"{without[0].relative_to(folder)}; draw one or move the picture away, none is left out silently"
        )
