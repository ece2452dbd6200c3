"""NumPy's files, one for each picture: an array of points."""

from pathlib import Path

import numpy as np

from dotally.data.annotation_file import read_bytes
from dotally.data.point_formats.dots import Dots, dots, point_array
from dotally.errors import AnnotationError


def read(path: Path) -> list[Dots]:
    """Read one file of ``[N, 2]`` (x, y), or with up to two more columns, which are left out.

    Pickled objects, which could run programs, are refused.

    Raises:
        AnnotationError: It is not such a file.
    """
    read_bytes(path)
    try:
        # mapped, because a header may promise more than the file holds, and memory would be taken for it
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise ValueError("an archive")
        points = point_array(found, path)
    except AnnotationError:
        raise
    except Exception as error:  # damaged headers leave numpy's parser by many doors
        raise AnnotationError(f"{path}: not a readable npy file ({error or type(error).__name__})") from error
    return [dots(path, [(x, y, "") for x, y in points.tolist()])]
