"""What has no result yet is run, one after the other or several at once, whoever else is at it."""

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dotally.data.shortfall import shortfall
from dotally.errors import DataError, DotallyError
from dotally.experiment import launch, publish
from dotally.experiment.execute import execute, fast_dev_run
from dotally.experiment.failures import Failure
from dotally.experiment.folder import DEAD_AFTER
from dotally.experiment.identity import differences
from dotally.experiment.job import Job, Options, data_module, plan
from dotally.experiment.report import seeds_of
from dotally.experiment.results import Result
from dotally.experiment.spec import Run, Table, Trivial
from dotally.experiment.terminal import notice, summary
from dotally.experiment.train import assist

LOOK = 2.0  # seconds between looks at a run that another process is at


def execute_all(
    table: Table, cells: Sequence[Run | Trivial], seeds: tuple[int, ...], options: Options, jobs: int
) -> list[Failure]:
    """Run every cell that has no result; a failure is noted and the rest goes on.

    A run that another process is at comes last and is waited for, so that in the end every cell has a result or a
    failure: where that process ends without a result, the run goes on here.

    On several devices every run is a process of its own, because its helpers are started by the same command line.
    """
    failures: list[Failure] = []
    waiting: list[launch.Task] = []
    busy: list[Job] = []
    pairs = [(cell, seed) for cell in cells for seed in seeds_of(cell, seeds)]
    for cell, seed in pairs:
        folder = None
        try:
            job = plan(table.id, cell, seed, options)
            folder = job.folder
            if _is_done(job):
                continue
            if changed := _changed_since(job):
                notice(f"{job.name}: {changed}")
            if lacking := shortfall(data_module(cell, seed, options)):
                notice(f"{job.name}: warning: {lacking}")
            if jobs > 1 or (options.devices > 1 and len(pairs) > 1):
                waiting += launch.tasks([cell], [seed], options, Path(sys.argv[0]))
            elif not _execute_one(job, options):
                busy.append(job)
        except Exception as error:  # a bug in one cell must not cost the others their night
            failures.append(Failure.of(f"{cell.cell} seed {seed}", error, folder))
    return failures + _await_all(busy, options) + launch.run_at_once(waiting, jobs, notice, devices=options.devices)


def without_result(
    table: Table, cells: Sequence[Run | Trivial], seeds: Sequence[int], options: Options
) -> list[tuple[Run | Trivial, int]]:
    """Return the cells and seeds that have no result here; those whose data are elsewhere might as well have none."""
    left = []
    for cell in cells:
        for seed in seeds_of(cell, seeds):
            with contextlib.suppress(DotallyError):
                if _is_done(plan(table.id, cell, seed, options)):
                    continue
            left.append((cell, seed))
    return left


def help_along(table: Table, cells: Sequence[Run | Trivial], seeds: tuple[int, ...], options: Options) -> None:
    """Train a further device of the one run that this command line is about, which its leader has claimed."""
    ((cell, seed),) = [(cell, seed) for cell in cells for seed in seeds_of(cell, seeds)]
    assist(plan(table.id, cell, seed, options), options)


def _is_done(job: Job) -> bool:
    if job.folder.state() != "done":
        return False
    Result.read(job.folder.result)  # an unreadable one has to be heard of
    return True


def _changed_since(job: Job) -> str:
    """Say what differs from the newest result of this cell and seed, which is why it is run again."""
    local = job.folder.path.parent.glob(f"seed{job.seed}-*/run.json")
    paths = [
        publish.committed(job.table) / job.cell.cell / f"seed{job.seed}" / "run.json",
        *sorted(local, key=lambda path: path.stat().st_mtime),
    ]
    for path in reversed(paths):
        try:
            earlier = Result.read(path)
        except DataError:
            continue
        changed = differences(earlier.spec, job.spec)
        return f"spec changed: {'; '.join(changed)}" if changed else "data changed" * (earlier.key != job.key)
    return ""


def _execute_one(job: Job, options: Options) -> bool:
    """Run a job unless another process is at it; return whether it is done."""
    with job.folder.claim() as mine:
        if not mine or _is_done(job):  # done by another since we looked
            return mine
        resumed = (job.folder.checkpoints / "last.ckpt").exists()
        notice(f"{job.name}: {'resumed' if resumed else 'started'} in {job.folder.path}")
        result = execute(job, options)
    notice(f"{job.name}: {summary(result.metrics)}  {result.facts['seconds']} s")
    return True


def _await_all(busy: Sequence[Job], options: Options) -> list[Failure]:
    failures = []
    for job in busy:
        notice(
            f"{job.name}: {job.folder.owner()} is at it; waiting for its result, or to go on where it left "
            f"(on another host, {DEAD_AFTER:.0f} s after its last sign of life)"
        )
        try:
            while not (_is_done(job) or _execute_one(job, options)):
                time.sleep(LOOK)
        except Exception as error:  # as above
            failures.append(Failure.of(job.name, error, job.folder))
    return failures


def try_all(cells: Sequence[Run | Trivial], options: Options) -> list[Failure]:
    """Push one batch of everything through every cell."""
    failures = []
    for cell in cells:
        try:
            fast_dev_run(cell, options)
            notice(f"{cell.cell}: one batch of everything went through")
        except Exception as error:  # the others are to be tried as well
            failures.append(Failure.of(cell.cell, error, None))
    return failures
