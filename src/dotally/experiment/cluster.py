"""Tasks handed to submitit: a job array on SLURM, or processes that it looks after on this machine."""

import importlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from dotally.errors import DotallyError
from dotally.experiment.failures import Failure, tail
from dotally.experiment.job import Options
from dotally.experiment.launch import SIGNAL, Task

ARRAY = 256  # tasks of an array at once where nothing is said


def submit(
    work: Sequence[Task], where: Literal["slurm", "local"], folder: Path, options: Options, *, jobs: int | None = None
) -> tuple[list[str], list[Failure]]:
    """Hand tasks to submitit.

    On SLURM they become one job array, of which ``jobs`` run at once, or as many as the cluster lets; partition,
    account and time limit come from sbatch's own environment (``SBATCH_PARTITION``, ``SBATCH_ACCOUNT``,
    ``SBATCH_TIMELIMIT``), which outranks what is asked for here. The local executor runs ``jobs`` at once, by default
    one, and is waited for.

    Returns:
        The IDs of the jobs, and the failures of local ones.

    Raises:
        DotallyError: If submitit is not installed, or the cluster cannot be reached.
    """
    try:
        executor = _executor(where, folder, options, jobs or ARRAY)
        if where == "slurm":
            return [str(job.job_id) for job in _batch(executor, work)], []
        return _one_batch_after_the_other(executor, work, jobs or 1)
    except (OSError, RuntimeError) as error:
        raise DotallyError(f"--launch {where}: {_line(error)}") from error


def _line(error: Exception) -> str:
    """Return what went wrong in a line; for a refused command the reason that it gave."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "error: " in line]
    return (told or lines or [type(error).__name__])[0]


def _one_batch_after_the_other(executor: Any, work: Sequence[Task], jobs: int) -> tuple[list[str], list[Failure]]:
    ids: list[str] = []
    failures: list[Failure] = []
    for start in range(0, len(work), jobs):
        tasks = work[start : start + jobs]
        batch = _batch(executor, tasks)
        failures += _waited(batch, tasks)
        ids += [str(job.job_id) for job in batch]
    return ids, failures


def _executor(where: str, folder: Path, options: Options, jobs: int) -> Any:
    # read when submitit is imported, here and on the cluster
    os.environ.setdefault("SUBMITIT_PREEMPT_SIGNAL", SIGNAL)
    try:
        submitit = importlib.import_module("submitit")
    except ImportError as error:
        raise DotallyError(
            f"--launch {where} needs submitit: pip install submitit (or --launch print for commands)"
        ) from error
    executor = submitit.AutoExecutor(folder=folder, cluster=where, slurm_max_num_timeout=100)
    executor.update_parameters(
        name=folder.parent.name,
        timeout_min=24 * 60,
        cpus_per_task=max(2, options.devices * (options.workers + 1)),
        gpus_per_node=options.devices if _wants_gpus(where, options) else 0,
        slurm_array_parallelism=jobs,
    )
    return executor


def _wants_gpus(where: str, options: Options) -> bool:
    """Whether to ask for GPUs: sbatch refuses a job that asks a cluster without any."""
    if options.accelerator == "cpu" or where != "slurm":
        return options.accelerator != "cpu" and torch.cuda.is_available()
    if options.accelerator != "auto" or shutil.which("sinfo") is None:
        return True
    return "gpu" in subprocess.run(("sinfo", "--noheader", "--format=%G"), capture_output=True, text=True).stdout


def _batch(executor: Any, work: Sequence[Task]) -> list[Any]:
    with executor.batch():
        return [executor.submit(task) for task in work]


def _waited(jobs: Sequence[Any], work: Sequence[Task]) -> list[Failure]:
    failures = []
    for job, task in zip(jobs, work, strict=True):
        if job.exception() is not None:
            log = tail(Path(job.paths.stderr)) if job.paths.stderr.exists() else ()
            failures.append(Failure(name=task.name, error=f"failed; all it said is in {job.paths.stderr}", log=log))
    return failures
