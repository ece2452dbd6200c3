"""Bringing a data set under the data root: a folder is linked to, archives are unpacked, and the result is checked."""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dotally.data.archives import unpack
from dotally.data.layouts import Known, Layout, Own
from dotally.data.verify import Report
from dotally.errors import DataError

__all__ = ["Added", "Known", "Own", "add"]


class Added(NamedTuple):
    """Where a data set was put, and what its check found."""

    folder: Path
    report: Report


def add(layout: Layout, sources: Sequence[Path], root: Path, *, max_gigabytes: float = 20) -> Added:
    """Put a data set under ``root`` and check it.

    Args:
        layout: ``Known(name)`` of a set of the catalogue, or ``Own(name)`` of pictures of one's own.
        sources: One folder that holds the set at any of its upper levels, to which links are made; or zip and tar
            archives that together hold it, which are unpacked into one folder.
        root: The data root, made if it does not exist.
        max_gigabytes: Archives that unpack to more are refused.

    Returns:
        ``root/name`` and the report on what is there now.

    Raises:
        DataError: There is nothing to add, something else is in its place, an archive is damaged, too large or
            unsafe, or ``root`` cannot be written to. Nothing is left behind then.
    """
    sources = [source.expanduser().resolve() for source in sources]
    for source in sources:
        if not source.exists():
            raise DataError(f"{source}: no such file or folder")
        if source.is_dir() and len(sources) > 1:
            raise DataError(f"{source}: a folder is added alone; only archives are several")
    base = root / layout.name
    try:
        if sources[0].is_dir():
            return Added(base, _place(layout, sources[0], sources, root, link=True))
        root.mkdir(parents=True, exist_ok=True)
        # hidden, and beside the place it is meant for, so that moving it there is one step
        with tempfile.TemporaryDirectory(dir=root, prefix=".adding-") as hidden:
            folder = Path(hidden, layout.name)
            unpack(sources, folder, max_gigabytes=max_gigabytes)
            return Added(base, _place(layout, folder, sources, root, link=False))
    except OSError as error:
        raise DataError(f"{sources[0]} could not be added to {root}: {error}") from error
    finally:
        with suppress(OSError):  # an empty folder is worth nothing; any other stays
            base.rmdir()


def _place(layout: Layout, folder: Path, sources: Sequence[Path], root: Path, *, link: bool) -> Report:
    """Link to the pieces of a set, or move them, all or none, and check them."""
    pieces = layout.pieces(folder, sources)
    there = layout.there(root)
    new = {}
    for piece in pieces:
        target = root / piece.place
        if piece.key not in there:
            if target.is_symlink() or target.exists():
                raise DataError(f"{target} is in the way and holds no such set; remove it first")
            new[target] = piece.folder
        elif there[piece.key].resolve() != piece.folder.resolve():
            place = there[piece.key]
            raise DataError(f"{piece.key} is already at {place}; remove that first to use another copy")
    placed: list[Path] = []
    try:
        for target, source in new.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            if link:
                target.symlink_to(source, target_is_directory=True)
            else:
                source.rename(target)
            placed.append(target)
        return layout.check(root, [there.get(piece.key, root / piece.place) for piece in pieces])
    except (OSError, DataError):
        for target in placed:
            target.unlink() if link else shutil.rmtree(target)
        raise
