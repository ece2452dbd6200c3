"""Annotated boxes to compare found ones with: a folder of Pascal VOC XML files, or COCO JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dotally.data.annotated import Thing
from dotally.data.coco_json import is_coco_json, read_coco_json
from dotally.data.pictures import natural_key
from dotally.data.voc_xml import read_voc_xml
from dotally.errors import AnnotationError, DataError


@dataclass(frozen=True, kw_only=True)
class TrueBoxes:
    """What is annotated in one picture.

    Attributes:
        things: At least one.
        size: (height, width) the annotation says the picture has, None if it does not.
    """

    things: tuple[Thing, ...]
    size: tuple[int, int] | None

    def check(self, size: tuple[int, int]) -> None:
        """Raise AnnotationError if the annotation was made for a picture of another size."""
        if self.size not in (None, size):
            raise AnnotationError(
                f"{self.things[0].where}: made for a picture of {self.size} (height, width), but this one has {size}; "
                "annotate the picture as it is now"
            )


def read_boxes(path: Path, names: Sequence[str]) -> dict[str, TrueBoxes]:
    """Read the boxes of the pictures called ``names``.

    Args:
        path: A folder that is searched for annotations, a COCO JSON file, or an XML file.
        names: Unique names of the pictures, with ``/`` between folders. An XML file belongs to the picture of its own
            name, an entry of a COCO file to the one it names; folders decide where names repeat.

    Returns:
        Name -> boxes; pictures of which nothing is known are not in it.

    Raises:
        AnnotationError: A file cannot be understood, or could belong to several pictures.
        DataError: There is no such folder, or no boxes of any picture in it.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder of annotations")
    found: dict[str, TrueBoxes] = {}
    for place, truth in _annotated(path):
        if truth.things and (name := _picture(place, names, truth)):
            if name in found:
                raise AnnotationError(f"{truth.things[0].where}: {name} is annotated twice")
            found[name] = truth
    if not found:
        raise DataError(f"{path}: no boxes of any picture in it, such as {names[0]} (Pascal VOC XML or COCO JSON)")
    return found


def _annotated(path: Path) -> Iterator[tuple[PurePosixPath, TrueBoxes]]:
    """Yield what each annotation belongs to, as a path without suffix, and what it says."""
    folder = path if path.is_dir() else path.parent
    files = [path] if path.is_file() else sorted((file for file in path.rglob("*") if file.is_file()), key=natural_key)
    for file in files:
        if file.suffix.lower() == ".xml":
            content = read_voc_xml(file)
            things = tuple(
                Thing(name=one.name, box=one.box, where=f"{file}: line {one.line}") for one in content.objects
            )
            place = PurePosixPath(file.relative_to(folder).as_posix())
            yield place.with_suffix(""), TrueBoxes(things=things, size=content.size)
        elif file.suffix.lower() == ".json" and (file == path or is_coco_json(file)):
            for name, (size, entries) in read_coco_json(file)[1].items():
                yield PurePosixPath(name).with_suffix(""), TrueBoxes(things=tuple(entries), size=size)


def _picture(place: PurePosixPath, names: Sequence[str], truth: TrueBoxes) -> str | None:
    """Return the picture that an annotation belongs to: the name it shares, and the most folders."""
    stems = {name: PurePosixPath(name).with_suffix("") for name in names}
    same = [name for name, stem in stems.items() if stem.name == place.name]
    if len(same) < 2:
        return same[0] if same else None
    shared = {name: _common_end(stems[name], place) for name in same}
    nearest = [name for name in same if shared[name] == max(shared.values())]
    if len(nearest) > 1:
        raise AnnotationError(
            f"{truth.things[0].where}: could belong to {nearest[0]} and to {nearest[1]}; lay annotations out in the "
            "folders of their pictures"
        )
    return nearest[0]


def _common_end(one: PurePosixPath, other: PurePosixPath) -> int:
    pairs = zip(reversed(one.parts), reversed(other.parts), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one.parts), len(other.parts)))
