"""Optimizers and learning-rate schedules, chosen by name."""

from typing import Any, Literal, cast

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

    A network that has a method ``parameter_groups(*, lr, weight_decay)`` is trained in the groups it returns, each at
    its own rate, such as displacements of Gaussians. On a GPU each step is one kernel (``fused``), but where the
    trainer clips gradients: in mixed precision Lightning refuses to clip those of a fused optimizer.

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
    # None is PyTorch's own choice, which is another one on the CPU
    fused = (not trainer.gradient_clip_val and all(parameter.is_cuda for parameter in model.parameters())) or None
    built = _optimizer(model, optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused)
    if schedule is None:
        return built
    scheduler = _scheduler(built, schedule, steps=int(trainer.estimated_stepping_batches))
    return {"optimizer": built, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _optimizer(
    model: nn.Module, name: str, *, lr: float, momentum: float, weight_decay: float, fused: bool | None
) -> torch.optim.Optimizer:
    trained = _trained(model, lr=lr, weight_decay=weight_decay)
    if name == "sgd":
        return torch.optim.SGD(trained, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused)
    if name == "adam":
        return torch.optim.Adam(trained, lr=lr, weight_decay=weight_decay, fused=fused)
    if name == "adamw":
        return torch.optim.AdamW(trained, lr=lr, weight_decay=weight_decay, fused=fused)
    raise ValueError(f"unknown optimizer {name!r}; there are: sgd, adam, adamw")


def _trained(model: nn.Module, *, lr: float, weight_decay: float) -> list[nn.Parameter] | list[dict[str, Any]]:
    offered = getattr(model, "parameter_groups", None)
    if offered is not None:
        return cast(list[dict[str, Any]], offered(lr=lr, weight_decay=weight_decay))
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _scheduler(optimizer: torch.optim.Optimizer, name: str, *, steps: int) -> LRScheduler:
    if name == "one-cycle":
        return OneCycleLR(optimizer, max_lr=[group["lr"] for group in optimizer.param_groups], total_steps=steps)
    if name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    raise ValueError(f"unknown schedule {name!r}; there are: one-cycle, cosine")
