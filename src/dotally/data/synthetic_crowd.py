"""The synthetic crowd as batches: the data set that needs no download, for first runs, tests and ablations."""

from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from dotally.data.crowd import CrowdDataModule, Split
from dotally.data.crowd_dataset import CrowdDataset, Points, Record
from dotally.data.shanghaitech_files import read_points
from dotally.data.synthetic import SyntheticSpec, write_synthetic_crowd
from dotally.data.synthetic.dial import Difficulty
from dotally.data.transforms import Augmentation

CACHE = Path("runs", "data")


class SyntheticCrowd(CrowdDataModule):
    """People on a square, 256x192 pixels, 3 to 140 heads a picture; rendered once, in seconds, then read from files.

    Training, validation and test pictures come from different cameras. The files have ShanghaiTech's layout and
    go through its reader; see ``write_synthetic_crowd``.

    Args:
        pictures: Training pictures, from 24 cameras.
        val_pictures: Validation pictures, from 6 others.
        test_pictures: Test pictures, from 12 others again.
        difficulty: "easy", "default" or "hard".
        render_seed: Decides the pictures; ``seed`` only the order and crops they are trained in.
        annotation_noise: Standard deviation of the training dots around their heads, in head diameters.
        annotation_swaps: Share of the training heads without a dot, from 0 to 0.5; as many others have two.
        sigma: Width of a head in the target, in pixels.
        folder: Where the files are or will be; None takes ``runs/data/synthetic_crowd-<hash>``.
        options: See :class:`CrowdDataModule`; its ``split`` does not apply, the cameras are the split.

    Raises:
        ValueError: If a choice is unknown or a number out of range.
        DataError: From ``prepare_data`` and ``setup``, if ``folder`` holds anything else.
    """

    pictures_may_leave: ClassVar[bool] = True

    def __init__(
        self,
        *,
        pictures: int = 160,
        val_pictures: int = 40,
        test_pictures: int = 120,
        difficulty: Difficulty = "default",
        render_seed: int = 0,
        annotation_noise: float = 0.0,
        annotation_swaps: float = 0.0,
        sigma: float = 4.0,
        folder: str | Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.spec = SyntheticSpec(
            seed=render_seed,
            train=pictures,
            val=val_pictures,
            test=test_pictures,
            difficulty=difficulty,
            annotation_noise=annotation_noise,
            annotation_swaps=annotation_swaps,
        )
        self.folder = CACHE / self.spec.folder_name if folder is None else Path(folder)
        self.sigma = sigma

    @override
    def prepare_data(self) -> None:
        write_synthetic_crowd(self.folder, self.spec)

    @override
    def dataset(self, split: Split, augmentation: Augmentation | None = None) -> CrowdDataset:
        manifest = write_synthetic_crowd(self.folder, self.spec)
        records = [
            self._record(entry["folder"], entry["name"]) for entry in manifest["pictures"] if entry["split"] == split
        ]
        return CrowdDataset(records, _read_points, sigma=self.sigma, augmentation=augmentation, **self.reading)

    def _record(self, folder: str, name: str) -> Record:
        base = self.folder / folder
        annotation = (base / "ground-truth" / f"GT_{name}").with_suffix(".mat")
        return Record(name=name, picture=base / "images" / name, annotation=annotation)


def _read_points(record: Record) -> Points:
    return read_points(record.annotation)
