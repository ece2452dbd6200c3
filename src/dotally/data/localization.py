"""What every localization data module has in common: splits, loaders, labels alone to train on."""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader
from typing_extensions import override

from dotally.data.box_dataset import BoxRecord, LocalizationDataset
from dotally.data.box_sample import BoxSample, collate_boxes
from dotally.data.box_transforms import Framing, RandomView
from dotally.data.loaders import seeded_loader, training_order

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
# where the same data module differs only in speed, or reads the same pictures from elsewhere
OPERATIONAL = ("data_root", "max_megapixels", "keep_in_memory", "num_workers", "pin_memory")


class LocalizationDataModule(LightningDataModule, ABC):
    """Base of the localization data sets: pictures with labels to train, with labels and boxes to judge by.

    The boxes of training pictures never reach a batch. Every picture counts; none is left out, and no last batch is
    dropped in validation and test. A subclass implements :meth:`records` and :meth:`class_names`.

    Attributes:
        pictures_may_leave: Whether its pictures may be copied into records that others see.

    Args:
        data_root: Folder of the data sets, see ``data_roots``.
        batch_size: Pictures per training batch and process.
        eval_batch_size: Pictures per validation or test batch.
        framing: "crop" (shorter side to ``side``, centre cut out: the released STNet), "warp" (to a square) or "keep".
        side: Of the framed picture in pixels.
        area: Random training views take this range of a picture's area; see :class:`RandomView`.
        flip: Probability of mirroring a training picture.
        val_fraction: Part of train that validates, within 0 and 1.
        split_seed: Decides which part.
        seed: Decides order and views.
        max_megapixels: Larger pictures are refused.
        keep_in_memory: See :class:`LocalizationDataset`; makes epochs after the first faster where the pictures fit.
        num_workers: Processes that load pictures.
        pin_memory: Whether batches are pinned for the way to the device; None does so where there is a GPU.

    Raises:
        ValueError: If a choice is unknown or a number out of range.
    """

    pictures_may_leave: ClassVar[bool] = False
    train_set: LocalizationDataset
    val_set: LocalizationDataset
    test_set: LocalizationDataset

    def __init__(
        self,
        data_root: str | Path | None = None,
        *,
        batch_size: int = 32,
        eval_batch_size: int = 32,
        framing: Framing = "crop",
        side: int = 224,
        area: tuple[float, float] = (1.0, 1.0),
        flip: float = 0.5,
        val_fraction: float = 0.1,
        split_seed: int = 0,
        seed: int = 0,
        max_megapixels: float = 200,
        keep_in_memory: bool = False,
        num_workers: int = 0,
        pin_memory: bool | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["folder", *OPERATIONAL])
        if not 0 < val_fraction < 1:
            raise ValueError(f"val_fraction must lie within 0 and 1, got {val_fraction}")
        self.data_root, self.seed = data_root, seed
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_fraction, self.split_seed = val_fraction, split_seed
        self.num_workers, self.pin_memory = num_workers, pin_memory
        # a list, as YAML has it, would not compare equal to the tuple it stands for
        self.augmentation = RandomView((area[0], area[1]), flip)
        self.reading: dict[str, Any] = {
            "framing": framing,
            "side": side,
            "max_megapixels": max_megapixels,
            "keep_in_memory": keep_in_memory,
        }
        LocalizationDataset([], **self.reading)  # an unknown framing is refused here, not when files are read

    @abstractmethod
    def records(self, split: Split) -> list[BoxRecord]:
        """Return the pictures of one split; those of "val" and "test" have boxes, and no picture is in two splits."""

    @abstractmethod
    def class_names(self) -> list[str]:
        """Return what the classes are called; a label is a place in this list."""

    def splits(self) -> tuple[Split, ...]:
        """Return the splits there are."""
        return SPLITS

    @property
    def num_classes(self) -> int:
        """Number of classes, those without a picture included."""
        return len(self.class_names())

    def dataset(self, split: Split, augmentation: RandomView | None = None) -> LocalizationDataset:
        """Return one split; that of "train" has no boxes."""
        return LocalizationDataset(
            self.records(split), labels_only=split == "train", augmentation=augmentation, **self.reading
        )

    def fingerprint(self) -> str:
        """Return the SHA-256 of all names, labels and annotated boxes: what a result was learnt from and judged by."""
        digest = hashlib.sha256()
        for split in self.splits():
            for name, label, boxes in self.dataset(split).annotations():
                digest.update(f"{split}/{name}/{label}/{len(boxes)}\n".encode())
                digest.update(boxes.astype("<f8").tobytes())
        return digest.hexdigest()

    @override
    def setup(self, stage: str | None = None) -> None:
        if stage in (None, "fit"):
            self.train_set = self.dataset("train", self.augmentation)
        if stage in (None, "fit", "validate"):
            self.val_set = self.dataset("val")
        if stage in (None, "test"):
            self.test_set = self.dataset("test")

    @override
    def train_dataloader(self) -> DataLoader[BoxSample]:
        order = training_order(len(self.train_set), self.batch_size, self.seed, self.trainer)
        return self._loader(self.train_set, **order)

    @override
    def val_dataloader(self) -> DataLoader[BoxSample]:
        return self._loader(self.val_set, batch_size=self.eval_batch_size)

    @override
    def test_dataloader(self) -> DataLoader[BoxSample]:
        return self._loader(self.test_set, batch_size=self.eval_batch_size)

    def _loader(self, dataset: LocalizationDataset, **options: Any) -> DataLoader[BoxSample]:
        return seeded_loader(
            dataset,
            collate=collate_boxes,
            seed=self.seed,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            **options,
        )
