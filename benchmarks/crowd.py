"""What the cases of the whole way share: a small synthetic crowd on disk, gone with the process, and slim CSRNet."""

import copy
import logging
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback

from dotally.data import SyntheticCrowd
from dotally.data.sample import CrowdBatch
from dotally.experiment.job import Options
from dotally.experiment.spec import Run
from dotally.experiment.train import trainer_arguments
from dotally.tasks import CountingTask
from dotally.tasks.recipes import slim_csrnet

BATCH, CROP, STEPS, WHOLE = 8, 256, 8, 24


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="dotally-crowd-")


def folder() -> Path:
    """Return a folder that the process takes with it."""
    return Path(_folder().name)


def crowd() -> SyntheticCrowd:
    """Return a data module of ``STEPS`` training batches and ``WHOLE`` pictures to test on, with its files written."""
    data = SyntheticCrowd(**crowd_arguments())
    data.prepare_data()
    return data


def crowd_arguments() -> dict[str, Any]:
    """Return the data module's arguments, which another process can be told."""
    return {
        "folder": str(folder() / "crowd"),
        "pictures": STEPS * BATCH,
        "val_pictures": 1,
        "test_pictures": WHOLE,
        "crop": CROP,
        "batch_size": BATCH,
        "keep_in_memory": True,
    }


def cores() -> int:
    """Return how many cores this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


@cache
def _drawn() -> CountingTask:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return slim_csrnet()


def slim() -> CountingTask:
    """Return slim CSRNet as the synthetic table trains it, always with the same first weights."""
    return copy.deepcopy(_drawn())


def subject(device: str) -> CountingTask:
    """Return what is worth timing on a device: slim CSRNet on a CPU, all of it on a GPU; always the same weights."""
    if device == "cpu":
        return slim()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CountingTask("csrnet", {"init": "he"})


@cache
def batch() -> CrowdBatch:
    """Return the first training batch, its density rendered."""
    data = crowd()
    data.setup("fit")
    return data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)


def trainer(*callbacks: Callback, accelerator: str = "cpu", **more: Any) -> pl.Trainer:
    """Return a trainer set up as those of the tables are, for one epoch without validation and checkpoints."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    run = Run(row="csrnet-slim", column="synthetic", task=slim_csrnet, data=SyntheticCrowd, max_epochs=1)
    arguments = trainer_arguments(run, Options(accelerator=accelerator, progress=False)) | more
    quiet: dict[str, Any] = {"enable_checkpointing": False, "limit_val_batches": 0}
    return pl.Trainer(**arguments, **quiet, max_epochs=1, callbacks=[*callbacks])
