"""Reading MATLAB files of unknown health: what is asked for, out of its cells, or one clear line on what is wrong."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from dotally.data.annotation_file import MAX_BYTES, read_bytes
from dotally.errors import AnnotationError

# the element type of MAT-file version 5 that holds another element compressed
_COMPRESSED = 15


def load_mat(path: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Load those of the named variables that there are, or all.

    Args:
        path: The file, of version 7 or older.
        names: Which variables; None loads all, and whatever else scipy reports.

    Raises:
        AnnotationError: It cannot be read, is too large, or no readable mat file.
    """
    content = read_bytes(path)
    try:
        _check_sums(content)
        found: dict[str, Any] = loadmat(io.BytesIO(content), variable_names=names)
    except NotImplementedError as error:
        raise AnnotationError(f"{path}: a MATLAB 7.3 file; save it again as version 7") from error
    except Exception as error:  # damaged files leave scipy's reader by a dozen different doors
        raise AnnotationError(f"{path}: not a readable mat file ({error or type(error).__name__})") from error
    return found


def read_mat(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Read variables of a mat file, each taken out of the cells of one element it is nested in.

    Args:
        path: The file, of version 7 or older.
        names: Which variables; each must be there.

    Raises:
        AnnotationError: No such file, no readable mat file, or a variable is missing.
    """
    variables = load_mat(path, names)
    absent = [name for name in names if name not in variables]
    if absent:
        raise AnnotationError(f"{path}: holds no variable {', '.join(absent)}; is it a file of this data set?")
    return {name: unwrapped(variables[name]) for name in names}


def read_mat_points(path: Path, name: str) -> NDArray[np.float64]:
    """Read ``[N, 2]`` float64 (x, y) from a mat file; an empty variable of any shape means no point.

    Raises:
        AnnotationError: As :func:`read_mat`, or if it does not hold finite numbers ``[N, 2]``.
    """
    return as_points(read_mat(path, name)[name], f"{path}: {name}")


def as_points(value: np.ndarray, where: str) -> NDArray[np.float64]:
    """Check that ``value`` is ``[N, 2]`` finite numbers, or empty, and return it as float64.

    Raises:
        AnnotationError: It is not; ``where`` begins the message.
    """
    if value.size == 0:
        return np.zeros((0, 2))
    if value.dtype.kind not in "uif" or value.ndim != 2 or value.shape[1] != 2:
        raise AnnotationError(f"{where} should hold numbers [N, 2], it holds {value.dtype} {list(value.shape)}")
    if not np.isfinite(value).all():
        raise AnnotationError(f"{where} holds coordinates that are not finite")
    return value.astype(np.float64)


def unwrapped(value: Any) -> np.ndarray:
    """Take an array out of the cells of one element that it is nested in."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.flat[0]
    return np.asarray(value)


def _check_sums(content: bytes) -> None:
    """Unpack every compressed element once: scipy crashes on damage that its checksum reveals only at the end."""
    place, left = 128, MAX_BYTES
    while content[124:128] == b"\x00\x01IM" and place + 8 <= len(content):
        kind, size = struct.unpack_from("<II", content, place)
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            left -= len(unpacker.decompress(content[place + 8 : place + 8 + size], left))
            if left <= 0 or not unpacker.eof:
                raise ValueError("cut off" if left > 0 else "unpacks to too much")
        place += 8 + size
