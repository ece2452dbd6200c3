"""Pictures of one's own with dots, in whatever format a labelling tool left them."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from typing_extensions import override

from dotally.data.annotation_file import shown
from dotally.data.crowd import CrowdDataModule, Split
from dotally.data.crowd_dataset import CrowdDataset, Points, Record, Sigma
from dotally.data.dotted import Dotted
from dotally.data.find import numbered_lines
from dotally.data.own_folder import located
from dotally.data.point_files import Turned, Unlisted, read_folder
from dotally.data.point_formats import Format
from dotally.data.sampling import carve
from dotally.data.spacing import chosen_scale
from dotally.data.transforms import Augmentation
from dotally.errors import AnnotationError, DataError


class PointFolderDataset(CrowdDataset):
    """Pictures whose dots are in memory.

    Args:
        pictures: With their dots, as :func:`dotally.data.point_files.read_folder` returns them.
        sigma: Width of a dot in pixels, or "adaptive" to the distances between dots.
        options: Passed on to :class:`CrowdDataset`.
    """

    def __init__(self, pictures: Sequence[Dotted], *, sigma: Sigma, **options: Any) -> None:
        records = [Record(name=one.name, picture=one.picture, annotation=one.annotation) for one in pictures]
        points = {one.name: one.points for one in pictures}
        super().__init__(records, partial(_points_of, points), sigma=sigma, **options)


def _points_of(points: Mapping[str, Points], record: Record) -> Points:
    return points[record.name]


class PointFolder(CrowdDataModule):
    """A folder of pictures with dots, or with boxes whose middles are dots.

    Both may lie anywhere in the folder. The annotations are one of: csv (x and y, or corners of boxes), coco (keypoints
    or boxes), voc (boxes), labelme, mat (ShanghaiTech's and others), dots (a PNG beside each picture), json (lists of
    points), npy, via, cvat. A file for one picture is called like it, such as ``a.csv``, ``GT_a.mat`` or ``a_ann.mat``
    for ``a.jpg``; a file for many names them, relative to itself or to the folder, or by a name that is there once.

    Test and validation pictures are carved out at random, or listed in files.

    Args:
        folder: Where everything is; a relative one that is not below the working folder may be below a data root.
        format: Of the annotations; "auto" finds it out.
        classes: Dots of these classes are counted; None counts all.
        sigma: Width of a dot in the target in pixels, about a quarter of the size of what is counted; "adaptive" to
            the distances between dots; or "auto", one width by the usual distance. A fixed width does not shrink with
            ``longest_side``.
        longest_side: See :class:`CrowdDataset`; "auto" shrinks until neighbours are about 32 pixels apart. Whatever is
            "auto" follows from the training pictures, see ``dotally.data.spacing``.
        unlisted: Pictures that no annotation mentions are an "error", taken as "empty", or left out by "skip".
        turned: See :func:`dotally.data.point_files.read_folder`.
        lists: A folder with any of ``train.txt``, ``val.txt`` and ``test.txt``, with one picture a line; None carves
            at random. Where one is missing test and then validation pictures are carved out of those that are in no
            list, or of ``train.txt`` if there is one, which then names all that is trained on.
        test_fraction: Part of the pictures to test on, within 0 and 1.
        options: See :class:`CrowdDataModule`.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the folder holds no pictures or no annotations, or too few for three splits.
        AnnotationError: From ``setup``, with file and line, if annotations or lists cannot be read, name pictures that
            are not there or outside the folder, or leave out a picture.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        format: Format | Literal["auto"] = "auto",
        classes: Sequence[str] | None = None,
        sigma: Sigma | Literal["auto"] = "adaptive",
        longest_side: int | Literal["auto"] | None = None,
        unlisted: Unlisted = "error",
        turned: Turned = "auto",
        lists: str | Path | None = None,
        test_fraction: float = 0.2,
        **options: Any,
    ) -> None:
        # what the base saves with a checkpoint has to be plain values
        classes, lists = None if classes is None else list(classes), None if lists is None else str(lists)
        super().__init__(longest_side=None if longest_side == "auto" else longest_side, **options)
        if self.split == "official":
            raise ValueError("split must be 'seed': nobody has published lists for this folder; name your own as lists")
        if not 0 < test_fraction < 1:
            raise ValueError(f"test_fraction must lie within 0 and 1, got {test_fraction}")
        if isinstance(sigma, str) and sigma not in ("adaptive", "auto"):
            raise ValueError(f"sigma must be 'adaptive', 'auto' or a number of pixels, got {sigma!r}")
        if not isinstance(sigma, str) and not 0 < sigma < float("inf"):
            raise ValueError(f"sigma must be 'adaptive', 'auto' or a number of pixels above 0, got {sigma}")
        self.folder, self.format, self.classes = located(folder, self.data_root), format, classes
        self.sigma, self.longest_side = sigma, longest_side
        self.unlisted, self.turned, self.test_fraction = unlisted, turned, test_fraction
        self.lists = None if lists is None else Path(lists).expanduser()
        self._read: list[Dotted] | None = None
        self.hparams.pop("lists", None)  # a path is no hyperparameter

    @override
    def dataset(self, split: Split, augmentation: Augmentation | None = None) -> CrowdDataset:
        parts = self.parts()
        sigma, reading = self._scaled(parts["train"])
        return PointFolderDataset(parts[split], sigma=sigma, augmentation=augmentation, **reading)

    def _scaled(self, train: Sequence[Dotted]) -> tuple[Sigma, dict[str, Any]]:
        """Return the width of dots and how pictures are read, chosen by the training pictures where left to us."""
        if "auto" not in (self.sigma, self.longest_side):
            return cast(Sigma, self.sigma), self.reading
        chosen = chosen_scale(train, self.longest_side)
        # what counts with the checkpoint later has to shrink alike
        self.hparams["longest_side"] = chosen.longest_side
        sigma = chosen.sigma if self.sigma == "auto" else self.sigma
        return sigma, {**self.reading, "longest_side": chosen.longest_side}

    def pictures(self) -> list[Dotted]:
        """Return all pictures with their dots; the files are read once."""
        if self._read is None:
            self._read = read_folder(
                self.folder, format=self.format, classes=self.classes, unlisted=self.unlisted, turned=self.turned
            )
        return self._read

    def parts(self) -> dict[Split, list[Dotted]]:
        """Return the pictures of each split."""
        pictures = self.pictures()
        listed = {} if self.lists is None else _listed(self.lists, pictures)
        if self.lists is not None and not listed:
            raise DataError(f"{self.lists}: none of train.txt, val.txt and test.txt is there")
        taken = {one.name for some in listed.values() for one in some}
        rest = listed.get("train", [one for one in pictures if one.name not in taken])
        fractions: dict[Split, float] = {"test": self.test_fraction, "val": self.val_fraction}
        missing: list[Split] = [split for split in fractions if split not in listed]
        if len(rest) <= len(missing):
            raise DataError(
                f"{self.folder}: {len(rest)} pictures are too few to train on and to carve {' and '.join(missing)} "
                "from; at least 3 are needed, or as many as there are lists missing and one more"
            )
        parts: dict[Split, list[Dotted]] = dict(listed)
        for left, split in zip(range(len(missing), 0, -1), missing, strict=True):
            # never so many that nothing is left to carve or to train on
            fraction = min(fractions[split], (len(rest) - left) / len(rest))
            rest, parts[split] = carve(rest, fraction, self.split_seed)
        return {"train": rest, "val": parts["val"], "test": parts["test"]}


def _listed(folder: Path, pictures: Sequence[Dotted]) -> dict[Split, list[Dotted]]:
    """Return the pictures of each list that is there."""
    names: dict[str, list[Dotted]] = {}
    for one in pictures:
        for name in {one.name, one.picture.name, one.picture.stem}:
            names.setdefault(name, []).append(one)
    parts: dict[Split, list[Dotted]] = {}
    seen: dict[str, str] = {}
    splits: tuple[Split, ...] = ("train", "val", "test")
    for split in splits:
        path = folder / f"{split}.txt"
        if path.is_file():
            parts[split] = [_find(names, line.strip(), where, seen) for where, line in numbered_lines(path)]
            if not parts[split]:
                raise AnnotationError(f"{path}: line 1: the list is empty; remove it or name pictures in it")
    return parts


def _find(names: Mapping[str, list[Dotted]], name: str, where: str, seen: dict[str, str]) -> Dotted:
    found = names.get(name.replace("\\", "/").removeprefix("./"), [])
    if len(found) != 1:
        what = "several pictures are" if found else "no picture with dots is"
        raise AnnotationError(f"{where}: {what} called {shown(name)}; name it relative to the folder")
    if found[0].name in seen:
        raise AnnotationError(f"{where}: {shown(name)} is already in {seen[found[0].name]}")
    seen[found[0].name] = where
    return found[0]
