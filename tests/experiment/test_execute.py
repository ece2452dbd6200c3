"""Running a cell: what it leaves behind, and that a kill at any moment changes nothing."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dotally.errors import TrainingError
from dotally.experiment import Run, Table
from dotally.experiment.execute import Options, execute, plan
from dotally.experiment.results import Result, read_predictions, recompute


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


def test_a_failure_is_recorded_and_leaves_no_result(table: Table, options: Options) -> None:
    broken = replace(network(table), task=lambda: network(table).task(lr=1e30))  # type: ignore[call-arg]
    job = plan(table.id, broken, 0, options)
    with pytest.raises(TrainingError, match="the loss became"):
        execute(job, options)
    assert job.folder.state() == "failed"
    assert "the loss became" in job.folder.reason()
    assert "Traceback" in (job.folder.path / "log.txt").read_text()
    assert not job.folder.result.exists()


def script(folder: Path, crowd_folder: Path) -> Path:
    """Write the tiny table as a script of its own, slow enough to be killed."""
    path = folder / "tiny.py"
    path.write_text(
        textwrap.dedent(f"""
        import sys
        from functools import partial
        from dotally.data import SyntheticCrowd
        from dotally.experiment import Run, Table, main
        from dotally.tasks import CountingTask

        crowd = partial(SyntheticCrowd, folder={str(crowd_folder)!r}, pictures=8, val_pictures=2, test_pictures=4,
                        crop=64, batch_size=4)
        task = partial(CountingTask, model_kwargs={{"width": 1 / 64, "batch_norm": True}}, optimizer="adamw", lr=1e-3,
                       loss="scaled_mean_square", schedule="one-cycle")
        TABLE = Table(id="tiny", title="t", source="s", seeds=(0,), cells=[
            Run(row="net", column="crowd", task=task, data=crowd, max_epochs=12)])
        sys.exit(main(TABLE))
        """)
    )
    return path


def run_script(path: Path, runs: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(path), "--runs", str(runs), "--accelerator", "cpu"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ})


def outcome(runs: Path) -> dict[str, Any]:
    """Return what a run computed, and nothing of how long it took."""
    (path,) = runs.glob("tiny/*/*/run.json")
    record = json.loads(path.read_text())
    weights = torch.load(path.parent / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return {
        "metrics": record["metrics"],
        "curve": (path.parent / "metrics.csv").read_text(),
        "predictions": (path.parent / "predictions.csv").read_text(),
        "weights": {name: value.tolist() for name, value in weights.items()},
    }


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_again_and_again_the_same_command_gives_the_same_result(
    kills: int, tmp_path: Path, crowd_folder: Path, table: Table, options: Options
) -> None:
    table.cells[0].data().prepare_data()  # type: ignore[union-attr]
    path = script(tmp_path, crowd_folder)
    assert run_script(path, tmp_path / "straight").wait() == 0
    killed = tmp_path / "killed"
    for attempt in range(kills):
        process = run_script(path, killed)
        epochs = 1 + attempt % 3
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            curve = next(killed.glob("tiny/*/*/metrics.csv"), None)
            if curve is not None and len(curve.read_text().splitlines()) > epochs + attempt:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run_script(path, killed).wait() == 0
    assert outcome(killed) == outcome(tmp_path / "straight")
