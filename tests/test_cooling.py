"""A training boxed in time comes to rest: the rate falls, and batch norm's statistics are averaged and kept."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.callbacks import Timer

from dotally.training import cooling as cooling_of
from dotally.training.cooling import Cooling


class Module(LightningModule):
    """Enough of a task."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(2)


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[float, Module]]:
    """``step(cooling, share)``: what the rate is, and the module, when that share of the time is over."""

    def run(cooling: Cooling, share: float, module: Module | None = None, rate: float = 0.4) -> tuple[float, Module]:
        timer = Timer(timedelta(seconds=100))
        monkeypatch.setattr(timer, "time_elapsed", lambda: 100 * share)
        monkeypatch.setattr(timer, "time_remaining", lambda: 100 * (1 - share))
        module = module or Module().train()
        optimizer = torch.optim.SGD(module.parameters(), lr=rate)
        strategy = SimpleNamespace(broadcast=lambda share: share)
        trainer: Any = SimpleNamespace(callbacks=[timer], optimizers=[optimizer], strategy=strategy)
        cooling.on_train_start(trainer, module)
        cooling.on_train_batch_start(trainer, module, None, 0)
        return float(optimizer.param_groups[0]["lr"]), module

    return run


@pytest.mark.parametrize(("share", "rate"), [(0.0, 0.4), (0.5, 0.4), (0.75, 0.2), (1.0, 0.0004), (1.5, 0.0004)])
def test_the_rate_is_kept_for_half_of_the_time_and_then_falls(
    step: Callable[..., tuple[float, Module]], share: float, rate: float
) -> None:
    assert step(Cooling(), share)[0] == pytest.approx(rate)


def test_a_checkpoint_holds_the_rate_that_the_training_began_with(step: Callable[..., tuple[float, Module]]) -> None:
    cooling = Cooling()
    rate, module = step(cooling, 0.9)
    left = torch.optim.SGD(module.parameters(), lr=rate)
    checkpoint = {"optimizer_states": [left.state_dict()]}
    cooling.on_save_checkpoint(None, module, checkpoint)  # type: ignore[arg-type]
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == 0.4
    assert left.param_groups[0]["lr"] == pytest.approx(0.08)


def test_statistics_are_averaged_anew_once_and_then_kept(step: Callable[..., tuple[float, Module]]) -> None:
    cooling = Cooling()
    _, module = step(cooling, 0.6)
    module.norm(torch.randn(4, 2, 8, 8) + 5)
    assert module.norm.momentum == 0.1
    step(cooling, 0.75, module)
    batches = [torch.randn(4, 2, 8, 8) for _ in range(3)]
    for batch in batches:
        module.norm(batch)
        step(cooling, 0.75, module)
    mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    assert torch.allclose(module.norm.running_mean, mean, atol=1e-5)
    step(cooling, 0.85, module)
    module.norm(torch.randn(4, 2, 8, 8) + 5)
    assert torch.allclose(module.norm.running_mean, mean, atol=1e-5)


def test_a_resumed_training_goes_on_averaging(step: Callable[..., tuple[float, Module]]) -> None:
    """A module that is built anew has its own momentum, and the statistics and their number out of the checkpoint."""
    before, batches = Cooling(), [torch.randn(4, 2, 8, 8) for _ in range(4)]
    _, module = step(before, 0.72)
    for batch in batches[:3]:
        module.norm(batch)
    after, again = Cooling(), Module().train()
    after.load_state_dict(before.state_dict())
    again.load_state_dict(module.state_dict())
    step(after, 0.75, again)
    again.norm(batches[3])
    mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    assert torch.allclose(again.norm.running_mean, mean, atol=1e-5)


def test_more_time_begins_the_averaging_anew(step: Callable[..., tuple[float, Module]]) -> None:
    cooling, module = Cooling(), Module().train()
    cooling.load_state_dict({"averaging": True})
    module.norm(torch.randn(4, 2, 8, 8) + 5)
    step(cooling, 0.4, module)
    step(cooling, 0.75, module)
    batch = torch.randn(4, 2, 8, 8)
    module.norm(batch)
    assert torch.allclose(module.norm.running_mean, batch.mean((0, 2, 3)), atol=1e-5)


def test_all_processes_take_the_share_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooling_of, "_share", lambda trainer: 0.9)
    module = Module().train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.4)
    first = SimpleNamespace(broadcast=lambda share: 0.75)
    trainer: Any = SimpleNamespace(callbacks=[], optimizers=[optimizer], strategy=first)
    cooling = Cooling()
    cooling.on_train_start(trainer, module)
    cooling.on_train_batch_start(trainer, module, None, 0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2)
