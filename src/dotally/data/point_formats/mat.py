"""MATLAB's files, one for each picture: ShanghaiTech's, UCF_CC_50's, or one array of points."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from dotally.data.point_formats.dots import MAX_BYTES, Dots, dots, point_array, read_bytes
from dotally.errors import AnnotationError

# the element type that holds others, packed
_COMPRESSED = 15


def read(path: Path) -> list[Dots]:
    """Read one file: ``image_info`` with a field ``location``, or ``annPoints``, or its only variable.

    Raises:
        AnnotationError: It is no readable mat file of version 5 or 7, or holds no such points.
    """
    content = _load(path)
    found = _points(path, content)
    return [dots(path, [(x, y, "") for x, y in point_array(found, path).tolist()])]


def _points(path: Path, content: dict[str, Any]) -> Any:
    variables = {name: value for name, value in content.items() if not name.startswith("__")}
    if "image_info" in variables:
        info = _unwrapped(variables["image_info"])
        if not isinstance(info, np.ndarray) or "location" not in (info.dtype.names or ()) or info.size != 1:
            raise AnnotationError(f"{path}: image_info has no field location")
        return _unwrapped(info["location"])
    if "annPoints" in variables:
        return variables["annPoints"]
    if len(variables) != 1:
        names = ", ".join(variables) or "none"
        raise AnnotationError(f"{path}: expected image_info, annPoints or a single variable; there are: {names[:80]}")
    return _unwrapped(next(iter(variables.values())))


def _load(path: Path) -> dict[str, Any]:
    content = read_bytes(path)
    try:
        _check_sums(content)
        found: dict[str, Any] = loadmat(io.BytesIO(content))
    except NotImplementedError as error:
        raise AnnotationError(f"{path}: a MATLAB 7.3 file; save it again as version 7") from error
    except Exception as error:  # damaged files leave scipy's reader by a dozen different doors
        raise AnnotationError(f"{path}: not a readable mat file ({error or type(error).__name__})") from error
    return found


def _check_sums(content: bytes) -> None:
    """Unpack every packed element: scipy crashes on damage that its checksum reveals only at the end."""
    place, left = 128, MAX_BYTES
    while content[124:128] == b"\x00\x01IM" and place + 8 <= len(content):
        kind, size = struct.unpack_from("<II", content, place)
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            left -= len(unpacker.decompress(content[place + 8 : place + 8 + size], left))
            if left <= 0 or not unpacker.eof:
                raise ValueError("cut off" if left > 0 else "unpacks to too much")
        place += 8 + size


def _unwrapped(value: Any) -> Any:
    """Take an array out of the cells it is nested in."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.flat[0]
    return value
