"""Pictures that show objects of several classes -> one record for each class in each picture."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dotally.data.box_dataset import BoxRecord
from dotally.data.voc_xml import Box
from dotally.errors import AnnotationError


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One annotated object.

    Attributes:
        name: Its class.
        box: (x0, y0, x1, y1) in pixels, first and last included.
        where: File and line of its annotation.
    """

    name: str
    box: Box
    where: str


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """One picture with everything annotated in it.

    Attributes:
        name: Unique in its data set.
        picture: Its file.
        things: What it shows, at least one.
        size: (height, width) the annotation says it has; None if that is not to be relied on.
    """

    name: str
    picture: Path
    things: tuple[Thing, ...]
    size: tuple[int, int] | None = None


def by_class(pictures: Iterable[Annotated], labels: Mapping[str, int], *, stored: bool = False) -> list[BoxRecord]:
    """Return a record for each class in each picture, with the boxes of that class.

    A picture of one class keeps its name; of others the class is made part of it ("0001.jpg [dog]").

    Args:
        pictures: What is annotated.
        labels: Label of each known class.
        stored: Whether boxes are in pixels of pictures as they are stored; see :class:`BoxRecord`.

    Raises:
        AnnotationError: If a class is not known.
    """
    records = []
    for picture in pictures:
        found: dict[str, list[Thing]] = {}
        for thing in picture.things:
            if thing.name not in labels:
                known = ", ".join(labels) if len(labels) <= 20 else f"{len(labels)} others"
                raise AnnotationError(f"{thing.where}: the class {thing.name!r} is not known; known: {known}")
            found.setdefault(thing.name, []).append(thing)
        for name, things in found.items():
            records.append(
                BoxRecord(
                    name=picture.name if len(found) == 1 else f"{picture.name} [{name}]",
                    picture=picture.picture,
                    label=labels[name],
                    boxes=tuple(thing.box for thing in things),
                    where=things[0].where,
                    size=picture.size,
                    stored=stored,
                )
            )
    return records
