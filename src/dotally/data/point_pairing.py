"""Which picture a file of dots belongs to, or the one that it names."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from dotally.data.annotation_file import shown
from dotally.data.point_formats import Dots, Format
from dotally.errors import AnnotationError

# what tools and authors add to the name of a picture's annotation, and one of them to that of the picture
_AFFIX = re.compile(r"^gt_|[-_ ]?(?:ann|annotations?|gt|dots?|points?|labels?|cells?)$", re.IGNORECASE)
# these belong to the picture called like them, whatever name of a picture stands inside
_BY_STEM: set[Format] = {"voc", "labelme", "mat", "npy", "dots"}


def bare(stem: str) -> str:
    """Return the name of a file without what marks it as an annotation: "GT_IMG_1" and "IMG_1_ann" are "img_1"."""
    rest = _AFFIX.sub("", stem)
    # again, because "1cell_dots" belongs to "1cell"
    return bare(rest) if rest and rest != stem else stem.casefold()


class Pairing:
    """Finds the picture that dots belong to, among those that were found in the folder, and so never outside it.

    Args:
        folder: Holds everything.
        format: Of the annotations.
        pictures: All there are.
    """

    def __init__(self, folder: Path, format: Format, pictures: Sequence[Path]) -> None:
        self.folder, self.format = folder, format
        self.by_path = {path.relative_to(folder).as_posix(): path for path in pictures}
        self.by_name = _index(pictures, lambda path: path.name.casefold())
        self.by_stem = _index(pictures, lambda path: path.stem.casefold())
        self.by_bare = _index(pictures, lambda path: bare(path.stem))

    def of(self, file: Path, found: Dots) -> Path:
        """Return the picture of dots.

        Args:
            file: The annotation.
            found: Dots that it holds.

        Raises:
            AnnotationError: There is none, or there are several, or the path leaves the folder.
        """
        candidates: list[Path] = []
        if self.format in _BY_STEM or not found.picture:
            candidates = self.by_stem.get(file.stem.casefold()) or self.by_bare.get(bare(file.stem)) or []
        if found.picture and not candidates:
            candidates = self._named(file, found)
        if len(candidates) > 1:  # equal names in several folders: the one beside it, or in a folder beside its own
            near = [path for path in candidates if path.parent == file.parent]
            near = near or [path for path in candidates if path.parent.parent == file.parent.parent]
            candidates = near or candidates
        if len(candidates) != 1:
            what = "several pictures are" if candidates else "no picture is"
            name = found.picture or file.stem
            raise AnnotationError(f"{found.where}: {what} called {shown(name)} below {self.folder}")
        return candidates[0]

    def _named(self, file: Path, found: Dots) -> list[Path]:
        name = found.picture.replace("\\", "/")
        places = (file.parent.relative_to(self.folder).as_posix(), ".", "images")
        paths = [os.path.normpath(f"{place}/{name}") for place in places]
        if PurePosixPath(name).is_absolute() or name[1:2] == ":" or all(path.startswith("..") for path in paths):
            raise AnnotationError(
                f"{found.where}: {shown(name)} is a path that leaves {self.folder}; name pictures relative to it"
            )
        for path in paths:
            if path in self.by_path:
                return [self.by_path[path]]
        # tools write bare names, some of them without the suffix
        last = PurePosixPath(name).name.casefold()
        return self.by_name.get(last) or self.by_stem.get(last) or []


def _index(pictures: Iterable[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in pictures:
        found[key(path)].append(path)
    return dict(found)
