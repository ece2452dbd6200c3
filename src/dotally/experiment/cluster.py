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


def submit(
    work: Sequence[Task], where: Literal["slurm", "local"], folder: Path, options: Options, *, jobs: int
) -> tuple[list[str], list[Failure]]:
    """Hand tasks to submitit.

    On SLURM they become one job array; partition, account and time limit come from sbatch's own environment
    (``SBATCH_PARTITION``, ``SBATCH_ACCOUNT``, ``SBATCH_TIMELIMIT``), which outranks what is asked for here. The local
    executor runs so many at once, and is waited for.

    Returns:
        The IDs of the jobs, and the failures of local ones.

    Raises:
        DotallyError: If submitit is not installed, or the cluster cannot be reached.
    """
    executor = _executor(where, folder, options, jobs)
    try:
        if where == "slurm":
            return [str(job.job_id) for job in _batch(executor, work)], []
        batches = [_batch(executor, work[:jobs])]
        failures = _waited(batches[0], work[:jobs])
        for start in range(jobs, len(work), jobs):
            batches.append(_batch(executor, work[start : start + jobs]))
            failures += _waited(batches[-1], work[start : start + jobs])
    except (OSError, RuntimeError) as error:
        raise DotallyError(f"--launch {where}: {error}") from error
    return [str(job.job_id) for batch in batches for job in batch], failures


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
        slurm_array_parallelism=jobs if jobs > 1 else 256,
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
