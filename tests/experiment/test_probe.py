"""What a plan says of a cell before it is run: its state, and what it will cost."""

import runpy
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dotally.errors import DataError
from dotally.experiment import Run, Table, Trivial
from dotally.experiment.execute import Options, execute, plan
from dotally.experiment.probe import Cost, State, _Stopwatch, measured, outlook, probe
from dotally.experiment.results import Result
from dotally.experiment.terminal import about, duration


def network(table: Table) -> Run:
    cell = table.cells[1]
    assert isinstance(cell, Run)
    return cell


def mean(table: Table) -> Trivial:
    cell = table.cells[0]
    assert isinstance(cell, Trivial)
    return cell


def state(table: Table, cell: Run | Trivial, results: list[Result], options: Options) -> tuple[State, str]:
    (only,) = outlook(table, cell, [0], results, options).states
    return only


@pytest.fixture
def done(table: Table, options: Options) -> Result:
    return execute(plan(table.id, mean(table), 0, options), options)


def test_states_follow_a_run(table: Table, options: Options) -> None:
    cell = network(table)
    folder = plan(table.id, cell, 0, options).folder
    assert state(table, cell, [], options) == ("planned", "")
    folder.note("failed", "the loss became nan")
    assert state(table, cell, [], options) == ("failed", "the loss became nan")
    folder.note("running")
    assert state(table, cell, [], options) == ("interrupted", ""), "its process is gone"


def test_what_is_done_is_told_apart_from_what_has_changed(table: Table, options: Options, done: Result) -> None:
    cell = mean(table)
    assert state(table, cell, [done], options) == ("done", "")
    assert state(table, cell, [replace(done, code="older")], options)[0] == "stale"
    median = replace(cell, kind="median")
    assert state(table, median, [done], options) == ("spec changed", "kind: mean -> median")
    elsewhere = replace(options, runs=options.runs / "elsewhere")
    assert state(table, cell, [replace(done, key="0" * 64)], elsewhere)[0] == "data changed"


def test_a_half_written_result_is_a_failure_with_its_remedy(table: Table, options: Options, done: Result) -> None:
    path = plan(table.id, mean(table), 0, options).folder.result
    path.write_text("{")
    assert state(table, mean(table), [], options) == ("failed", f"{path} cannot be read: delete it and run again")


def test_seeds_are_counted(table: Table, options: Options, done: Result) -> None:
    assert outlook(table, mean(table), (0, 1, 2), [done], options).open == 0, "nothing is drawn: one seed is enough"
    assert outlook(table, network(table), (0, 1, 2), [], options).open == 3


def test_finished_runs_are_better_than_a_probe(table: Table, done: Result) -> None:
    first = replace(done, facts={"seconds": 10.0}, environment={"device": "cpu", "commit": "1a2b3c4d5e"})
    second = replace(first, seed=1, facts={"seconds": 20.0})
    assert measured(mean(table), [first, second]) == Cost(seconds=15.0, basis="measured on cpu at 1a2b3c4")
    assert measured(replace(mean(table), kind="median"), [first]) is None


def test_what_a_busy_machine_stretched_is_told_beside_the_time_by_the_clock(table: Table, done: Result) -> None:
    run = replace(done, facts={"seconds": 1134.0, "cpu_seconds": 171.0}, environment={"device": "cpu"})
    cost = measured(mean(table), [run])
    assert cost is not None
    assert about(cost) == "19 min, measured on cpu (2.9 min of CPU time)"
    on_a_gpu = measured(mean(table), [replace(run, environment={"device": "H200"})])
    assert on_a_gpu is not None
    assert about(on_a_gpu) == "19 min, measured on H200"


def test_a_plan_says_what_the_network_costs_at_the_size_of_its_pictures(table: Table, options: Options) -> None:
    cell = network(table)
    told = outlook(table, cell, [0], [], options).network
    parameters = sum(parameter.numel() for parameter in cell.task().model.parameters())
    assert told.startswith(f"{parameters / 1e6:.3g} M, ")
    assert told.endswith(" GFLOP at 256x192")
    assert outlook(table, mean(table), [0], [], options).network == ""

    def missing(**machine: object) -> object:
        if machine:
            raise DataError("nowhere")
        return cell.data()

    elsewhere = outlook(table, replace(cell, data=missing), [0], [], options)  # type: ignore[arg-type]
    assert elsewhere.network.endswith(" GFLOP at 1024x768")


class Clock:
    """A batch takes a second, the first three take ten."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def __call__(self) -> float:
        self.now += 0 if self.calls == 0 else 10 if self.calls <= 3 else 1
        self.calls += 1
        return self.now


@pytest.mark.parametrize(("batches", "seconds"), [(0, 0.0), (1, 10.0), (2, 10.0), (3, 10.0), (4, 1.0), (13, 1.0)])
def test_the_warm_up_is_left_out_where_there_is_more(batches: int, seconds: float) -> None:
    watch = _Stopwatch(3, 10, Clock())
    for _ in range(batches):
        watch.end()
    assert watch.seconds == seconds


def test_a_probe_leaves_nothing_behind_and_needs_no_weights(table: Table, options: Options) -> None:
    cell = network(table)
    offline = replace(cell, task=lambda: cell.task(imagenet="/nowhere/vgg16.pth"))  # type: ignore[call-arg]
    cost = probe(offline, options)
    assert cost.basis == "probe"
    assert cost.seconds > 0
    assert not options.runs.exists()
    assert probe(replace(cell, max_epochs=0), options).seconds > 0
    assert probe(mean(table), options).seconds > 0


@pytest.mark.parametrize(("devices", "seconds"), [(1, 3 * (2 * 10 + 2) + 4), (2, 3 * (2 * 10 + 2) / 2 + 4)])
def test_the_rest_is_multiplication(
    devices: int, seconds: float, table: Table, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three epochs of two steps of 10 s and two validation pictures of 1 s, then four test pictures on one device."""
    monkeypatch.setattr("dotally.experiment.probe._network_seconds", lambda *_: (10.0, 1.0))
    assert probe(network(table), replace(options, devices=devices)).seconds == seconds


@pytest.mark.slow
def test_the_estimate_is_within_30_percent_on_the_synthetic_crowd(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fifth of the epochs of the table; in CPU time, since what others do on this machine is not the cell's."""
    monkeypatch.setattr("dotally.experiment.probe.CLOCK", time.process_time)
    script = Path(__file__).parents[2] / "experiments" / "synthetic_crowd.py"
    (run,) = [cell for cell in runpy.run_path(str(script))["TABLE"].cells if isinstance(cell, Run)]
    run = replace(run, max_epochs=run.max_epochs // 5)
    estimate = probe(run, options).seconds
    result = execute(plan("synthetic_crowd", run, 0, options), options)
    assert estimate == pytest.approx(result.facts["cpu_seconds"], rel=0.3)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.24, "1.2 s"), (89, "89 s"), (90, "1.5 min"), (600, "10 min"), (5400, "1.5 h"), (172800, "2.0 days")],
)
def test_durations_have_two_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_estimate_says_how_sure_it_is() -> None:
    assert about(Cost(seconds=18720, basis="probe")) == "about 5.2 h (±30 %)"
    assert about(Cost(seconds=100, basis="measured on cpu")) == "1.7 min, measured on cpu"
