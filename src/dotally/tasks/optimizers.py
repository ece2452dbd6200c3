"""Optimizers and learning-rate schedules, chosen by name."""

from typing import Literal

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["one-cycle", "cosine"]


def configure(
    model: nn.Module,
    trainer: Trainer,
    *,
    optimizer: Optimizer,
    lr: float,
    momentum: float,
    weight_decay: float,
    schedule: Schedule | None,
) -> OptimizerLRScheduler:
    """Build the optimizer and, if asked for, a schedule that moves at every step over the whole training.

    Args:
        model: Whose parameters are trained.
        trainer: Knows how many steps the training has.
        optimizer: ``"sgd"``, ``"adam"`` or ``"adamw"``.
        lr: Learning rate; the peak of ``"one-cycle"``, the start of ``"cosine"``.
        momentum: Of SGD only.
        weight_decay: As the optimizer defines it.
        schedule: ``"one-cycle"`` (up over 30 % of the steps, then down to nearly 0), ``"cosine"`` (down to 0) or None.

    Raises:
        ValueError: If a name is unknown.
    """
    built = _optimizer(model, optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay)
    if schedule is None:
        return built
    scheduler = _scheduler(built, schedule, lr=lr, steps=int(trainer.estimated_stepping_batches))
    return {"optimizer": built, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _optimizer(
    model: nn.Module, name: str, *, lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    raise ValueError(f"unknown optimizer {name!r}; there are: sgd, adam, adamw")


def _scheduler(optimizer: torch.optim.Optimizer, name: str, *, lr: float, steps: int) -> LRScheduler:
    if name == "one-cycle":
        return OneCycleLR(optimizer, max_lr=lr, total_steps=steps)
    if name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    raise ValueError(f"unknown schedule {name!r}; there are: one-cycle, cosine")
