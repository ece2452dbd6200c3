"""Running a cell: what it leaves behind, and that a kill at any moment changes nothing."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dotally.data import CrowdBatch
from dotally.errors import TrainingError
from dotally.experiment import Run, Table, origin
from dotally.experiment.checkpoints import LastCheckpoint, WholeCheckpoints
from dotally.experiment.execute import Options, execute, plan
from dotally.experiment.flags import command_line
from dotally.experiment.job import data_module
from dotally.experiment.localization_answers import recomputed
from dotally.experiment.report import is_stale
from dotally.experiment.results import Result, read_predictions, recompute
from dotally.tasks import CountingTask


def network(table: Table) -> Run:
    cell = table.cells[1]
    assert isinstance(cell, Run)
    return cell


def test_a_run_leaves_its_whole_record(table: Table, options: Options) -> None:
    job = plan(table.id, network(table), 0, options)
    assert job.folder.state() == "planned"
    result = execute(job, options)
    assert job.folder.state() == "done"
    assert Result.read(job.folder.result) == result
    names = {path.name for path in job.folder.path.iterdir()}
    assert names >= {"run.json", "predictions.csv", "metrics.csv", "spec.json", "environment.json", "log.txt"}
    assert len(job.folder.metrics.read_text().splitlines()) == 1 + 3
    assert result.metrics["game0"] == pytest.approx(result.metrics["mae"], rel=1e-4)


def test_the_figures_follow_from_the_predictions(table: Table, options: Options) -> None:
    job = plan(table.id, network(table), 0, options)
    result = execute(job, options)
    for name, value in recompute(read_predictions(job.folder.predictions)).items():
        assert result.metrics[name] == value


def test_two_runs_of_one_seed_are_equal_of_two_seeds_not(table: Table, options: Options, tmp_path: Path) -> None:
    def predictions(seed: int, where: str) -> bytes:
        there = replace(options, runs=tmp_path / where)
        job = plan(table.id, network(table), seed, there)
        execute(job, there)
        return job.folder.predictions.read_bytes()

    assert predictions(0, "a") == predictions(0, "b")
    assert predictions(0, "a") != predictions(1, "a")


def test_deterministic_mode_is_pytorchs_own_and_recorded(table: Table, options: Options) -> None:
    strict = replace(options, deterministic=True)
    try:
        result = execute(plan(table.id, replace(network(table), max_epochs=1), 0, strict), strict)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert result.facts["deterministic"] is True
    assert "--deterministic" in command_line(strict)
    assert "--deterministic" not in command_line(options)


def test_groups_of_pictures_have_an_error_of_their_own(table: Table, options: Options) -> None:
    grouped = replace(network(table), max_epochs=1)
    names = [record.name for record in grouped.data().dataset("test").records]
    job = plan(table.id, replace(grouped, groups={"first": names[0], "nobody": "?"}), 0, options)
    assert job.key != plan(table.id, grouped, 0, options).key
    result = execute(job, options)
    first = read_predictions(job.folder.predictions)[0]
    assert result.metrics["mae_first"] == abs(first.predicted - first.true)
    assert "mae_nobody" not in result.metrics
    assert recomputed(job.folder.predictions, result)[1]["mae_first"] == result.metrics["mae_first"]


def test_choosing_on_test_trains_on_all_that_is_not_tested(table: Table, options: Options) -> None:
    def names(cell: Run, split: str) -> list[str]:
        return [record.name for record in data_module(cell, 0, options).dataset(split).records]  # type: ignore

    usual, chosen = network(table), replace(network(table), protocol="test-best")
    assert names(chosen, "val") == names(chosen, "test") == names(usual, "test")
    assert names(chosen, "train") == names(usual, "train") + names(usual, "val")
    assert plan(table.id, usual, 0, options).key != plan(table.id, chosen, 0, options).key


def test_a_failure_is_recorded_and_leaves_no_result(table: Table, options: Options) -> None:
    broken = replace(network(table), task=lambda: network(table).task(lr=1e30))  # type: ignore[call-arg]
    job = plan(table.id, broken, 0, options)
    with pytest.raises(TrainingError, match="the loss became"):
        execute(job, options)
    assert job.folder.state() == "failed"
    assert "the loss became" in job.folder.reason()
    assert "Traceback" in (job.folder.path / "log.txt").read_text()
    assert not job.folder.result.exists()


KILLING = """
import os, random, signal, sys, time
from functools import partial
from pathlib import Path
from dotally.data import SyntheticCrowd
from dotally.experiment import Run, Table, Trivial, main
from dotally.tasks import CountingTask

crowd = partial(SyntheticCrowd, folder=sys.argv[1], pictures=8, val_pictures=2, test_pictures=4, crop=64, batch_size=4)
task = partial(CountingTask, model_kwargs={"width": 1 / 64, "batch_norm": True}, optimizer="adamw", lr=1e-3,
               loss="scaled_mean_square", schedule="one-cycle")
TABLE = Table(id="tiny", title="t", source="s", seeds=(0, 1), cells=[
    Trivial(row="mean", column="crowd", kind="mean", data=crowd),
    Run(row="net", column="crowd", task=task, data=crowd, max_epochs=6)])
KILLS = 10

def begin(runs):
    child = os.fork()  # a new process for the price of no import
    if child == 0:
        os._exit(main(TABLE, arguments=["--runs", runs, "--accelerator", "cpu", "--wandb", "off"]))
    return child

def end(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def progress():
    epochs = sum(len(path.read_text().splitlines()) - 1 for path in Path("killed").glob("*/*/*/metrics.csv"))
    return epochs + len(list(Path("killed").glob("*/*/*/run.json")))

crowd().prepare_data()
began = time.monotonic()
assert end(begin("straight")) == 0
a_step = (time.monotonic() - began) / 15
draw, alive = random.Random(0), 0
for kill in range(KILLS):
    child, before = begin("killed"), progress()
    # some before anything is done, most at a random moment of the next epoch or test
    look = partial(os.waitid, os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    while kill % 4 and progress() == before and look() is None:
        time.sleep(0.005)
    time.sleep(draw.uniform(0, a_step))
    os.kill(child, signal.SIGKILL)
    alive += end(child) == -signal.SIGKILL
    print(f"kill {kill + 1} after {progress()} of 15 epochs and results")
Path("alive").write_text(str(alive))
sys.exit(end(begin("killed")))
"""


def outcome(runs: Path) -> dict[str, Any]:
    """Return what a table's runs computed, and nothing of how long they took."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in runs.glob("tiny/table.*")}
    for path in runs.glob("tiny/*/*/run.json"):
        record = json.loads(path.read_text())
        kept = {name: record["facts"].get(name) for name in ("best", "best_epoch", "pictures")}
        found[str(path.relative_to(runs))] = {**record, "facts": kept, "environment": None}
        for name in ("metrics.csv", "predictions.csv"):
            if (path.parent / name).exists():
                found[str(path.relative_to(runs).with_name(name))] = (path.parent / name).read_bytes()
    for path in runs.glob("tiny/*/*/checkpoints/*.ckpt"):
        weights = torch.load(path, weights_only=True)["state_dict"]
        found[str(path.relative_to(runs))] = {name: value.tolist() for name, value in weights.items()}
    return found


def test_killed_ten_times_at_random_moments_a_table_is_the_same(tmp_path: Path, crowd_folder: Path) -> None:
    command = [sys.executable, "-c", KILLING, str(crowd_folder)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert int((tmp_path / "alive").read_text()) >= 8, f"kills came too late: {done.stdout}"
    straight = outcome(tmp_path / "straight")
    assert len([name for name in straight if name.endswith("run.json")]) == 3
    assert outcome(tmp_path / "killed") == straight


def test_a_run_that_wrote_its_checkpoint_rarely_goes_on_as_if_nothing_had_happened(
    table: Table, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, stopped = (
        plan(table.id, network(table), 0, replace(options, runs=tmp_path / where)) for where in ("straight", "stopped")
    )
    execute(straight, options)
    step = CountingTask.training_step

    def failing(self: CountingTask, batch: CrowdBatch, batch_idx: int) -> Tensor:
        if self.current_epoch == 2:
            raise RuntimeError("out of memory")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(LastCheckpoint, "QUICK", -1.0)
    monkeypatch.setattr(LastCheckpoint, "SHARE", 1e-9)
    monkeypatch.setattr(CountingTask, "training_step", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        execute(stopped, options)
    assert torch.load(stopped.folder.last, weights_only=True)["epoch"] == 0, "two epochs were trained"
    monkeypatch.undo()
    execute(stopped, options)
    assert stopped.folder.metrics.read_bytes() == straight.folder.metrics.read_bytes()
    assert stopped.folder.predictions.read_bytes() == straight.folder.predictions.read_bytes()


def test_half_a_checkpoint_costs_the_epochs_and_nothing_else(
    table: Table, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    job = plan(table.id, network(table), 0, options)
    whole = execute(job, options)
    job.folder.result.unlink()
    job.folder.last.write_bytes(job.folder.last.read_bytes()[:1000])
    assert execute(job, options).metrics == whole.metrics
    (line,) = capsys.readouterr().err.splitlines()
    assert "last.ckpt is damaged, so the training begins again" in line


def test_a_checkpoint_replaces_another_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(value: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="no space"):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_resumed_with_other_code_is_stale_from_the_beginning(
    table: Table, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = plan(table.id, network(table), 0, options)
    first = execute(job, options)
    job.folder.result.unlink()
    monkeypatch.setattr(origin, "code_hash", lambda modules: "other code")
    second = execute(job, options)
    assert second.code not in (first.code, "other code")
    assert second.environment["resumed_with_other_code"]
    assert "the code that decides it has changed since it was begun" in capsys.readouterr().err
    assert is_stale(job.cell, [second])
    job.folder.result.unlink()
    monkeypatch.undo()
    assert execute(job, options).code not in (first.code, "other code"), "what was mixed stays mixed"
