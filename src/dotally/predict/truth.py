"""Annotated heads to compare counts with: a ``.mat`` or ``.csv`` file, or a folder of ``.mat`` files."""

import csv
import math
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dotally.errors import AnnotationError, DataError

Points = NDArray[np.float64]  # [N, 2] (x, y) in pixels

_CSV = "a csv file begins with the line x,y or file,x,y"


def read_truth(path: Path, names: Sequence[str]) -> dict[str, Points]:
    """Read the heads of the pictures called ``names``.

    Args:
        path: A ``.mat`` file as ShanghaiTech has them, for a job of one picture; a folder of such files, named
            ``GT_<stem>.mat`` or ``<stem>.mat``, side by side or in the pictures' subfolders; or a ``.csv`` file with
            a line for every head, (x, y) in pixels of the upright picture. Its column ``file`` holds names or file
            names; it may be left out for a job of one picture. A line with a file and nothing else is a picture
            without heads.
        names: Unique names of the pictures.

    Returns:
        Name -> ``[N, 2]`` (x, y); pictures of which nothing is known are not in it.

    Raises:
        AnnotationError: A file cannot be understood, or could belong to several pictures.
        DataError: There is no such file, or no truth of any picture in it.
    """
    if path.is_dir():
        truth = _read_folder(path, names)
    elif not path.is_file():
        raise DataError(f"{path}: no such file or folder of truth")
    elif path.suffix.lower() == ".mat":
        truth = {_only(path, names): _read_mat(path)}
    elif path.suffix.lower() == ".csv":
        truth = _read_csv(path, names)
    else:
        raise DataError(f"{path}: truth is a .mat file, a .csv file or a folder of .mat files")
    if not truth:
        raise DataError(f"{path}: no truth of any picture in it, such as {names[0]}")
    return truth


def inside(points: Points, size: tuple[int, int]) -> Points:
    """Return the heads ``[M, 2]`` that lie in a picture of ``size`` (height, width): those that count."""
    return points[((points >= 0) & (points < (size[1], size[0]))).all(axis=1)]


def rescaled(points: Points, size: tuple[int, int], shown: tuple[int, int]) -> Points:
    """Return heads of a picture of ``size`` (height, width) in pixels of the same picture scaled to ``shown``."""
    return points * (shown[1] / size[1], shown[0] / size[0])


def _read_mat(path: Path) -> Points:
    from dotally.data.shanghaitech_files import read_points  # SciPy, which other truths do without

    return read_points(path)


def _only(path: Path, names: Sequence[str]) -> str:
    if len(names) > 1:
        raise DataError(
            f"{path}: belongs to one picture, but there are {len(names)}; name a folder, or a csv with file,x,y"
        )
    return names[0]


def _read_folder(folder: Path, names: Sequence[str]) -> dict[str, Points]:
    files = {name: file for name in names if (file := _annotation(folder, PurePosixPath(name)))}
    for file, uses in Tally(files.values()).items():
        if uses > 1:
            raise AnnotationError(f"{file}: {uses} pictures have this name; put the files in the pictures' subfolders")
    return {name: _read_mat(file) for name, file in files.items()}


def _annotation(folder: Path, name: PurePosixPath) -> Path | None:
    candidates = (
        base / f"{prefix}{name.stem}.mat" for base in (folder / name.parent, folder) for prefix in ("GT_", "")
    )
    return next((file for file in candidates if file.is_file()), None)


def _read_csv(path: Path, names: Sequence[str]) -> dict[str, Points]:
    known = {name: name for name in names}
    # a file name alone will do where it is one picture's
    endings = Tally(PurePosixPath(name).name for name in names)
    known |= {last: name for name in names if endings[last := PurePosixPath(name).name] == 1}
    heads: dict[str, list[tuple[float, float]]] = {}
    for line, file, point in _lines(path):
        if file is not None and file not in known and endings[file] > 1:
            raise AnnotationError(f"{path}, line {line}: {endings[file]} pictures are called {file}; add the folder")
        name = _only(path, names) if file is None else known.get(file)
        if name is not None:
            heads.setdefault(name, []).extend(point)
    return {name: np.array(points, dtype=np.float64).reshape(-1, 2) for name, points in heads.items()}


def _lines(path: Path) -> Iterator[tuple[int, str | None, list[tuple[float, float]]]]:
    """Yield line number, file and head of every line; no head where the line has none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = set(reader.fieldnames or ())
            if not {"x", "y"} <= columns:
                raise AnnotationError(f"{path}, line 1: {_CSV}")
            for row in reader:
                yield reader.line_num, row.get("file"), _head(row, f"{path}, line {reader.line_num}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{path}: not a csv file in UTF-8 ({error})") from error


def _head(row: dict[str, str | None], where: str) -> list[tuple[float, float]]:
    texts = [row["x"] or "", row["y"] or ""]
    if texts == ["", ""] and row.get("file"):
        return []
    try:
        x, y = map(float, texts)
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise AnnotationError(f"{where}: x and y should be numbers of pixels, they are {texts[0]!r} and {texts[1]!r}")
    return [(x, y)]
