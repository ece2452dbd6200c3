"""Finding a data set below the folders that the user named, and files that its lists name."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from dotally.errors import AnnotationError, DataError


def find_folder(roots: Sequence[Path], is_it: Callable[[Path], bool], *, what: str, tree: str, depth: int = 2) -> Path:
    """Return the first folder that ``is_it``: a root itself, or one of the folders down to ``depth`` levels in it.

    Args:
        roots: Where to look, nearest folders first.
        is_it: Recognises the data set.
        what: Its name, for the message.
        tree: The layout that is expected, likewise.
        depth: Levels below the roots.

    Raises:
        DataError: It is in none of them.
    """
    for folder in matching_folders(roots, is_it, depth=depth):
        return folder
    places = ", ".join(map(str, roots))
    raise DataError(f"{what} was not found in {places} or {depth} levels below. Expected there:\n{tree}")


def matching_folders(roots: Sequence[Path], is_it: Callable[[Path], bool], *, depth: int) -> Iterator[Path]:
    """Yield every folder that ``is_it``, as :func:`find_folder` looks for the first; hidden ones are passed by."""
    level = list(roots)
    for _ in range(depth + 1):
        yield from filter(is_it, level)
        level = [inner for folder in level for inner in subfolders(folder)]


def inside(folder: Path, name: str, where: str) -> Path:
    """Return ``folder / name``, a name that an annotation file gives.

    Args:
        folder: What it must stay in.
        name: With ``/`` or backslashes between folders.
        where: File and line, for the message.

    Raises:
        AnnotationError: If it is empty, absolute, leaves the folder or holds a NUL.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise AnnotationError(f"{where}: {name!r} is a path that leaves {folder}; name pictures relative to it")
    if "\0" in name:
        raise AnnotationError(f"{where}: {name!r} is no name of a file")
    return folder / path


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ("FILE: line N", text) of every line that is not empty.

    Raises:
        AnnotationError: If the file is not there or is no text.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        number = len((error.object[: error.start].decode() + ".").splitlines())
        raise AnnotationError(f"{path}: line {number}: not text in UTF-8") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{path}: line {number}", line


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder by name, hidden ones and those of macOS's archives left out."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:  # a folder that may not be read holds nothing for us
        return []
    return [folder / name for name in names if not name.startswith((".", "__MACOSX"))]
