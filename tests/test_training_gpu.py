"""The GPU cases of training, tried on a CPU: steps of one form equal those of the others, and busy shares add up."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import training_gpu
from benchmarks.registry import Skipped
from benchmarks.training_gpu import Busy, Place, Step, training_step

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
        for _ in range(3):
            Clock.now += waits
            busy.on_train_batch_start(nobody, nobody)
            Clock.now += works
            busy.on_train_batch_end(nobody, nobody)
    assert busy.share() == pytest.approx(0.9)
    assert busy.seconds() == pytest.approx(0.03)


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_every_case_says_so() -> None:
    found = list(training_gpu.cases())
    assert all(isinstance(case, Skipped) for case in found)
    assert found[0].name == "csrnet_training_512"
