"""Optimizers by name: in one kernel a step on a GPU, but where that would forbid something else."""

from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import nn

from dotally.tasks.optimizers import Optimizer, configure


class OnGpu(nn.Parameter):
    """A parameter that says it is on a GPU; fused optimizers take those on a CPU too."""

    is_cuda = True  # type: ignore[assignment]


def built(name: Optimizer, clip: float | None) -> torch.optim.Optimizer:
    model = nn.Module()
    model.weight = OnGpu(torch.ones(3))
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", gradient_clip_val=clip)
    settings: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "schedule": None}
    return configure(model, trainer, optimizer=name, **settings)  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_step_on_a_gpu_is_one_kernel(name: Optimizer) -> None:
    assert built(name, None).param_groups[0]["fused"]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_gradients_can_be_clipped_in_mixed_precision_on_a_gpu(name: Optimizer) -> None:
    precision = MixedPrecision("bf16-mixed", "cuda")
    precision.clip_gradients(built(name, 0.5), clip_val=0.5)
    with pytest.raises(RuntimeError, match="fused"):  # why it is not fused
        precision.clip_gradients(built(name, None), clip_val=0.5)
