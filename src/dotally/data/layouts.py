"""What of a folder is to be added: the parts of a known data set, or pictures of one's own with dots."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from dotally.data.box_trees import BOX_SETS
from dotally.data.find import matching_folders
from dotally.data.point_files import Unlisted, survey
from dotally.data.point_formats import Format
from dotally.data.published_sets import PUBLISHED_SETS
from dotally.data.shanghaitech_files import find_parts
from dotally.data.verify import Report, verify
from dotally.errors import DataError

_SHANGHAITECH, _VOC = "shanghaitech", "voc"
_RECOGNISED: dict[str, Callable[[Path], bool]] = {
    **{name: published.is_it for name, published in PUBLISHED_SETS.items()},
    **BOX_SETS,
}
ADDABLE = (_SHANGHAITECH, *_RECOGNISED)


class Piece(NamedTuple):
    """A folder that goes under the data root as a whole.

    Attributes:
        key: What a data root may hold one copy of.
        folder: Where it lies.
        place: Where it belongs, from the data root on.
    """

    key: str
    folder: Path
    place: str


class Layout(Protocol):
    """What can be added."""

    @property
    def name(self) -> str:
        """Of its folder in the data root."""

    def pieces(self, folder: Path, sources: Sequence[Path]) -> list[Piece]:
        """Return what of ``folder`` is to be added; ``sources`` are what the user named, for messages.

        Raises:
            DataError: Nothing is.
        """

    def there(self, root: Path) -> Mapping[str, Path]:
        """Return what a data root holds of it already, by key."""

    def check(self, root: Path, folders: Sequence[Path]) -> Report:
        """Return the report on what was added."""


@dataclass(frozen=True)
class Known:
    """A data set of the catalogue.

    Attributes:
        name: As ``dotally data list`` has it.

    Raises:
        DataError: There is none of that name.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in ADDABLE:
            raise DataError(
                f"do not know how to add {self.name!r}; known are: {', '.join(ADDABLE)}; pictures of your own with "
                "dots are added under any name by --from FORMAT, or --from auto"
            )

    def pieces(self, folder: Path, sources: Sequence[Path]) -> list[Piece]:
        """Return the parts of the set in ``folder``, at most three levels deep."""
        found = _pieces(self.name, folder, depth=3)
        if not found:
            raise DataError(f"{sources[0]}: holds no {self.name}; {_hint(self.name, folder, sources)}")
        return found

    def there(self, root: Path) -> Mapping[str, Path]:
        """Return the parts that loaders find in a data root."""
        depth = 1 if self.name == _SHANGHAITECH else 2
        return {piece.key: piece.folder for piece in _pieces(self.name, root, depth=depth)}

    def check(self, root: Path, folders: Sequence[Path]) -> Report:
        """Verify all that is there of a set in parts, else what was added."""
        if self.name == _SHANGHAITECH:
            return verify(self.name, [root])
        first, *others = (verify(self.name, [folder]) for folder in folders)
        for other in others:
            first.found += [other.name, *other.found]
            first.notes += other.notes
            for kind, cases in other.problems.items():
                first.problems[kind] += cases
        return first


@dataclass(frozen=True, kw_only=True)
class Own:
    """Pictures of one's own with dots, or boxes whose middles are dots, as ``PointFolder`` reads them.

    Attributes:
        name: Any that is no data set's.
        format: Of the annotations; "auto" finds it out.
        classes: These are counted; None counts all.
        unlisted: See :func:`dotally.data.point_files.read_folder`.

    Raises:
        DataError: The name is taken, or none for a folder.
    """

    name: str
    format: Format | Literal["auto"] = "auto"
    classes: Sequence[str] | None = None
    unlisted: Unlisted = "error"

    def __post_init__(self) -> None:
        if self.name in ADDABLE:
            raise DataError(f"{self.name} is a data set with a layout of its own: leave out --from, or choose a name")
        if self.name != Path(self.name).name or self.name.startswith("."):
            raise DataError(f"{self.name!r} is no name for a folder in the data root")

    def pieces(self, folder: Path, sources: Sequence[Path]) -> list[Piece]:
        """Return the folder itself, or the one folder in it that archives often have."""
        inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
        while folder not in sources and len(inner) == 1 and inner[0].is_dir():
            folder, inner = inner[0], list(inner[0].iterdir())
        survey(folder, self.format)
        return [Piece(self.name, folder, self.name)]

    def there(self, root: Path) -> Mapping[str, Path]:
        """Return the folder of that name."""
        return {self.name: root / self.name} if (root / self.name).is_dir() else {}

    def check(self, root: Path, folders: Sequence[Path]) -> Report:
        """Read every annotation and decode every picture."""
        from dotally.data.point_verify import verify_folder

        return verify_folder(folders[0], format=self.format, classes=self.classes, unlisted=self.unlisted).report


def _pieces(name: str, folder: Path, *, depth: int) -> list[Piece]:
    if name == _SHANGHAITECH:
        return _parts(folder, depth)
    found = matching_folders([folder], _RECOGNISED[name], depth=depth)
    if name == _VOC:  # its years lie side by side
        return [Piece(one.name, one, f"{name}/{one.name}") for one in found]
    return [Piece(name, one, f"{name}/{one.name}") for one in _first(found)]


def _parts(folder: Path, depth: int) -> list[Piece]:
    try:
        parts = find_parts([folder], depth=depth)
    except DataError:
        return []
    return [
        Piece(f"part {part.part}", part.folder, f"{_SHANGHAITECH}/{part.release.replace('X', part.part)}")
        for part in parts
    ]


def _first(found: Iterable[Path]) -> list[Path]:
    return next(([one] for one in found), [])


def _hint(name: str, folder: Path, sources: Sequence[Path]) -> str:
    """Say what a folder seems to hold instead."""
    others = (other for other in ADDABLE if other != name and _pieces(other, folder, depth=3))
    for other in others:
        return f"it looks like {other}: dotally data add {other} {' '.join(map(str, sources))}"
    return "`dotally data list` shows the folders expected, and archives that belong together are named together"
