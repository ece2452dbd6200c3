"""One run on several devices: the same results, one record, and no process left behind."""

import os
import runpy
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from dotally.experiment import Table, launch, main, work
from dotally.experiment.execute import Options, execute, plan
from dotally.experiment.launch import Task, run_at_once
from dotally.experiment.results import Result

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    "OMP_NUM_THREADS": "1",
    "GLOO_SOCKET_IFNAME": "lo",
}


def write_script(folder: Path, crowd_folder: Path) -> Path:
    """Write a tiny table without batch normalization; an odd number of pictures validates."""
    path = folder / "tiny.py"
    path.write_text(
        textwrap.dedent(f"""
        import sys
        from functools import partial
        from dotally.data import SyntheticCrowd
        from dotally.experiment import Run, Table, Trivial, main
        from dotally.tasks import CountingTask

        crowd = partial(SyntheticCrowd, folder={str(crowd_folder)!r}, pictures=9, val_pictures=3, test_pictures=3,
                        crop=32, batch_size=4)
        task = partial(CountingTask, model_kwargs={{"width": 1 / 64, "init": "he"}}, loss="scaled_mean_square", lr=1e-5)
        TABLE = Table(id="tiny", title="t", source="s", seeds=(0,), cells=[
            Trivial(row="mean", column="crowd", kind="mean", data=crowd),
            Run(row="net", column="crowd", task=task, data=crowd, max_epochs=2)])
        if __name__ == "__main__":
            sys.exit(main(TABLE))
        """)
    )
    return path


def run_script(path: Path, runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    machine = ["--runs", str(runs), "--accelerator", "cpu", "--wandb", "off", "--devices", "2"]
    command = [sys.executable, str(path), *arguments, *machine]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=500)


def test_two_devices_find_what_one_finds(tmp_path: Path, options: Options) -> None:
    path = write_script(tmp_path, tmp_path / "crowd")
    table = runpy.run_path(str(path))["TABLE"]
    job = plan(table.id, table.cells[1], 0, options)
    alone = execute(job, options)
    done = run_script(path, tmp_path / "together", "--only", "net")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("net") == 1  # one process prints the table
    (record,) = (tmp_path / "together").glob("tiny/*/*/run.json")
    together = Result.read(record)
    assert together.key == alone.key
    assert together.facts["devices"] == 2
    assert together.facts["pictures"] == 3
    assert together.metrics == pytest.approx(alone.metrics, rel=1e-4)
    assert together.facts["best"] == pytest.approx(alone.facts["best"], rel=1e-4)
    assert together.facts["best_epoch"] == alone.facts["best_epoch"]
    one, two = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (job.folder.path, record.parent)
    )
    for name in one:
        assert_close(two[name], one[name], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_whole_table_on_two_devices(tmp_path: Path) -> None:
    path = write_script(tmp_path, tmp_path / "crowd")
    done = run_script(path, tmp_path / "runs", "--seeds", "0", "1")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs").glob("tiny/*/*/run.json"))) == 3


def test_every_run_on_several_devices_is_a_command_of_its_own(
    table: Table, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def note(waiting: Sequence[Task], jobs: int, say: object, *, devices: int) -> list[object]:
        asked.extend(task.line for task in waiting)
        assert (jobs, devices) == (1, 2)
        return []

    monkeypatch.setattr(work.launch, "run_at_once", note)
    work.execute_all(table, table.runnable(), (0, 1), replace(options, devices=2), 1)
    assert len(asked) == 3
    assert all("--devices 2" in line for line in asked)


@pytest.mark.parametrize(
    ("devices", "launched", "reason"),
    [
        ("3", {}, "--devices 3 cannot share batches of 4"),
        ("2", {}, "--devices 2 on the CPU would normalize each process's part of a batch by itself"),
        ("2", {"LOCAL_RANK": "0"}, "run the script without torchrun"),
    ],
)
def test_what_would_change_results_is_refused(
    devices: str,
    launched: dict[str, str],
    reason: str,
    table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    machine = ["--runs", str(tmp_path / "runs"), "--accelerator", "cpu", "--wandb", "off", "--devices", devices]
    assert main(table, arguments=["--only", "net", "--seeds", "0", *machine]) == 2
    said = capsys.readouterr().err
    assert f"error: --devices starts its own processes: {reason}" in said if launched else reason in said
    assert "dotally fit" in said
    assert "DOTALLY_LEADER" not in os.environ


def test_a_helper_ends_with_its_leader(tmp_path: Path) -> None:
    helper = (
        "import os, sys, time, pathlib\n"
        "from dotally.experiment.devices import helping\n"
        "with helping():\n"
        "    pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"
        "    time.sleep(300)\n"
    )
    leader = (
        "import os, subprocess, sys, time\n"
        "process = subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]])\n"
        "while not (os.path.exists(sys.argv[2]) and os.path.getsize(sys.argv[2])):\n"
        "    time.sleep(0.1)\n"
        "    assert process.poll() is None\n"
        "os.kill(os.getpid(), 9)\n"
    )
    place = tmp_path / "pid"
    subprocess.run([sys.executable, "-c", leader, helper, str(place)], env=ENVIRONMENT, check=False, timeout=300)
    process = int(place.read_text())
    deadline = time.monotonic() + 60
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not alive(process)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_each_of_several_runs_gets_gpus_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: 5)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4,5,6,7")
    program = "import os, sys, time; time.sleep(1); sys.exit(os.environ['CUDA_VISIBLE_DEVICES'] != sys.argv[1])"
    work = [Task(name=gpus, command=(sys.executable, "-c", program, gpus)) for gpus in ("3,4", "5,6")]
    assert run_at_once(work, 2, lambda _: None, devices=2) == []
