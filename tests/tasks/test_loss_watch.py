"""A loss that breaks down stops the training: at once on the CPU, once it has arrived from a GPU."""

import pytest
import torch

from dotally.errors import TrainingError
from dotally.tasks.loss_watch import EVERY, LossWatch


class Event:
    """A CUDA event that happens when the test says so, or is waited for."""

    happened = False

    def record(self) -> None:
        Event.happened = False

    def query(self) -> bool:
        return Event.happened

    def synchronize(self) -> None:
        Event.happened = True


class OnGpu(torch.Tensor):
    """A number that claims to lie on a GPU."""

    is_cuda = True

    def detach(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> LossWatch:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    return LossWatch()


def explain(loss: str) -> str:
    return f"the loss became {loss}"


def sent(value: float) -> torch.Tensor:
    return torch.tensor(value).as_subclass(OnGpu)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_on_the_cpu_it_stops_at_once(loss: float) -> None:
    with pytest.raises(TrainingError, match=f"the loss became {loss}"):
        LossWatch().see(torch.tensor(loss), 7, explain)


def test_a_gpu_is_asked_every_so_many_steps_and_never_waited_for(watch: LossWatch) -> None:
    for step in range(1, EVERY):
        watch.see(sent(float("nan")), step, explain)
    watch.see(sent(float("nan")), EVERY, explain)
    watch.see(sent(1.0), 2 * EVERY, explain)  # still on its way
    Event.happened = True
    with pytest.raises(TrainingError, match="the loss became nan"):
        watch.see(sent(1.0), 3 * EVERY, explain)


def test_the_end_of_an_epoch_waits_for_what_is_on_its_way(watch: LossWatch) -> None:
    watch.see(sent(float("nan")), 0, explain)
    with pytest.raises(TrainingError):
        watch.read(wait=True)
    watch.read(wait=True)  # it is told once


def test_a_finite_loss_is_let_through(watch: LossWatch) -> None:
    watch.see(sent(1.0), 0, explain)
    watch.read(wait=True)
    watch.see(torch.tensor(1.0), 0, explain)
