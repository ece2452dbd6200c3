"""What drives CSRNet's training step on a GPU: Lightning, a bare loop, or one launch of a CUDA graph.

All take the same steps on one batch that lies on the device; Lightning is told what the tables' trainings tell it, and
its time holds the beginning and the end of a training.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, cast

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from benchmarks.crowd import trainer
from benchmarks.registry import Case, Skipped
from benchmarks.timing import captured
from benchmarks.training_gpu import OURS, Place, Step, about, compare, facts, operations, step
from dotally.callbacks import Heartbeat
from dotally.data.collate import PaddedBatch
from dotally.data.sample import CrowdBatch

LIGHTNING, BARE, GRAPH = "Lightning", "bare loop", "dotally, CUDA graph"
STEPS = 150  # of a turn: some seconds, beside which a training's beginning is short
CLOSE = 1e-2  # relative differences of losses, and of how far the weights went, in bfloat16


def cases() -> Iterator[Case | Skipped]:
    """Yield Lightning's overhead and the graph, where there is a GPU."""
    for name, make in (("lightning_overhead", overhead), ("csrnet_training_512_graph", graph)):
        yield make(name, Place()) if torch.cuda.is_available() else Skipped(name, "it needs a CUDA GPU")


def overhead(name: str, place: Place, steps: int = STEPS) -> Case:
    """Return the case of some steps by Lightning and by a loop."""
    runs: dict[str, Callable[[], object]] = {
        LIGHTNING: partial(by_lightning, place, steps),
        BARE: partial(by_loop, place, steps),
    }
    return Case(
        name=name,
        about=f"CSRNet, {steps} times {about(place)}",
        ours=LIGHTNING,
        implementations=runs,
        gate=partial(_gate_overhead, place),
        repeats=dict.fromkeys(runs, 4),
        facts=facts(place) | {"pictures": steps * place.batch, "steps": steps},
        work=dict.fromkeys(runs, (steps * operations(place), 0.0)),
        rate="bf16",
        device=place.device,
    )


def graph(name: str, place: Place) -> Case:
    """Return the case of a step launched kernel by kernel and as one graph."""
    return Case(
        name=name,
        about=f"CSRNet, {about(place)}",
        ours=OURS,
        implementations={OURS: partial(step, OURS, place), GRAPH: lambda: _replayed(place)()},
        gate=partial(_gate_graph, place),
        repeats={OURS: 30, GRAPH: 30},
        facts=facts(place),
        work=dict.fromkeys((OURS, GRAPH), (operations(place), 0.0)),
        rate="bf16",
        device=place.device,
    )


class Again(LightningDataModule):
    """One batch, as often as there are steps."""

    def __init__(self, taken: Step, steps: int) -> None:
        super().__init__()
        self.taken, self.steps = taken, steps

    @override
    def train_dataloader(self) -> DataLoader[Any]:
        batches = cast(Dataset[PaddedBatch], [self.taken.batch] * self.steps)
        return DataLoader(batches, batch_size=None)

    @override
    def on_after_batch_transfer(self, batch: PaddedBatch, dataloader_idx: int) -> CrowdBatch:
        return self.taken.data.on_after_batch_transfer(batch, dataloader_idx)


def by_lightning(place: Place, steps: int) -> LightningModule:
    """Take steps as a table's training does, and return the task."""
    taken = _begun(LIGHTNING, place)
    taken.task.configure_optimizers = lambda: taken.optimizer  # type: ignore[method-assign]
    accelerator = "gpu" if place.device == "cuda" else "cpu"
    driver = trainer(Heartbeat(lambda: None, 1.0), accelerator=accelerator, precision="bf16-mixed")
    driver.fit(taken.task, Again(taken, steps))
    return taken.task


def by_loop(place: Place, steps: int) -> LightningModule:
    """Take steps by nothing but PyTorch, and return the task."""
    taken = _begun(BARE, place)
    for _ in range(steps):
        taken()
    return taken.task


class Replayed:
    """A step held by a CUDA graph, from the same first weights; a call replays it.

    Args:
        place: Where and how large.
        hold: Makes a graph of a call and returns what replays it.
    """

    def __init__(self, place: Place, hold: Callable[[Callable[[], Any]], Callable[[], Any]] = captured) -> None:
        self.step = Step(OURS, place)
        weights = list(self.step.task.model.parameters())
        before = [weight.detach().clone() for weight in weights]
        self.replay = hold(self._take)
        with torch.no_grad():  # in place: the graph knows addresses
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)
            for state in self.step.optimizer.state.values():
                state["momentum_buffer"].zero_()

    def __call__(self) -> Tensor:
        """Take the step and return its loss, which the next step overwrites."""
        self.replay()
        return self.loss

    def _take(self) -> None:
        self.loss = self.step()


_replayed = cache(Replayed)


@cache
def _begun(driver: str, place: Place) -> Step:
    return Step(OURS, place)


def _gate_graph(place: Place) -> None:
    usual = Step(OURS, place)
    compare(GRAPH, _replayed(place), [float(usual()), float(usual())], CLOSE)


def _gate_overhead(place: Place) -> None:
    """Compare how far two steps take the weights; each driver goes on with its own."""
    before = _weights(Step(OURS, place).task)
    ours, theirs = (_weights(run(place, 2)) - before for run in (by_lightning, by_loop))
    assert float(theirs.norm()) > 0, "nothing was trained"
    off = float((ours - theirs).norm() / theirs.norm())
    assert off <= CLOSE, f"{LIGHTNING} leads {off:.1e} of the way elsewhere"


def _weights(task: LightningModule) -> Tensor:
    parts = [parameter.detach().double().flatten().cpu() for parameter in task.parameters()]
    return torch.cat(parts)
