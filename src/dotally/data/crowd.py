"""Counting data sets: annotated pictures on disk -> samples -> batches with their density at the network's stride."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_lightning import LightningDataModule
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from dotally.data.collate import PaddedBatch, cell_mask, collate
from dotally.data.official_target import official_density, official_target
from dotally.data.pictures import open_picture
from dotally.data.sample import CrowdBatch, CrowdSample
from dotally.data.sampling import Draw, SeededSampler
from dotally.data.transforms import Augmentation, QuarterPatches, RandomCrop, keep_inside, resize
from dotally.errors import AnnotationError, PictureError
from dotally.ops import Border, adaptive_sigma, render_density_batch

Points = NDArray[np.float64]
Split = Literal["train", "val", "test"]
Sigma = float | Literal["adaptive"]
Outside = Literal["drop", "clip"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
_ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True)
class Record:
    """Where one annotated picture lies.

    Attributes:
        name: Unique within its split.
        picture: The picture's file.
        annotation: The file that holds its points.
    """

    name: str
    picture: Path
    annotation: Path


class CrowdDataset(Dataset[CrowdSample]):
    """Annotated pictures as samples. An item is asked for by a :class:`Draw`, or by its index alone.

    Args:
        records: The pictures.
        read_points: Reads a record's annotated heads, ``[N, 2]`` float64 (x, y) in pixels.
        sigma: Width of a head in pixels, or "adaptive" to the distances between heads (``adaptive_sigma``).
        outside: Heads outside the picture are dropped, and so not counted, or moved onto its nearest pixel.
        longest_side: Pictures with a longer side, in pixels, are scaled down to it; None keeps their size.
        official: Whether samples carry the full-size map of the published CSRNet code.
        max_megapixels: Larger pictures are refused.
        augmentation: Makes one or more training items of each picture; None gives whole pictures.

    Raises:
        ValueError: If ``outside`` is unknown, or ``longest_side`` too small or combined with ``official``.
    """

    def __init__(
        self,
        records: Sequence[Record],
        read_points: Callable[[Record], Points],
        *,
        sigma: Sigma,
        outside: Outside = "drop",
        longest_side: int | None = None,
        official: bool = False,
        max_megapixels: float = 200,
        augmentation: Augmentation | None = None,
    ) -> None:
        if outside not in ("drop", "clip"):
            raise ValueError(f"outside must be 'drop' or 'clip', got {outside!r}")
        if longest_side is not None and (longest_side < 1 or official):
            raise ValueError(
                f"longest_side must be at least 1, and None for the published target, got {longest_side}"
            )
        self.records, self.read_points, self.sigma = list(records), read_points, sigma
        self.outside, self.longest_side, self.official = outside, longest_side, official
        self.max_megapixels, self.augmentation = max_megapixels, augmentation

    def __len__(self) -> int:
        return len(self.records) * (self.augmentation.copies if self.augmentation else 1)

    @override
    def __getitem__(self, item: Draw | int) -> CrowdSample:
        draw = item if isinstance(item, Draw) else Draw(item, seed=item)
        if self.augmentation is None:
            return self.load(draw.index)
        picture, copy = divmod(draw.index, self.augmentation.copies)
        return self.augmentation(self.load(picture), copy, Generator().manual_seed(draw.seed))

    def load(self, index: int) -> CrowdSample:
        """Return whole picture ``index`` without augmentation."""
        record = self.records[index]
        pixels = open_picture(record.picture, max_megapixels=self.max_megapixels).image
        size = (pixels.shape[0], pixels.shape[1])
        annotated = self._annotated(record)
        points = self._kept(annotated, size)
        adaptive = self.sigma == "adaptive"
        sample = CrowdSample(
            name=record.name,
            image=torch.from_numpy(pixels).permute(2, 0, 1),
            points=points,
            sigma=adaptive_sigma(points) if adaptive else points.new_full((len(points),), float(self.sigma)),
            adaptive=adaptive,
            density=official_density(annotated, size, self.sigma) if self.official else None,
        )
        return _limit(sample, self.longest_side)

    def annotations(self) -> Iterator[tuple[str, Points]]:
        """Yield the name and the points of every picture as annotated, without opening a picture."""
        for record in self.records:
            yield record.name, self._annotated(record)

    def counts(self) -> list[int]:
        """Return the heads that count in every picture; of the pictures only the headers are read."""
        return [len(self._kept(self._annotated(record), _size(record.picture))) for record in self.records]

    def dropped(self) -> int:
        """Return how many annotated heads do not count, because they lie outside their pictures."""
        return sum(len(points) for _, points in self.annotations()) - sum(self.counts())

    def _annotated(self, record: Record) -> Points:
        points = self.read_points(record)
        if not np.isfinite(points).all():
            raise AnnotationError(f"{record.annotation}: holds coordinates that are not finite (NaN or infinity)")
        return points

    def _kept(self, points: Points, size: tuple[int, int]) -> Tensor:
        if self.outside == "drop":
            points = points[((points >= 0) & (points < (size[1], size[0]))).all(axis=1)]
        # rounding to float32 may have moved a head onto the border, which is outside
        return keep_inside(torch.from_numpy(points).float(), size)


def _limit(sample: CrowdSample, longest_side: int | None) -> CrowdSample:
    if longest_side is None or max(sample.size) <= longest_side:
        return sample
    factor = longest_side / max(sample.size)
    height, width = (max(1, round(side * factor)) for side in sample.size)
    return resize(sample, (height, width))


def _size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a picture as ``open_picture`` turns it, from its header alone."""
    try:
        with Image.open(path) as image:
            size = image.size
            on_its_side = image.getexif().get(_ORIENTATION, 1) in range(5, 9)
    except OSError as error:
        raise PictureError(f"{path}: {error}") from error
    return size if on_its_side else (size[1], size[0])


class CrowdDataModule(LightningDataModule):
    """Base of the counting data sets: augmented pictures to train, whole pictures to validate and test.

    A subclass implements :meth:`dataset`.

    Args:
        data_root: Folder of the data sets, see ``data_roots``.
        batch_size: Items per training batch.
        eval_batch_size: Whole pictures per validation or test batch; more than one means padding.
        stride: Of the network: pixels per cell of the density map.
        augmentation: "crop" (``RandomCrop``), "patches" (``QuarterPatches``, the paper's) or "none".
        crop: Side of a random crop in pixels.
        scale: Range of the random scaling before a crop.
        flip: Probability of mirroring a crop.
        target: "exact" renders the points at the stride, "official" is the published CSRNet code's target.
        border: What becomes of a head's mass outside the picture, for the exact target.
        split: "seed" carves validation out of train at random, "official" uses published lists where they exist.
        val_fraction: Part of train that validates, within 0 and 1.
        split_seed: Decides which part.
        seed: Decides order, crops and patches.
        outside: See :class:`CrowdDataset`.
        longest_side: See :class:`CrowdDataset`.
        max_megapixels: See :class:`CrowdDataset`.
        num_workers: Processes that load pictures.
        pin_memory: Whether batches are pinned for the way to the device; None does so where there is a GPU.

    Raises:
        ValueError: If a choice is unknown, a number out of range, or the official target combined with scaling.
    """

    train_set: CrowdDataset
    val_set: CrowdDataset
    test_set: CrowdDataset

    def __init__(
        self,
        data_root: str | Path | None = None,
        *,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        stride: int = 8,
        augmentation: Literal["crop", "patches", "none"] = "crop",
        crop: int = 512,
        scale: tuple[float, float] = (1.0, 1.0),
        flip: float = 0.5,
        target: Literal["exact", "official"] = "exact",
        border: Border = "renormalize",
        split: Literal["seed", "official"] = "seed",
        val_fraction: float = 0.1,
        split_seed: int = 0,
        seed: int = 0,
        outside: Outside = "drop",
        longest_side: int | None = None,
        max_megapixels: float = 200,
        num_workers: int = 0,
        pin_memory: bool | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["data_root", "max_megapixels", "num_workers", "pin_memory"])
        _check_choice("target", target, ("exact", "official"))
        _check_choice("split", split, ("seed", "official"))
        if target == "official" and (tuple(scale) != (1.0, 1.0) or longest_side is not None):
            raise ValueError("target='official' is defined at full size: it needs scale=(1, 1) and longest_side=None")
        self.data_root = data_root
        self.batch_size, self.eval_batch_size, self.stride = batch_size, eval_batch_size, stride
        self.target, self.border, self.seed = target, border, seed
        self.split, self.val_fraction, self.split_seed = split, val_fraction, split_seed
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self.augmentation = _augmentation(augmentation, crop, scale, flip, seed)
        self.reading: dict[str, Any] = {
            "outside": outside,
            "longest_side": longest_side,
            "official": target == "official",
            "max_megapixels": max_megapixels,
        }

    def dataset(self, split: Split, augmentation: Augmentation | None = None) -> CrowdDataset:
        """Return one split, made with the options in ``self.reading``; "val" is never part of "test"."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its splits are")

    def fingerprint(self) -> str:
        """Return the SHA-256 of all names and annotated points, split by split: what a result was learnt from."""
        digest = hashlib.sha256()
        for split in SPLITS:
            for name, points in self.dataset(split).annotations():
                digest.update(f"{split}/{name}/{len(points)}\n".encode())
                digest.update(points.astype("<f8").tobytes())
        return digest.hexdigest()

    @override
    def setup(self, stage: str | None = None) -> None:
        if stage in (None, "fit", "validate"):
            self.train_set = self.dataset("train", self.augmentation)
            self.val_set = self.dataset("val")
        if stage in (None, "test"):
            self.test_set = self.dataset("test")

    @override
    def train_dataloader(self) -> DataLoader[CrowdSample]:
        sampler = SeededSampler(len(self.train_set), self.seed)
        drop_last = len(self.train_set) > self.batch_size
        return self._loader(self.train_set, batch_size=self.batch_size, sampler=sampler, drop_last=drop_last)

    @override
    def val_dataloader(self) -> DataLoader[CrowdSample]:
        return self._loader(self.val_set, batch_size=self.eval_batch_size)

    @override
    def test_dataloader(self) -> DataLoader[CrowdSample]:
        return self._loader(self.test_set, batch_size=self.eval_batch_size)

    def _loader(self, dataset: CrowdDataset, **options: Any) -> DataLoader[CrowdSample]:
        return DataLoader(
            dataset,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available() if self.pin_memory is None else self.pin_memory,
            collate_fn=partial(collate, multiple=self.stride),
            # a loader without one draws from the global generator, and so would change everything drawn after it
            generator=Generator().manual_seed(self.seed),
            **options,
        )

    @override
    def on_after_batch_transfer(self, batch: PaddedBatch, dataloader_idx: int) -> CrowdBatch:
        if "density" in batch:
            density = torch.stack([official_target(density, self.stride) for density in batch["density"]])
        else:
            density = render_density_batch(
                batch["points"],
                batch["sigma"],
                batch["count"],
                (batch["image"].shape[2], batch["image"].shape[3]),
                stride=self.stride,
                border=self.border,
                valid=batch["size"],
            )
        mask = cell_mask(batch["size"], (density.shape[2], density.shape[3]), self.stride)
        return CrowdBatch(
            name=batch["name"],
            image=batch["image"],
            size=batch["size"],
            points=batch["points"],
            sigma=batch["sigma"],
            count=batch["count"],
            density=density,
            mask=mask,
        )


def _augmentation(
    name: str, size: int, scale: tuple[float, float], flip: float, seed: int
) -> Augmentation | None:
    _check_choice("augmentation", name, ("crop", "patches", "none"))
    if name == "crop":
        # a list, as YAML has it, would not compare equal to the tuple it stands for
        return RandomCrop(size, (scale[0], scale[1]), flip)
    return QuarterPatches(seed) if name == "patches" else None


def _check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(choices)}, got {value!r}")
