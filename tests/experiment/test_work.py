"""Running what has no result yet, whoever else is at it."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from dotally.data import ShanghaiTech
from dotally.experiment import Run, Table, Trivial, work
from dotally.experiment.execute import Job, Options, execute, plan
from dotally.experiment.folder import DEAD_AFTER
from dotally.experiment.stopwatch import Stopwatch


@pytest.fixture
def job(table: Table, options: Options) -> Job:
    """The mean of the tiny table, held by a process on another host whose heart beats."""
    job = plan(table.id, table.cells[0], 0, options)  # type: ignore[arg-type]
    job.folder.path.mkdir(parents=True)
    lock(job).write_text(json.dumps({"pid": 7, "host": "another"}))
    return job


def lock(job: Job) -> Path:
    return job.folder.path / "running.lock"


def run(table: Table, options: Options) -> list[str]:
    return [failure.error for failure in work.execute_all(table, [table.cells[0]], (0,), options, 1)]  # type: ignore[list-item]


def test_a_run_of_another_host_is_waited_for_and_taken_over_when_its_heart_stops(
    job: Job, table: Table, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []

    def pass_time(seconds: float) -> None:
        assert job.folder.state() == "running"
        waited.append(seconds)
        past = time.time() - DEAD_AFTER * len(waited) / 2
        os.utime(lock(job), (past, past))

    monkeypatch.setattr(work.time, "sleep", pass_time)
    assert run(table, options) == []
    assert len(waited) == 2
    assert job.folder.state() == "done"
    said = capsys.readouterr().err
    assert "mean.crowd seed 0: process 7 on another is at it; waiting for its result" in said
    assert said.index("waiting") < said.index("mean.crowd seed 0: started in")


def test_a_run_that_another_finishes_is_not_run_again(
    job: Job, table: Table, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(work.time, "sleep", lambda _: execute(job, options))
    assert run(table, options) == []
    assert job.folder.state() == "done"
    assert "started" not in capsys.readouterr().err


def test_the_others_are_run_before_anything_is_waited_for(
    job: Job, table: Table, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = table.cells[1]
    assert isinstance(cell, Run)
    broken = replace(cell, trainer={"gradient_clip_val": "no number"})
    other = plan(table.id, broken, 0, options)

    def leave(_: float) -> None:
        assert other.folder.state() == "failed"
        lock(job).write_text("")

    monkeypatch.setattr(work.time, "sleep", leave)
    (failure,) = work.execute_all(table, [table.cells[0], broken], (0,), options, 1)  # type: ignore[list-item]
    assert failure.name == "net.crowd seed 0"
    assert job.folder.state() == "done"


def test_a_download_that_stopped_half_way_is_warned_of(
    options: Options, tmp_path: Path, shanghaitech_tree: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    shanghaitech_tree(tmp_path / "half", train=4, test=2)
    cell = Trivial(row="mean", column="B", kind="mean", data=partial(ShanghaiTech, "B"))
    table = Table(id="half", title="Half a table", source="test", cells=[cell])
    assert work.execute_all(table, [cell], (0,), replace(options, data_root=str(tmp_path / "half")), 1) == []
    assert "mean.B" in (told := capsys.readouterr().err)
    assert "warning: ShanghaiTech B: only 4 of 400 train and 2 of 316 test pictures are here" in told


def test_a_run_takes_as_long_as_all_its_processes_together(table: Table, options: Options) -> None:
    job = plan(table.id, table.cells[0], 0, options)  # type: ignore[arg-type]
    job.folder.path.mkdir(parents=True)
    (job.folder.path / "time.json").write_text(json.dumps({"seconds": 1000.0, "cpu_seconds": 2000.0}))
    facts = execute(job, options).facts
    assert 1000 <= facts["seconds"] < 1100
    assert 2000 <= facts["cpu_seconds"] < 2100


def test_an_interrupted_stopwatch_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "time.json"
    path.write_text('{"seconds": 10.0, "cpu_seconds": 20.0}')
    with pytest.raises(KeyboardInterrupt), Stopwatch(path):
        raise KeyboardInterrupt
    with Stopwatch(path) as watch:
        assert 10.0 <= watch.read()["seconds"] < 12.0
        assert 20.0 <= watch.read()["cpu_seconds"] < 22.0
    path.write_text('{"seco')
    assert Stopwatch(path).read()["seconds"] < 1.0
