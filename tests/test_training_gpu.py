"""The GPU cases of training, tried on a CPU: steps of one form equal those of the others, and busy shares add up."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import gaunet_gpu, loop_gpu, training_gpu
from benchmarks.registry import Skipped
from benchmarks.training_gpu import Busy, Place, Step, training_step
from dotally.experiment.promises import read_promises

ROOT = Path(__file__).parents[1]
SMALL = Place(device="cpu", crop=64, batch=2, width=1 / 32)


class Clock:
    """Events of a device whose time the test sets."""

    now = 0.0

    def __init__(self) -> None:
        self.at = -1.0

    def record(self) -> None:
        self.at = Clock.now

    def synchronize(self) -> None: ...

    def elapsed_time(self, end: "Clock") -> float:
        return end.at - self.at


def test_the_busy_share_is_work_over_the_epoch() -> None:
    busy, nobody = Busy(Clock), SimpleNamespace()
    for epoch, (waits, works) in enumerate([(50.0, 10.0), (1.0, 9.0)]):  # what counts is the last
        Clock.now = 1000.0 * epoch
        busy.on_train_epoch_start(nobody, nobody)
        for kind in ("train", "train", "validation"):
            Clock.now += waits
            getattr(busy, f"on_{kind}_batch_start")(nobody, nobody)
            Clock.now += works
            getattr(busy, f"on_{kind}_batch_end")(nobody, nobody)
        Clock.now += 10.0
        busy.on_train_epoch_end(nobody, nobody)
    assert busy.share() == pytest.approx(27 / 40)
    assert busy.seconds() == pytest.approx(0.04)


def test_forms_of_a_step_learn_the_same() -> None:
    case = training_step("small", ("float32 (TF32)", "contiguous", "one kernel a parameter"), SMALL)
    case.gate()
    assert case.facts["pictures"] == 2
    assert case.work["dotally"][0] > 0


def test_a_step_that_learns_otherwise_fails_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    usual: Any = Step.__call__
    wrong = {"contiguous": 1.5}
    monkeypatch.setattr(Step, "__call__", lambda self: usual(self) * wrong.get(self.form, 1.0))
    with pytest.raises(AssertionError, match="contiguous: loss"):
        training_step("small", ("contiguous",), SMALL).gate()


def test_gaunet_s_steps_stand_beside_csrnet_s(monkeypatch: pytest.MonkeyPatch) -> None:
    case = gaunet_gpu.networks("small", SMALL)
    case.gate()
    assert case.implementations.keys() == case.work.keys() == case.repeats.keys()
    losses = {name: float(run()) for name, run in case.implementations.items()}
    assert len(set(losses.values())) == 3, "they are three networks"
    usual: Any = Step.__call__
    wrong = {True: 1.5, False: 1.0}
    monkeypatch.setattr(Step, "__call__", lambda self: usual(self) * wrong[self.form != "dotally"])
    with pytest.raises(AssertionError, match=r"float32 \(TF32\): loss"):
        case.gate()


def warmed(take: Any) -> Any:
    """Do with a call what making a graph of it does, without a device to hold one."""
    for _ in range(3):
        take()
    return take


def test_a_replayed_step_goes_on_from_the_first_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    case = loop_gpu.graph("small", SMALL)
    monkeypatch.setattr(loop_gpu, "_replayed", cache(lambda place: loop_gpu.Replayed(place, warmed)))
    case.gate()
    assert all(bool(torch.isfinite(run())) for run in case.implementations.values())
    monkeypatch.setattr(torch.Tensor, "copy_", lambda self, other: self)  # the weights stay where warming up led
    monkeypatch.setattr(loop_gpu, "_replayed", lambda place: loop_gpu.Replayed(place, warmed))
    with pytest.raises(AssertionError, match="CUDA graph: loss"):
        case.gate()


def test_lightning_and_a_bare_loop_take_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    loop_gpu._begun.cache_clear()
    case = loop_gpu.overhead("small", SMALL, steps=2)
    case.gate()
    for run in case.implementations.values():
        run()
    assert case.facts["steps"] == 2
    loop_gpu._begun.cache_clear()
    monkeypatch.setattr(loop_gpu, "by_loop", lambda place, steps: Step("dotally", place).task)
    with pytest.raises(AssertionError, match="nothing was trained"):
        case.gate()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_every_case_says_so_and_every_promise_of_one_has_its_case() -> None:
    found = [case for module in (training_gpu, gaunet_gpu, loop_gpu) for case in module.cases()]
    assert all(isinstance(case, Skipped) for case in found)
    assert found[0].name == "csrnet_training_512"
    named = {case.name for case in found}
    others = ("gaussian_conv_", "topdown_")
    promised = {each.case for each in read_promises(ROOT) if each.on == "gpu" and not each.case.startswith(others)}
    assert promised <= named
