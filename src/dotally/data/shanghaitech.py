"""ShanghaiTech A and B (Zhang et al., "Single-Image Crowd Counting via Multi-Column CNN", CVPR 2016)."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from dotally.data import shanghaitech_files as files
from dotally.data.crowd import CrowdDataModule, Split
from dotally.data.crowd_dataset import CrowdDataset, Points, Record, Sigma
from dotally.data.roots import data_roots
from dotally.data.sampling import carve
from dotally.data.transforms import Augmentation
from dotally.errors import DataError

# CSRNet, Li et al., CVPR 2018, table 2
SIGMA: dict[files.Part, Sigma] = {"A": "adaptive", "B": 15.0}


class ShanghaiTechDataset(CrowdDataset):
    """Pictures of one folder of ShanghaiTech, by number; heads are 15 pixels wide in B and adaptive in A.

    Args:
        roots: Folders to look in, see ``shanghaitech_files.find_part``.
        part: "A" (dense, from the web) or "B" (streets of Shanghai).
        split: The folder, "train" or "test".
        numbers: Which pictures of it; None takes all.
        sigma: Width of a head in pixels of the picture as it is loaded, or "adaptive"; None takes the paper's.
        options: Passed on to :class:`CrowdDataset`.

    Raises:
        DataError: If the part is not there, files lack their partner, or a picture of ``numbers`` is missing.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        part: files.Part,
        split: files.Split,
        *,
        numbers: Collection[int] | None = None,
        sigma: Sigma | None = None,
        **options: Any,
    ) -> None:
        pairs = _pairs(roots, part, split)
        missing = sorted(set(numbers or ()) - set(pairs))
        if missing:
            raise DataError(
                f"ShanghaiTech {part}: {len(missing)} {split} pictures are missing, the first is IMG_{missing[0]}.jpg; "
                "`dotally data verify` lists them all"
            )
        records = [
            Record(name=picture.name, picture=picture, annotation=annotation)
            for number, (picture, annotation) in pairs.items()
            if numbers is None or number in numbers
        ]
        super().__init__(records, _read_points, sigma=SIGMA[part] if sigma is None else sigma, **options)


def _pairs(roots: Sequence[Path], part: files.Part, split: files.Split) -> dict[int, tuple[Path, Path]]:
    """Return (picture, annotation) by number."""
    folder = files.find_part(roots, part)
    return dict(zip(folder.pictures(split), folder.pairs(split), strict=True))


def _read_points(record: Record) -> Points:
    return files.read_points(record.annotation)


class ShanghaiTech(CrowdDataModule):
    """ShanghaiTech part A or B as batches.

    With ``split="seed"`` validation is a random tenth of train, and the six train pictures of part A that show the
    scene of a test picture are used for neither. With ``split="official"`` both are CSRNet's published lists
    (240 and 59 pictures of A, 320 and 80 of B), those six included.

    Args:
        part: "A" or "B".
        sigma: See :class:`ShanghaiTechDataset`. A fixed width does not shrink with ``longest_side``.
        options: See :class:`CrowdDataModule`.

    Raises:
        ValueError: If ``part`` is neither, or an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    def __init__(self, part: files.Part = "A", *, sigma: Sigma | None = None, **options: Any) -> None:
        if part not in SIGMA:
            raise ValueError(f"part must be 'A' or 'B', got {part!r}")
        super().__init__(**options)
        self.part, self.sigma = part, sigma

    @override
    def dataset(self, split: Split, augmentation: Augmentation | None = None) -> CrowdDataset:
        roots = data_roots(self.data_root)
        return ShanghaiTechDataset(
            roots,
            self.part,
            "test" if split == "test" else "train",
            numbers=None if split == "test" else self._numbers(roots)[split == "val"],
            sigma=self.sigma,
            augmentation=augmentation,
            **self.reading,
        )

    def _numbers(self, roots: Sequence[Path]) -> tuple[list[int], list[int]]:
        """Return the numbers of the (train, val) pictures."""
        if self.split == "official":
            return files.official_split(self.part)
        leaks = files.LEAKS if self.part == "A" else {}
        candidates = [number for number in _pairs(roots, self.part, "train") if number not in leaks]
        return carve(candidates, self.val_fraction, self.split_seed)
