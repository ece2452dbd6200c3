"""What every counting data module has in common: splits, loaders, and targets rendered on the device."""

import hashlib
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.overrides.distributed import UnrepeatedDistributedSamplerWrapper
from torch.utils.data import DataLoader
from typing_extensions import override

from dotally.data.collate import PaddedBatch, cell_mask, collate
from dotally.data.crowd_dataset import CrowdDataset, Outside
from dotally.data.loaders import seeded_loader, training_order
from dotally.data.official_target import official_target
from dotally.data.sample import CrowdBatch, CrowdSample
from dotally.data.transforms import Augmentation, QuarterPatches, RandomCrop
from dotally.errors import DataError
from dotally.ops import Border, render_density_batch

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
# where the same data module differs only in speed, or reads the same pictures from elsewhere
OPERATIONAL = ("data_root", "max_megapixels", "keep_in_memory", "num_workers", "pin_memory")


class CrowdDataModule(LightningDataModule, ABC):
    """Base of the counting data sets: augmented pictures to train, whole pictures to validate and test.

    A subclass implements :meth:`dataset`.

    Attributes:
        pictures_may_leave: Whether its pictures may be copied into records that others see. Those of public data sets
            show people who were not asked, so only density maps are.

    Args:
        data_root: Folder of the data sets, see ``data_roots``.
        batch_size: Items per training batch and process.
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
        keep_in_memory: See :class:`CrowdDataset`; makes epochs after the first faster where the pictures fit.
        num_workers: Processes that load pictures.
        pin_memory: Whether batches are pinned for the way to the device; None does so where there is a GPU.

    Raises:
        ValueError: If a choice is unknown, a number out of range, or the official target combined with scaling.
    """

    pictures_may_leave: ClassVar[bool] = False
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
        keep_in_memory: bool = False,
        num_workers: int = 0,
        pin_memory: bool | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["folder", *OPERATIONAL])
        _check_choice("target", target, ("exact", "official"))
        _check_choice("border", border, ("renormalize", "lose"))
        _check_choice("split", split, ("seed", "official"))
        if target == "official" and (tuple(scale) != (1.0, 1.0) or longest_side is not None):
            raise ValueError("target='official' is a full-size map: it needs scale=(1, 1) and longest_side=None")
        if not 0 < val_fraction < 1:
            raise ValueError(f"val_fraction must lie within 0 and 1, got {val_fraction}")
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
            "keep_in_memory": keep_in_memory,
        }

    @abstractmethod
    def dataset(self, split: Split, augmentation: Augmentation | None = None) -> CrowdDataset:
        """Return one split, made with the options in ``self.reading``; "val" is never part of "test"."""

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
        order = training_order(len(self.train_set), self.batch_size, self.seed, self.trainer)
        return self._loader(self.train_set, **order)

    @override
    def val_dataloader(self) -> DataLoader[CrowdSample]:
        return self._whole(self.val_set)

    @override
    def test_dataloader(self) -> DataLoader[CrowdSample]:
        return self._whole(self.test_set)

    def _whole(self, dataset: CrowdDataset) -> DataLoader[CrowdSample]:
        """Return whole pictures in order; several processes take turns, and none is counted twice to even them out."""
        share = self.trainer.distributed_sampler_kwargs if self.trainer else None
        if not share:
            return self._loader(dataset, batch_size=self.eval_batch_size)
        if len(dataset) < share["num_replicas"]:  # a process without a batch would leave the others waiting
            raise DataError(f"{len(dataset)} pictures to measure on {share['num_replicas']} devices: use fewer devices")
        sampler = UnrepeatedDistributedSamplerWrapper(range(len(dataset)), shuffle=False, **share)
        return self._loader(dataset, batch_size=self.eval_batch_size, sampler=sampler)

    def _loader(self, dataset: CrowdDataset, **options: Any) -> DataLoader[CrowdSample]:
        return seeded_loader(
            dataset,
            collate=partial(collate, multiple=self.stride),
            seed=self.seed,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
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


def _augmentation(name: str, size: int, scale: tuple[float, float], flip: float, seed: int) -> Augmentation | None:
    _check_choice("augmentation", name, ("crop", "patches", "none"))
    if name == "crop":
        # a list, as YAML has it, would not compare equal to the tuple it stands for
        return RandomCrop(size, (scale[0], scale[1]), flip)
    return QuarterPatches(seed) if name == "patches" else None


def _check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(choices)}, got {value!r}")
