"""The cases of the whole way, at tiny sizes: both sides compute the same, and a side that does not is told."""

from collections.abc import Iterator
from functools import cache

import pytest
import torch

from benchmarks import crowd, evaluation, latency, processes, training
from benchmarks.registry import Case

MODULES = (crowd, training, evaluation, latency, processes)
TINY = {"STEPS": 2, "BATCH": 2, "CROP": 32, "WHOLE": 2, "SIZE": (96, 128)}
CACHES = (
    *(crowd._folder, crowd._drawn, crowd.batch),
    *(training.gate, training.gate_forms, training._prepared, training._step_work, evaluation._task),
    *(latency.picture, latency.weights, latency._counter),
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in MODULES:
        for name, value in TINY.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    for made in CACHES:
        made.cache_clear()
    yield
    for made in CACHES:
        made.cache_clear()


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_cases_have_what_a_table_needs(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (training, processes):
        monkeypatch.setattr(module, "cores", lambda: 2)
    found = [case for module in MODULES[1:] for case in module.cases() if isinstance(case, Case)]
    assert len({case.name for case in found}) == len(found) >= 7
    for case in found:
        assert case.ours in case.implementations
        assert case.implementations.keys() == case.repeats.keys()
        assert case.work.keys() <= case.implementations.keys()
        assert case.name.endswith("_cpu") == (case.device == "cpu")


def test_lightning_and_a_bare_loop_train_the_same_network(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    training.gate()
    monkeypatch.setattr(training, "bare", lambda: crowd.slim())
    with pytest.raises(AssertionError, match="differs after 2 steps"):
        training.gate.__wrapped__()


def test_forms_of_a_step_take_the_same_step_and_leave_the_threads_alone(tiny: None, two_threads: None) -> None:
    training.gate_forms()
    assert training.step("channels last", threads=1) > 0
    assert torch.get_num_threads() == 2


def test_a_form_that_takes_another_step_is_told(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = training._first

    def wrong(one: training._Step) -> tuple[float, torch.Tensor]:
        loss, gradient = whole(one)
        return loss, gradient if one.dtype == torch.float64 else 0.9 * gradient

    monkeypatch.setattr(training, "LAYER", {"contiguous": None})
    monkeypatch.setattr(training, "_first", wrong)
    with pytest.raises(AssertionError, match=r"contiguous: gradient off by 1\.0e-01"):
        training.gate_forms.__wrapped__()


def test_testing_counts_what_a_plain_loop_counts(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation.gate(crowd.crowd)
    counts = evaluation.plain(crowd.crowd)
    monkeypatch.setattr(evaluation, "plain", lambda make, device: [counts[0], counts[1] + 1])
    with pytest.raises(AssertionError, match="the plain loop finds"):
        evaluation.gate(crowd.crowd)


def test_a_gpu_tests_and_counts_with_the_whole_network(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(evaluation, "find_part", lambda roots, part: None)
    monkeypatch.setattr(evaluation, "data_roots", list)
    cases = {case.name: case for case in (*evaluation.cases(), *latency.cases()) if isinstance(case, Case)}
    for name in ("evaluation", "evaluation_shanghaitech_b", "predict_picture"):
        slim, whole = cases[f"{name}_cpu"], cases[name]
        assert (slim.device, whole.device, whole.rate) == ("cpu", "cuda", "tf32")
        assert whole.work[whole.ours][0] > 30 * slim.work[slim.ours][0]


def test_a_loaded_counter_counts_what_plain_pytorch_counts(tiny: None) -> None:
    latency.gate()


@pytest.mark.slow
def test_the_command_counts_what_a_script_counts(tiny: None) -> None:
    latency.gate_command()


@pytest.mark.slow
def test_two_processes_train_as_one(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    crews = cache(processes.Crew)
    monkeypatch.setattr(processes, "crew", crews)
    processes.gate()
    processes.gate()  # they wait for more
    for each in (crews(1, doubled=True), crews(2)):
        each.dismiss()
        assert all(process.returncode == 0 for process in each.processes)
