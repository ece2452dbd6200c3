"""A training that is boxed in time, and so has no last step known beforehand, still has to come to rest."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Timer
from typing_extensions import override

# shares of the time: the rate is kept, then falls to nothing
KEPT = 0.5
# batch norm averages its statistics anew from the first on, and keeps them from the second on
AVERAGED, FROZEN = 0.7, 0.8
_LEAST = 1e-3


class Cooling(Callback):
    """Lower the learning rate as a time box runs out, and freeze batch norm's statistics.

    At a rate that is kept, a narrow network's counts swing from epoch to epoch for as long as it trains. Checkpoints
    hold the rate that the training began with, and whether statistics are being averaged: a resumed one counts the time
    that it had, and goes on from there.
    """

    def __init__(self) -> None:
        self._rates: list[float] = []
        self._averaging = False

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._rates = [float(group["lr"]) for group in self._groups(trainer)]

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # clocks differ, and processes at different rates would train different networks
        share = trainer.strategy.broadcast(_share(trainer))
        factor = max(_LEAST, min(1.0, (1 - share) / (1 - KEPT)))
        for group, rate in zip(self._groups(trainer), self._rates, strict=True):
            group["lr"] = rate * factor
        if share >= AVERAGED:
            self._settle(pl_module, share >= FROZEN)
        else:  # a resumed training may have been given more time
            self._averaging = False

    def _settle(self, module: LightningModule, frozen: bool) -> None:
        for norm in (one for one in module.modules() if isinstance(one, torch.nn.BatchNorm2d)):
            if frozen:
                norm.eval()
                continue
            if not self._averaging:
                norm.reset_running_stats()
            norm.momentum = None  # all batches from here on weigh the same, and checkpoints do not hold it
        self._averaging = True

    def _groups(self, trainer: Trainer) -> list[dict[str, Any]]:
        return [group for optimizer in trainer.optimizers for group in optimizer.param_groups]

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"averaging": self._averaging}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._averaging = state_dict["averaging"]

    @override
    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        groups = [group for state in checkpoint["optimizer_states"] for group in state["param_groups"]]
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate


def _share(trainer: Trainer) -> float:
    """Return how much of the time is over, 0 to 1; 0 where there is no limit."""
    for timer in trainer.callbacks:  # type: ignore[attr-defined]  # the stubs lack it
        if isinstance(timer, Timer):
            left = timer.time_remaining()
            spent = timer.time_elapsed()
            return 0.0 if left is None else min(1.0, spent / max(spent + left, 1e-9))
    return 0.0
