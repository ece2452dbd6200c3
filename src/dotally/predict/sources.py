"""Which pictures a job is about, and what they are called in its results."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dotally.data.pictures import picture_files
from dotally.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Source:
    """One picture of a job.

    Attributes:
        path: The file.
        name: Unique within the job: the path relative to the folder that was named, with ``/`` between its parts.
        stem: Likewise unique, without suffix: a.png and a.jpg are not drawn over each other.
    """

    path: Path
    name: str
    stem: str


def list_sources(sources: Sequence[Path], *, out: Path) -> list[Source]:
    """List the pictures in files and folders, each once, in the order given and in natural order within a folder.

    Where several sources were given, the names of those in a folder begin with the folder's. What lies in ``out`` is
    left out: it is an earlier job's result.

    Raises:
        DataError: A source does not exist, or there is no picture.
    """
    found: dict[str, Source] = {}
    names: set[str] = set()
    stems: set[str] = set()
    for path, name in _named(sources):
        place = os.path.abspath(path)
        if place in found or Path(place).is_relative_to(os.path.abspath(out)):
            continue
        unique = _unique(name, names)
        found[place] = Source(path=path, name=str(unique), stem=str(_unique(unique.with_suffix(""), stems)))
    if not found:
        raise DataError(f"{', '.join(map(str, sources))}: no pictures but those in {out}, an earlier job's")
    return list(found.values())


def _named(sources: Sequence[Path]) -> Iterator[tuple[Path, PurePosixPath]]:
    for source in sources:
        for path in picture_files(source):
            name = Path(path.name) if path == source else path.relative_to(source)
            if path != source and len(sources) > 1:
                name = source.resolve().name / name
            # a file name need not be text, but what is written to tables has to be
            yield path, PurePosixPath(name.as_posix().encode("utf-8", "backslashreplace").decode())


def _unique(name: PurePosixPath, taken: set[str]) -> PurePosixPath:
    """Return ``name``, with a number if it is taken; two names that differ by case are one file to many systems."""
    candidate, number = name, 1
    while str(candidate).casefold() in taken:
        number += 1
        candidate = name.with_stem(f"{name.stem}-{number}")
    taken.add(str(candidate).casefold())
    return candidate
