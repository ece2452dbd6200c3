"""A folder of pictures and files of dots -> every picture with its dots."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from dotally.data.dotted import Dotted
from dotally.data.pictures import natural_key, picture_files, picture_size
from dotally.data.point_formats import READERS, SUFFIXES, Dots, Format, format_of
from dotally.data.point_formats.dots import Points
from dotally.data.point_pairing import Pairing, bare
from dotally.data.turned import turn_points
from dotally.errors import AnnotationError, DataError

Unlisted = Literal["error", "empty", "skip"]
Turned = Literal["auto", "shown", "stored"]

_DOTS = re.compile(r"dots?$", re.IGNORECASE)
_DOT_FOLDERS = {"dots", "labels", "annotations", "masks", "gt", "ground_truth", "ground-truth"}


@dataclass(frozen=True, kw_only=True)
class PointFiles:
    """What lies in a folder.

    Attributes:
        folder: The folder.
        format: Of its annotations.
        pictures: In natural order; pictures of dots are none of them.
        annotations: Likewise.
    """

    folder: Path
    format: Format
    pictures: tuple[Path, ...]
    annotations: tuple[Path, ...]


def raise_it(error: AnnotationError) -> NoReturn:
    """Raise an error: what is done with it where nothing else is asked for."""
    raise error


def survey(
    folder: Path, format: Format | Literal["auto"] = "auto", refuse: Callable[[AnnotationError], None] = raise_it
) -> PointFiles:
    """Find pictures and annotations in a folder and below it, hidden ones left out.

    Args:
        folder: Where to look.
        format: Of the annotations; "auto" finds it out, if there is only one.
        refuse: Called with the error of every file that is too damaged to tell.

    Raises:
        DataError: No such folder, no pictures, no annotations, or annotations of several formats.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if format != "auto" and format not in READERS:
        raise DataError(f"there is no format {format!r}; formats are: {', '.join(READERS)}")
    pictures = picture_files(folder)
    maps = _dot_pictures(folder, pictures, named=format == "dots")
    broken: list[AnnotationError] = []

    def refused(error: AnnotationError) -> None:
        broken.append(error)
        refuse(error)

    found = _by_format(folder, format, refused)
    if maps and format in ("auto", "dots"):
        found["dots"], drawn = maps, set(maps)
        pictures = [path for path in pictures if path not in drawn]
    if not found:
        what = f"no files of the format {format}" if format != "auto" else "no annotations in a format that is known"
        why = f" ({broken[0]})" if broken else ""
        raise DataError(f"{folder}: {len(pictures)} pictures, but {what}{why}; formats are: {', '.join(READERS)}")
    if len(found) > 1:
        seen = ", ".join(f"{name} ({files[0].relative_to(folder)})" for name, files in found.items())
        raise DataError(f"{folder}: holds annotations in several formats: {seen}; say which, as format or --from")
    ((name, files),) = found.items()
    return PointFiles(folder=folder, format=name, pictures=tuple(pictures), annotations=tuple(files))


def read_folder(
    folder: Path,
    *,
    format: Format | Literal["auto"] = "auto",
    classes: Sequence[str] | None = None,
    unlisted: Unlisted = "error",
    turned: Turned = "auto",
    refuse: Callable[[AnnotationError], None] = raise_it,
) -> list[Dotted]:
    """Read all annotations of a folder.

    Args:
        folder: Holds pictures and annotations, at any depth.
        format: See :func:`survey`.
        classes: Dots of other classes are left out; None takes all.
        unlisted: Pictures that no annotation mentions are an "error", taken as "empty" ones, or "skip" leaves them out.
        turned: Whether the dots of pictures with an EXIF orientation are given as they are "shown" or as they are
            "stored"; "auto" decides by the size that the annotation states, and takes them as shown without one.
        refuse: Called with everything that is wrong, and then goes on without it.

    Returns:
        The pictures in natural order.

    Raises:
        DataError: See :func:`survey`; and if a class of ``classes`` occurs nowhere.
        AnnotationError: An annotation cannot be read, belongs to no picture, names one outside the folder or one that
            has another, or was made for another size; or a picture has none.
        PictureError: A picture has no readable header.
    """
    files = survey(folder, format, refuse)
    pictures, found = Pairing(files.folder, files.format, files.pictures), dict[Path, Dotted]()
    for path in files.annotations:
        try:
            read = READERS[files.format](path)
        except AnnotationError as error:
            refuse(error)
            continue
        for one in read:
            try:
                picture = pictures.of(path, one)
                if picture in found:
                    raise AnnotationError(f"{one.where}: {picture.relative_to(folder)} is annotated twice")
                found[picture] = _dotted(folder, picture, path, one, turned)
            except AnnotationError as error:
                refuse(error)
    without = [path for path in files.pictures if path not in found]
    if without and unlisted == "error":
        refuse(
            AnnotationError(
                f"{folder}: {len(without)} of {len(files.pictures)} pictures have no annotation, the first is "
                f"{without[0].relative_to(folder)}; if they show nothing to count say unlisted=empty, else "
                "unlisted=skip"
            )
        )
    if unlisted == "empty":
        found |= {path: _dotted(folder, path, path, _nothing(path), "shown") for path in without}
    return _of_classes([found[path] for path in files.pictures if path in found], classes, files)


def class_counts(pictures: Iterable[Dotted]) -> Counter[str]:
    """Return how many dots of each class there are, those without a class under an empty name."""
    return Counter(label for one in pictures for label in one.labels)


def _of_classes(pictures: list[Dotted], classes: Sequence[str] | None, files: PointFiles) -> list[Dotted]:
    if classes is None:
        return pictures
    known = class_counts(pictures)
    if unknown := [name for name in classes if name not in known]:
        there = ", ".join(f"{name or 'none'} ({number})" for name, number in known.most_common(20))
        raise DataError(f"{files.folder}: no dot has the class {unknown[0]!r}; classes are: {there or 'none'}")
    return [one.only(classes) for one in pictures]


def _nothing(path: Path) -> Dots:
    return Dots(where=path, picture="", points=Points((0, 2)), labels=())


def _dotted(folder: Path, picture: Path, annotation: Path, found: Dots, how: Turned) -> Dotted:
    size, points = picture_size(picture), found.points
    stored = how == "stored" or (how == "auto" and found.size not in (None, size))
    if stored:
        points, stated = turn_points(picture, points, size)
        if found.size not in (None, size, stated):
            raise AnnotationError(
                f"{found.where}: made for a picture of {found.size[1]} x {found.size[0]} pixels, but "
                f"{picture.relative_to(folder)} has {size[1]} x {size[0]}; export it again for the pictures as they are"
            )
    name = picture.relative_to(folder).as_posix()
    return Dotted(name=name, picture=picture, annotation=annotation, points=points, labels=found.labels, size=size)


def _by_format(
    folder: Path, format: Format | Literal["auto"], refuse: Callable[[AnnotationError], None]
) -> dict[Format, list[Path]]:
    """Return the annotation files by their format, pictures of dots left out."""
    suffixes = {suffix for name, some in SUFFIXES.items() if name != "dots" for suffix in some}
    if format != "auto":
        suffixes = set(() if format == "dots" else SUFFIXES[format])
    candidates = [path for path in _below(folder) if path.suffix.lower() in suffixes]
    found: dict[Format, list[Path]] = defaultdict(list)
    for path in candidates:
        try:
            name = format_of(path)
        except AnnotationError as error:
            refuse(error)
            continue
        if name is not None and format in ("auto", name):
            found[name].append(path)
    if format != "auto" and candidates and not found:
        found[format] = candidates  # whose reader says what is wrong with them
    return found


def _below(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    shown = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    return sorted(shown, key=natural_key)


def _dot_pictures(folder: Path, pictures: Sequence[Path], *, named: bool) -> list[Path]:
    """Return those that are called like dots of another; if the format was named, also those in folders of labels."""
    folders = _DOT_FOLDERS if named else {"dots"}
    like = {
        path
        for path in pictures
        # what the user called the folder itself says nothing
        if path.suffix.lower() == ".png"
        and (_DOTS.search(path.stem) or (path.parent != folder and path.parent.name.lower() in folders))
    }
    rest = {bare(path.stem) for path in pictures if path not in like}
    return [path for path in pictures if path in like and bare(path.stem) in rest]
