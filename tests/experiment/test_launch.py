"""Many cells at once: processes, commands to print, and submitit where it is installed."""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dotally.errors import DotallyError
from dotally.experiment import Table, cluster, launch, main
from dotally.experiment.execute import Options
from dotally.experiment.failures import Failure, tail
from dotally.experiment.launch import Task, run_at_once

SAY = "import sys; print(sys.argv[1], file=sys.stderr); sys.exit(int(sys.argv[2]))"


def saying(name: str, words: str, code: int) -> Task:
    return Task(name=name, command=(sys.executable, "-c", SAY, words, str(code)))


def test_print_gives_one_command_for_every_cell_and_seed(
    table: Table, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "python")
    monkeypatch.setattr(sys, "argv", ["experiments/tiny.py"])
    arguments = ["--launch", "print", "--data-root", "my data", "--runs", "out", "--accelerator", "cpu"]
    assert main(table, arguments=arguments) == 0
    rest = "--runs out --workers 0 --accelerator cpu --devices 1 --wandb offline --data-root 'my data'"
    assert capsys.readouterr().out == (
        f"python experiments/tiny.py --only mean.crowd --seeds 0 {rest}\n"
        f"python experiments/tiny.py --only net.crowd --seeds 0 {rest}\n"
        f"python experiments/tiny.py --only net.crowd --seeds 1 {rest}\n"
    )


def test_one_that_fails_does_not_stop_the_others() -> None:
    said: list[str] = []
    work = [saying("a", "error: no data", 2), saying("b", "fine", 0), saying("c", "failed: c: it broke\n  why", 1)]
    failures = run_at_once(work, 2, said.append)
    assert {(failure.name, failure.error, failure.exit_code) for failure in failures} == {
        ("a", "no data", 2),
        ("c", "it broke", 1),
    }
    assert next(failure.log for failure in failures if failure.name == "c") == ("why",)
    assert sorted(said) == ["a: failed", "a: started", "b: done", "b: started", "c: failed", "c: started"]


def test_never_more_at_once_than_asked_for(tmp_path: Path) -> None:
    """Each notes that it is there, counts its fellows, and goes."""
    program = (
        "import os, sys, time, pathlib; me = pathlib.Path(sys.argv[1], str(os.getpid())); me.touch(); time.sleep(0.3);"
        "n = len(list(me.parent.iterdir())); me.unlink(); sys.exit(0 if n <= 2 else 1)"
    )
    work = [Task(name=str(i), command=(sys.executable, "-c", program, str(tmp_path))) for i in range(5)]
    assert run_at_once(work, 2, lambda _: None) == []


def test_threads_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.torch, "get_num_threads", lambda: 8)
    program = "import os, sys; sys.exit(int(os.environ['OMP_NUM_THREADS']) != 4)"
    assert run_at_once([Task(name="a", command=(sys.executable, "-c", program))], 2, lambda _: None) == []


def test_an_interruption_reaches_what_is_running() -> None:
    """The child would sleep for a minute and notes the signal; the parent waits for that."""

    def interrupt(_: str) -> None:
        time.sleep(1)
        raise KeyboardInterrupt

    # a shell starts background jobs deaf to this signal, and children inherit that
    program = "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); time.sleep(60)"
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_at_once([Task(name="a", command=(sys.executable, "-c", program))], 1, interrupt)
    assert time.monotonic() - start < 30


def test_a_crash_leaves_its_last_words() -> None:
    (failure,) = run_at_once([saying("a", "one\ntwo\nthree\nSegmentation fault", 139)], 1, lambda _: None)
    assert failure.error == "ended with 139"
    assert failure.log == ("two", "three", "Segmentation fault")


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("one\ntwo\n\nthree\nfour\n\n")
    assert tail(tmp_path / "log.txt") == ("two", "three", "four")
    assert tail(tmp_path / "no.txt") == ()


def script(folder: Path, crowd_folder: Path) -> Path:
    """Write a tiny table with a cell that fails as a script of its own."""
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
                       loss="scaled_mean_square")
        TABLE = Table(id="tiny", title="t", source="s", seeds=(0, 1), cells=[
            Run(row="net", column="crowd", task=task, data=crowd, max_epochs=1),
            Run(row="broken", column="crowd", task=partial(task, lr=1e30), data=crowd, max_epochs=2)])
        if __name__ == "__main__":
            sys.exit(main(TABLE))
        """)
    )
    return path


def run_script(path: Path, runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    machine = ["--runs", str(runs), "--accelerator", "cpu", "--wandb", "off"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(path), *arguments, *machine]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def figures(runs: Path) -> dict[str, object]:
    return {path.parent.name: json.loads(path.read_text())["metrics"] for path in runs.glob("tiny/*/*/run.json")}


def test_jobs_give_what_one_after_the_other_gives(tmp_path: Path, crowd_folder: Path) -> None:
    path = script(tmp_path, crowd_folder)
    together = run_script(path, tmp_path / "together", "--jobs", "2", "--seeds", "0")
    assert together.returncode == 1
    assert "failed: broken.crowd seed 0: the loss became" in together.stderr
    assert "net" in together.stdout
    assert run_script(path, tmp_path / "alone", "--only", "net", "--seeds", "0").returncode == 0
    assert len(figures(tmp_path / "together")) == 1
    assert figures(tmp_path / "together") == figures(tmp_path / "alone")


def test_without_submitit_the_message_says_how_to_get_it(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(DotallyError, match="pip install submitit"):
        cluster.submit([saying("a", "", 0)], "slurm", tmp_path / "submitit", options, jobs=1)


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")
def test_without_a_cluster_there_is_one_line(options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DotallyError, match=r"^--launch slurm: .*srun.*$"):
        cluster.submit([saying("a", "", 0)], "slurm", tmp_path / "submitit", options)


def fake_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch, sbatch: str) -> None:
    """Put programs on the path that answer as SLURM's do; the script that was submitted is kept."""
    folder.mkdir()
    for name, body in {"srun": "exit 0", "sinfo": "echo '(null)'", "sbatch": sbatch}.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")
@pytest.mark.parametrize(("jobs", "array"), [(None, "0-2%3"), (2, "0-2%2"), (1, "0-2%1")])
def test_several_tasks_become_one_array_of_which_so_many_run_at_once(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int | None, array: str
) -> None:
    script = tmp_path / "submitted.sh"
    fake_slurm(tmp_path / "bin", monkeypatch, f'cp "$1" {script}; echo Submitted batch job 7')
    work = [saying(name, "fine", 0) for name in "abc"]
    ids, failures = cluster.submit(work, "slurm", tmp_path / "submitit", options, jobs=jobs)
    assert (ids, failures) == (["7_0", "7_1", "7_2"], [])
    assert f"#SBATCH --array={array}\n" in script.read_text()


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")
def test_a_cluster_that_refuses_is_quoted_in_one_line(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_slurm(tmp_path / "bin", monkeypatch, "echo note >&2; echo 'sbatch: error: invalid partition' >&2; exit 1")
    with pytest.raises(DotallyError, match=r"^--launch slurm: .*error: invalid partition$"):
        cluster.submit([saying("a", "", 0)], "slurm", tmp_path / "submitit", options)


def test_what_has_a_result_is_not_handed_to_a_cluster(
    table: Table, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handed: list[str] = []

    def submit(work: list[Task], *_: object, **__: object) -> tuple[list[str], list[Failure]]:
        handed.extend(task.name for task in work)
        return [task.name for task in work], []

    monkeypatch.setattr(cluster, "submit", submit)
    machine = ["--runs", str(options.runs), "--accelerator", "cpu", "--wandb", "off"]
    assert main(table, arguments=["--only", "mean", *machine]) == 0
    assert main(table, arguments=["--launch", "slurm", "--seeds", "0", *machine]) == 0
    assert handed == ["net.crowd seed 0"]
    assert "1 of 2 runs have a result and are left out" in capsys.readouterr().err
    assert main(table, arguments=["--launch", "slurm", "--only", "mean", *machine]) == 0
    assert handed == ["net.crowd seed 0"]


def test_on_a_cluster_lightning_hears_nothing_of_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    program = "import os, sys; sys.exit('SLURM_JOB_ID' in os.environ)"
    Task(name="a", command=(sys.executable, "-c", program))()
    with pytest.raises(RuntimeError, match="a ended with 3"):
        saying("a", "", 3)()


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")
def test_submitit_runs_tasks_on_this_machine(options: Options, tmp_path: Path) -> None:
    work = [saying("a", "fine", 0), saying("b", "it broke", 1)]
    ids, failures = cluster.submit(work, "local", tmp_path / "submitit", replace(options, accelerator="cpu"), jobs=2)
    assert len(ids) == 2
    assert [failure.name for failure in failures] == ["b"]
    assert Task(name="a", command=("true",)).checkpoint().function.command == ("true",)


def test_commands_are_quoted_for_a_shell() -> None:
    task = Task(name="a", command=("python", "my table.py", "--only", "net*"))
    assert shlex.split(task.line) == list(task.command)
