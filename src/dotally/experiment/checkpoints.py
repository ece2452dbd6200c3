"""The checkpoints of a training: which are kept, and that a kill leaves whole ones only."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint
from typing_extensions import override

from dotally.files import atomic_path


class WholeCheckpoints(TorchCheckpointIO):
    """Write a checkpoint beside its place and rename it.

    Lightning's own way moves it out of the system's temporary folder, which is a copy where that is another disk, and
    a kill during the copy leaves half a checkpoint and no whole one.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        with atomic_path(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


def checkpoints(folder: Path, monitor: str) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """Keep ``best.ckpt`` by ``monitor`` (smaller is better), and ``last.ckpt`` of every epoch to resume from.

    Two callbacks, because ``save_last`` of one saves only in epochs that are among the best. The last comes second: it
    holds the state of the first, so a kill between the two repeats an epoch and changes nothing.
    """
    best = ModelCheckpoint(folder, "best", monitor=monitor, save_on_train_epoch_end=True, enable_version_counter=False)
    last = ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    return best, last


def is_whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint exists and was written to its end, where the directory of its parts is."""
    return checkpoint.is_file() and zipfile.is_zipfile(checkpoint)
