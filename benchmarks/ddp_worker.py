"""One process of a training by several: trains for each line it reads, and answers when it is done."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from typing_extensions import override

from dotally.data import SyntheticCrowd
from dotally.tasks import CountingTask


class Held(SyntheticCrowd):
    """Keeps its pictures from turn to turn: to read them once is no training."""

    @override
    def setup(self, stage: str | None = None) -> None:
        if not hasattr(self, "train_set"):
            super().setup(stage)


def main(crowd: dict[str, Any], weights: Path, world: int, epochs: int, steps: int) -> None:
    """Train slim CSRNet without batch norm, whose statistics would be those of each process.

    Args:
        crowd: Arguments of the data module, with the batch of one process.
        weights: File for the weights before and after the first training.
        world: Processes that train together.
        epochs: For each line.
        steps: Of an epoch, at most.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    pl.seed_everything(0, verbose=False)
    kind = {"width": 0.125, "init": "he"}
    task = CountingTask(model_kwargs=kind, loss="scaled_mean_square", lr=1e-6)
    start = {name: value.clone() for name, value in task.model.state_dict().items()}
    data = Held(**crowd)
    print("ready", flush=True)
    for _ in sys.stdin:
        task.model.load_state_dict(start)
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=world,
            strategy="ddp" if world > 1 else "auto",
            max_epochs=epochs,
            limit_train_batches=steps,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(task, data)
        if trainer.is_global_zero and not weights.exists():
            torch.save({"before": start, "after": task.model.state_dict()}, weights)
        print("done", flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
