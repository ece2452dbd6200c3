"""A data set out of a packed file: crops are read, not decoded."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator
from typing_extensions import override

from dotally.data.collate import PaddedBatch
from dotally.data.crowd import CrowdDataModule, Split
from dotally.data.crowd_dataset import CrowdDataset, Points, Record, Sigma, limited
from dotally.data.packed_file import PackedSplit
from dotally.data.published import visible_cells
from dotally.data.sample import CrowdBatch, CrowdSample
from dotally.data.sampling import Draw
from dotally.data.transforms import Augmentation
from dotally.errors import DataError


class PackedDataset(CrowdDataset):
    """Pictures of one split of a packed file.

    A crop without scaling reads its own pixels only. The file is opened in each process that reads it.

    Args:
        packed: The split.
        augmentation: See :class:`CrowdDataset`.
        longest_side: Likewise, for pictures that were packed in their own size.

    Raises:
        DataError: Pictures that were resized when they were packed would be shrunk again: what is shrunk twice is
            smoothed twice, and networks count otherwise in it.
    """

    def __init__(
        self, packed: PackedSplit, *, augmentation: Augmentation | None = None, longest_side: int | None = None
    ) -> None:
        records = [Record(name=name, picture=packed.path, annotation=packed.path) for name in packed.plan.names]
        places = {name: index for index, name in enumerate(packed.plan.names)}
        again = longest_side is not None and any(max(size) > longest_side for size in packed.plan.sizes)
        if again and any(packed.reading.values()):
            how = ", ".join(f"{name}={value}" for name, value in packed.reading.items() if value)
            raise DataError(
                f"{packed.path}: packed with {how}, and networks count otherwise in what is shrunk twice; leave "
                f"out longest_side={longest_side}, or pack with that alone"
            )
        # the widths are in the file
        sigma: Sigma = "adaptive" if packed.plan.adaptive else 1.0
        super().__init__(
            records,
            partial(_points, packed, places),
            sigma=sigma,
            longest_side=longest_side,
            augmentation=augmentation,
        )
        self.packed = packed

    @override
    def __getitem__(self, item: Draw | int) -> CrowdSample:
        draw = item if isinstance(item, Draw) else Draw(item, seed=item)
        if self.augmentation is None:
            return self.load(draw.index)
        picture, copy = divmod(draw.index, self.augmentation.copies)
        whole = self._view(picture)
        made = self.augmentation(whole, copy, Generator().manual_seed(draw.seed))
        # a mirrored crop is a copy already
        return _own(made) if _memory(made) == _memory(whole) else made

    @override
    def load(self, index: int) -> CrowdSample:
        return _own(self._view(index))

    @override
    def counts(self) -> list[int]:
        return list(self.packed.plan.counts)

    def _view(self, index: int) -> CrowdSample:
        return limited(self.packed.sample(index), self.longest_side)


def _own(sample: CrowdSample) -> CrowdSample:
    """Copy the pixels out of the file, which may not be written to."""
    return replace(sample, image=sample.image.clone(memory_format=torch.contiguous_format))


def _memory(sample: CrowdSample) -> int:
    return sample.image.untyped_storage().data_ptr()


def _points(packed: PackedSplit, places: dict[str, int], record: Record) -> Points:
    return packed.points(places[record.name])


class Packed(CrowdDataModule):
    """A data set that ``dotally data pack`` has written to one file; its splits and widths are those of the packing.

    Args:
        file: The packed file.
        options: See :class:`CrowdDataModule`; those that decide on splits and on dots outside do not apply.

    Raises:
        ValueError: If an option is out of range, or the published target is asked for, which needs the source.
        DataError: From ``setup``, if the file is not there or not whole, or holds resized pictures that
            ``longest_side`` would shrink again.
    """

    def __init__(self, file: str | Path, **options: Any) -> None:
        super().__init__(**options)
        self.hparams.pop("file", None)  # a path is no hyperparameter
        if self.target == "official":
            raise ValueError("target='official' is made from the data set itself, not from a packed file")
        self.file = Path(file).expanduser()

    @override
    def dataset(self, split: Split, augmentation: Augmentation | None = None) -> PackedDataset:
        packed, longest_side = PackedSplit(self.file, split), self.reading["longest_side"]
        # what counts with the checkpoint later has to resize alike
        self.hparams.update(packed.reading if any(packed.reading.values()) else {"longest_side": longest_side})
        return PackedDataset(packed, augmentation=augmentation, longest_side=longest_side)

    @override
    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        sets = [getattr(self, f"{split}_set", None) for split in ("train", "val", "test")]
        self._region = any(one.packed.plan.region for one in sets if isinstance(one, PackedDataset))

    @override
    def on_after_batch_transfer(self, batch: PaddedBatch, dataloader_idx: int) -> CrowdBatch:
        ready = super().on_after_batch_transfer(batch, dataloader_idx)
        if self._region:
            height, width = ready["mask"].shape[-2:]
            ready["mask"] = ready["mask"] * visible_cells(ready["image"], self.stride)[..., :height, :width]
        return ready
