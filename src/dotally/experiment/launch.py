"""Many cells at once, each a process that runs the table's own script for one cell and seed."""

import importlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from dotally.experiment.failures import LINES, Failure
from dotally.experiment.flags import command_line
from dotally.experiment.job import Options
from dotally.experiment.report import seeds_of
from dotally.experiment.spec import Run, Trivial

POLL = 0.05  # seconds between looks at processes that take minutes
SIGNAL = "USR1"  # what a cluster sends before it takes a machine away


@dataclass(frozen=True, kw_only=True)
class Task:
    """One cell at one seed as a command of its own; submitit calls it on the cluster.

    Attributes:
        name: ``row.column seed k``.
        command: Program and arguments.
        environment: What is added to the environment.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """The command for a shell."""
        return shlex.join(self.command)

    def __call__(self) -> None:
        """Run the command.

        Raises:
            RuntimeError: If it fails; submitit hands that to whoever asks for the result.
        """
        # Lightning is told nothing of the cluster: submitit alone requeues, and a run is one process on one machine
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        # the signal reaches every process of the task, and the run has to outlive it until submitit has requeued
        finished = subprocess.run(self.command, env=inherited | self.environment, preexec_fn=_ignore_signal)
        if finished.returncode:
            raise RuntimeError(f"{self.name} ended with {finished.returncode}: {self.line}")

    def checkpoint(self) -> Any:
        """Return what submitit requeues: the same command, since a run goes on from its last finished epoch."""
        return importlib.import_module("submitit.helpers").DelayedSubmission(self)


def _ignore_signal() -> None:
    signal.signal(getattr(signal, f"SIG{SIGNAL}"), signal.SIG_IGN)


def tasks(cells: Sequence[Run | Trivial], seeds: Sequence[int], options: Options, script: Path) -> list[Task]:
    """Return one task for every cell and seed."""
    flags = command_line(options)
    return [
        Task(
            name=f"{cell.cell} seed {seed}",
            command=(sys.executable, str(script), "--only", cell.cell, "--seeds", str(seed), *flags),
        )
        for cell in cells
        for seed in seeds_of(cell, seeds)
    ]


def run_at_once(waiting: Sequence[Task], jobs: int, say: Callable[[str], None], *, devices: int = 1) -> list[Failure]:
    """Run tasks as processes, so many at once; a failure is noted and the others go on.

    Args:
        waiting: What to run, in this order.
        jobs: How many at once; CPU threads are divided among them, GPUs dealt out in turn.
        devices: GPUs of each.
        say: Told when a task begins and ends.
    """
    queue, places = list(waiting), list(range(jobs))
    running: list[_Process] = []
    failures = []
    try:
        while queue or running:
            while queue and places:
                running.append(_start(queue.pop(0), places.pop(0), jobs, devices))
                say(f"{running[-1].task.name}: started")
            time.sleep(POLL)
            for process in [process for process in running if process.handle.poll() is not None]:
                running.remove(process)
                places.append(process.place)
                failures += _outcome(process, say)
    finally:
        for process in running:  # interrupted: they note it and keep what they have
            process.handle.send_signal(signal.SIGINT)
        for process in running:
            process.handle.wait()
    return failures


@dataclass(frozen=True)
class _Process:
    """A task at work, the place it takes, and what it says on its error output."""

    task: Task
    place: int
    handle: "subprocess.Popen[bytes]"
    output: IO[bytes]


def _start(task: Task, place: int, jobs: int, devices: int) -> _Process:
    threads = str(max(1, torch.get_num_threads() // (jobs * devices)))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **task.environment}
    gpus = torch.cuda.device_count()
    if gpus > devices:
        visible = (os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))).split(",")
        first = place % (gpus // devices) * devices
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(visible[first : first + devices])
    output = tempfile.TemporaryFile()  # noqa: SIM115  (read and closed when the process has ended)
    handle = subprocess.Popen(task.command, stdout=subprocess.DEVNULL, stderr=output, env=environment)
    return _Process(task, place, handle, output)


def _outcome(process: _Process, say: Callable[[str], None]) -> list[Failure]:
    code, name = process.handle.returncode, process.task.name
    with process.output as output:
        output.seek(0)
        lines = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    say(f"{name}: {'done' if code == 0 else 'failed'}")
    return [] if code == 0 else [_told(name, code, lines)]


def _told(name: str, code: int, lines: Sequence[str]) -> Failure:
    """Read a script's own account of what failed from its error output; a crash has none but its last words."""
    for index, line in reversed(list(enumerate(lines))):
        for opening in (f"failed: {name}: ", "error: "):
            if line.startswith(opening):
                log = tuple(text.strip() for text in lines[index + 1 :][:LINES])
                return Failure(name=name, error=line.removeprefix(opening), log=log, exit_code=code)
    return Failure(name=name, error=f"ended with {code}", log=tuple(lines[-LINES:]), exit_code=code)
