"""Unpacking zip and tar archives from the web into a folder, and nowhere else."""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from dotally.data.progress import progress
from dotally.errors import DataError

_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, RuntimeError, ValueError)
_BLOCK = 1 << 20


def unpack(archives: Sequence[Path], folder: Path, *, max_gigabytes: float) -> None:
    """Unpack archives into one folder; what is there after an error is for the caller to remove.

    Args:
        archives: Zip or tar archives.
        folder: Made if it does not exist.
        max_gigabytes: They may not unpack to more, all together.

    Raises:
        DataError: An archive is damaged, encrypted, too large, or holds links, devices or paths that leave the folder.
        OSError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = int(max_gigabytes * 1e9)
    for archive in archives:
        try:
            for name, file in progress(_members(archive), f"unpacking {archive.name}"):
                left = _copy(file, folder / _safe(archive, name), left)
                if left < 0:
                    raise DataError(
                        f"{archive}: unpacks to more than {max_gigabytes:g} GB; if that is right, raise "
                        "--max-gigabytes, or unpack it yourself and add the folder"
                    )
        except _DAMAGE as error:
            raise DataError(f"{archive}: damaged, encrypted or of an unknown kind ({error})") from error


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
