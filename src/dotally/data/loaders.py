"""The loaders of every data module: seeded, an even share for each process, no draw from the global generator."""

from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric.utilities.distributed import DistributedSamplerWrapper
from pytorch_lightning import Trainer
from torch import Generator
from torch.utils.data import DataLoader, Dataset, Sampler

from dotally.data.sampling import Draw, Item, SeededSampler
from dotally.data.sending import LightCollate


def seeded_loader(
    dataset: Dataset[Item],
    *,
    collate: Callable[[list[Any]], Any],
    seed: int,
    num_workers: int,
    pin_memory: bool | None,
    **options: Any,
) -> DataLoader[Item]:
    """Return a ``DataLoader``.

    Args:
        dataset: What it loads from.
        collate: Makes a batch, a dictionary, of a list of its items.
        seed: Of the loader's own generator.
        num_workers: Processes that load, kept from epoch to epoch.
        pin_memory: Whether batches are pinned for the way to the device; None does so where there is a GPU.
        options: Of the ``DataLoader``.
    """
    return DataLoader(
        dataset,
        collate_fn=LightCollate(collate) if num_workers else collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        # a loader without one draws from the global generator, and so would change everything drawn after it
        generator=Generator().manual_seed(seed),
        **options,
    )


def training_order(length: int, batch_size: int, seed: int, trainer: Trainer | None) -> dict[str, Any]:
    """Return ``batch_size``, ``sampler`` and ``drop_last`` of a training loader.

    Several processes are dealt out items in turn, so that their batches together are a batch of one process.

    Args:
        length: Items of the data set.
        batch_size: Items per batch and process.
        seed: Decides the order, see :class:`SeededSampler`.
        trainer: Says how many processes there are; None stands for one.
    """
    sampler: Sampler[Draw] = SeededSampler(length, seed)
    share = trainer.distributed_sampler_kwargs if trainer else None
    drop_last = length > batch_size * (share or {"num_replicas": 1})["num_replicas"]
    if share:
        sampler = DistributedSamplerWrapper(sampler, shuffle=False, drop_last=drop_last, **share)
    return {"batch_size": batch_size, "sampler": sampler, "drop_last": drop_last}
