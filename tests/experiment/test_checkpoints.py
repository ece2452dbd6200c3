"""Checkpoints of a training: how often the last one is written."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import override

from dotally.experiment import checkpoints as module
from dotally.experiment.checkpoints import LastCheckpoint, WholeCheckpoints, checkpoints


class Clock:
    """Seconds that pass where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Timed(LightningModule):
    """A network of one weight whose epochs take ten seconds of a clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.clock = clock

    @override
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.clock.now += 10.0
        self.log("val/mae", self.weight.detach())
        return (self.weight - batch[0].mean()) ** 2

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that checkpoints look at."""
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


def written(clock: Clock, folder: Path, monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> list[int]:
    """Train twelve epochs; return those after which ``last.ckpt`` was written, which takes so many seconds."""
    epochs: list[int] = []

    def save(self: WholeCheckpoints, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        if Path(path).name == "last.ckpt":
            epochs.append(checkpoint["epoch"])
            clock.now += seconds

    monkeypatch.setattr(WholeCheckpoints, "save_checkpoint", save)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=12,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(checkpoints(folder, "val/mae")),
        plugins=[WholeCheckpoints()],
    )
    trainer.fit(Timed(clock), DataLoader(TensorDataset(torch.ones(1, 1))))
    return epochs


def test_quick_writes_come_after_every_epoch(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(clock, tmp_path, monkeypatch, seconds=0.5 * LastCheckpoint.QUICK) == list(range(12))


def test_slow_writes_take_a_twentieth_of_the_time(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # two seconds each, so forty pass between two of them: four epochs of ten; the last epoch comes in any case
    assert written(clock, tmp_path, monkeypatch, seconds=2.0) == [0, 4, 8, 11]
