"""Bringing a data set under the data root: a folder is linked to, an archive unpacked, and the result checked."""

import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from dotally.data.progress import progress
from dotally.data.shanghaitech_files import TREE, PartFolder, find_part, find_parts
from dotally.data.verify import Report, verify
from dotally.errors import DataError

_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, RuntimeError, ValueError)
_BLOCK = 1 << 20


class Added(NamedTuple):
    """Where a data set was put, and what its check found."""

    folder: Path
    report: Report


def add(name: str, source: Path, root: Path, *, max_gigabytes: float = 20) -> Added:
    """Put a data set under ``root`` and check it.

    Args:
        name: The data set; for now "shanghaitech".
        source: A folder that holds it at any of its upper levels, to which links are made, or a zip or tar archive
            of such a folder, which is unpacked. Either release of ShanghaiTech, both parts or one.
        root: The data root, made if it does not exist.
        max_gigabytes: Archives that unpack to more are refused.

    Returns:
        ``root/shanghaitech`` and the report on all of the set that is now under ``root``.

    Raises:
        DataError: There is nothing to add, something else is in its place, the archive is damaged, too large or
            unsafe, or ``root`` cannot be written to. Nothing is left behind then.
    """
    if name != "shanghaitech":
        raise DataError(f"do not know how to add {name!r}; known is: shanghaitech")
    source, base = source.expanduser().resolve(), root / name
    try:
        if source.is_dir():
            _place(_parts(source), root, base, link=True)
        elif source.is_file():
            with _unpacked(source, base, int(max_gigabytes * 1e9)) as folder:
                _place(_parts(folder), root, base, link=False)
        else:
            raise DataError(f"{source}: no such file or folder")
    except OSError as error:
        raise DataError(f"{source} could not be added to {root}: {error}") from error
    finally:
        with suppress(OSError):  # an empty folder is worth nothing; any other stays
            base.rmdir()
    return Added(base, verify(name, [root]))


def _parts(folder: Path) -> list[PartFolder]:
    try:
        return find_parts([folder], depth=3)
    except DataError as error:
        raise DataError(f"no part of ShanghaiTech was found; expected, perhaps some folders deeper:\n{TREE}") from error


def _place(parts: Sequence[PartFolder], root: Path, base: Path, *, link: bool) -> None:
    """Link to the parts, or move them, all or none."""
    targets = {part: base / part.release.replace("X", part.part) for part in parts}
    new = [part for part in parts if not _is_there(part, targets[part], root)]
    base.mkdir(parents=True, exist_ok=True)
    placed = []
    try:
        for part in new:
            if link:
                targets[part].symlink_to(part.folder, target_is_directory=True)
            else:
                part.folder.rename(targets[part])
            placed.append(targets[part])
    except OSError:
        for target in placed:
            target.unlink() if link else shutil.rmtree(target)
        raise


def _is_there(part: PartFolder, target: Path, root: Path) -> bool:
    """Return whether the very same folder is in ``root`` already; anything else in its place is an error."""
    try:
        there = find_part([root], part.part)
    except DataError:
        if target.is_symlink() or target.exists():
            raise DataError(f"{target} is in the way and holds no such part; remove it first") from None
        return False
    if there.folder.resolve() != part.folder.resolve():
        raise DataError(f"part {part.part} is already at {there.folder}; remove that first to use another copy")
    return True


@contextmanager
def _unpacked(archive: Path, base: Path, limit: int) -> Iterator[Path]:
    """Unpack into a hidden folder beside the place it is meant for, so that moving it there is one step."""
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base, prefix=".adding-") as folder:
        left = limit
        try:
            for name, file in progress(_members(archive), f"unpacking {archive.name}"):
                left = _copy(file, Path(folder) / _safe(archive, name), left)
                if left < 0:
                    raise DataError(
                        f"{archive}: unpacks to more than {limit / 1e9:g} GB; if that is right, unpack it yourself "
                        "and add the folder"
                    )
        except _DAMAGE as error:
            raise DataError(f"{archive}: damaged, encrypted or of an unknown kind ({error})") from error
        yield Path(folder)


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the content of each file, but for those that macOS adds."""
    reader = _zip_members if zipfile.is_zipfile(archive) else _tar_members if tarfile.is_tarfile(archive) else None
    if reader is None:
        raise DataError(f"{archive}: {_strange(archive)}")
    for name, file in reader(archive):
        if "__MACOSX" not in name and not PurePosixPath(name).name.startswith("._"):
            yield name, file


def _strange(archive: Path) -> str:
    """Say what is wrong with a file that is no archive; a zip's table of contents is at its end."""
    with archive.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return "a zip archive without its end, as after half a download; fetch it again"
    return "neither a zip nor a tar archive; unpack it yourself and add the folder"


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as reader:
        for member in reader.infolist():
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _unsafe(archive, member.filename, "a link")
            if not member.is_dir():
                with reader.open(member) as file:
                    yield member.filename, file


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as reader:
        for member in reader:
            if not (member.isfile() or member.isdir()):
                raise _unsafe(archive, member.name, "a link or a device")
            file = reader.extractfile(member)
            if file is not None:
                yield member.name, file


def _safe(archive: Path, name: str) -> Path:
    """Return a member's name as a path that stays within the folder it is joined to."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise _unsafe(archive, name, "a path that leaves the folder")
    return Path(path)


def _unsafe(archive: Path, name: str, what: str) -> DataError:
    return DataError(f"{archive}: {name!r} is {what}, which no data set needs; nothing was unpacked")


def _copy(file: IO[bytes], target: Path, left: int) -> int:
    """Copy until the end or until ``left`` bytes are spent; return how many are left, negative if too few."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        while left >= 0 and (block := file.read(_BLOCK)):
            left -= len(block)
            if left >= 0:
                out.write(block)
    return left
