"""The checkpoints of a training: which are kept, and that a kill leaves whole ones only."""

import zipfile
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
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


class LastCheckpoint(ModelCheckpoint):
    """Write ``last.ckpt`` after every epoch, or less often where that would take over a twentieth of the time.

    Epochs of two seconds on a GPU are no time to write a hundred megabytes. What a kill costs grows to no more than
    twenty times what a write takes, and an epoch; the last epoch is always written.
    """

    SHARE = 0.05  # of the time may go into writing
    QUICK = 0.05  # seconds: writes that nobody minds

    _took = 0.0
    _ended = 0.0

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # one process decides, for all of them have to take part
        if not trainer.strategy.broadcast(self._is_due(trainer)):
            return
        begun = monotonic()
        super().on_train_epoch_end(trainer, pl_module)
        self._ended = monotonic()
        self._took = self._ended - begun

    def _is_due(self, trainer: Trainer) -> bool:
        over = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        return over or self._took < self.QUICK or monotonic() - self._ended >= self._took / self.SHARE


def checkpoints(folder: Path, monitor: str) -> tuple[ModelCheckpoint, LastCheckpoint]:
    """Keep ``best.ckpt`` by ``monitor`` (smaller is better), and ``last.ckpt`` to resume from.

    Two callbacks, because ``save_last`` of one saves only in epochs that are among the best. The last comes second: it
    holds the state of the first, so a kill between the two repeats an epoch and changes nothing.
    """
    best = ModelCheckpoint(folder, "best", monitor=monitor, save_on_train_epoch_end=True, enable_version_counter=False)
    last = LastCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    return best, last


def is_whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint exists and was written to its end, where the directory of its parts is."""
    return checkpoint.is_file() and zipfile.is_zipfile(checkpoint)
