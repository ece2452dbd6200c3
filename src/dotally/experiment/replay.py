"""``--replay``: does a result whose code has changed since still hold, found out without its whole training?

The first epoch is trained again from the seed, and the checkpoint that was kept is tested again, with today's code. If
that epoch's line of ``metrics.csv``, all of ``predictions.csv`` and every figure are equal to the last bit, the result
is confirmed: ``run.json`` notes code, commit and date, and for that code the result is not stale.

This proves that data, order, crops, targets, initial weights, forward and backward pass, loss, optimizer, validation
and test still compute what they did. It does not prove what only later epochs would show: the rest of a schedule,
layers that freeze late, how the best epoch is chosen, how a resume goes on. Bits repeat on the machine and with the
number of threads that made them; elsewhere a difference says nothing of the code.
"""

import csv
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning import Callback, LightningModule, Trainer
from typing_extensions import override

from dotally.data.synthetic_crowd import SyntheticCrowd
from dotally.errors import DataError, DotallyError
from dotally.experiment import publish
from dotally.experiment.checkpoints import is_whole
from dotally.experiment.environment import environment
from dotally.experiment.execute import execute, heartbeat, judge
from dotally.experiment.failures import Failure
from dotally.experiment.folder import RunFolder
from dotally.experiment.identity import deciding_modules, resolved_spec
from dotally.experiment.job import Job, Options, data_module, plan
from dotally.experiment.mirror import Mirror
from dotally.experiment.origin import MIXED
from dotally.experiment.push import MARKER
from dotally.experiment.report import is_stale, seeds_of
from dotally.experiment.results import Confirmation, Result, find_results, unreadable
from dotally.experiment.source import code_hash
from dotally.experiment.spec import Data, Run, Table, Trivial
from dotally.experiment.terminal import notice, summary
from dotally.experiment.train import task_of, trained
from dotally.files import atomic_path

HOW = "first epoch and test predictions bitwise equal"


def replay_all(
    table: Table, cells: Sequence[Run | Trivial], seeds: Sequence[int], options: Options
) -> tuple[list[Failure], int]:
    """Confirm every stale result, or say what speaks against it; what nothing was trained for is run again instead.

    Args:
        table: The table.
        cells: Those of it that are meant.
        seeds: Those that are meant.
        options: Where runs and data are, and on what to compute; on one device, as bits are.

    Returns:
        What could not be confirmed and stays as it is, and how many results were stale.

    Raises:
        DotallyError: If there is no result to replay.
    """
    failures, stale, there = [], 0, False
    for cell in cells:
        for seed in seeds_of(cell, seeds):
            local, published = (
                _newest(cell, seed, folder) for folder in (options.runs / table.id, publish.committed(table.id))
            )
            found = local or published
            there = there or found is not None
            if found is None or not is_stale(cell, [found]):
                continue
            stale += 1
            try:
                notice(f"{cell.cell} seed {seed}: {_again(table, cell, seed, local, options)}")
            except Exception as error:  # the others are to be replayed as well
                failure = Failure.of(f"{cell.cell} seed {seed}", error, None)
                failures.append(replace(failure, exit_code=1))  # however many there are, the table is worth printing
    if not there:
        folder = options.runs / table.id
        why = "; ".join(unreadable(folder)) or f"no result of these cells and seeds in {folder}: run them first"
        raise DotallyError(f"nothing to replay: {why}")
    if not stale:
        notice("nothing to replay: no result of these cells and seeds is stale")
    return failures, stale


def _newest(cell: Run | Trivial, seed: int, folder: Path) -> Result | None:
    """Return the result that a report would show of a folder."""
    spec = resolved_spec(cell)
    found = [
        (path.stat().st_mtime, result)
        for path, result in find_results(folder)
        if (result.cell, result.seed) == (cell.cell, seed) and result.spec == spec
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _again(table: Table, cell: Run | Trivial, seed: int, result: Result | None, options: Options) -> str:
    """Replay or run again one stale result, and say what came of it."""
    learns = isinstance(cell, Run) and cell.max_epochs > 0
    if result is None and learns:
        raise DataError(
            "only the committed result is here, and no checkpoint to test: name the folder of its runs by --runs "
            f"(now {options.runs}), or run it again"
        )
    job = plan(table.id, cell, seed, options)
    if result is not None and result.key != job.key:
        raise DataError("the data have changed since, which is no matter of code: run it again")
    with job.folder.claim() as mine, tempfile.TemporaryDirectory(prefix="dotally-replay-") as name:
        if not mine:
            raise DotallyError(f"{job.folder.owner()} is at it")
        scratch = replace(job, folder=RunFolder(Path(name) / "run"))
        if learns and result is not None:
            return _confirm(job, scratch, result, options)
        return _run_again(job, scratch, result, options)


def _run_again(job: Job, scratch: Job, result: Result | None, options: Options) -> str:
    """Compute what needs no training anew, beside the old result and then in its place."""
    fresh = execute(scratch, replace(options, wandb="off"))
    names = [path.name for path in scratch.folder.path.iterdir() if path.is_file() and path.suffix != ".lock"]
    for name in sorted(names, key=lambda name: name == "run.json"):  # which comes last
        with atomic_path(job.folder.path / name) as temporary:
            shutil.copyfile(scratch.folder.path / name, temporary)
    (job.folder.path / MARKER).unlink(missing_ok=True)  # so that the next push tells Weights & Biases
    before = "" if result is None else f" (was {summary(result.metrics)})"
    return f"run again: {summary(fresh.metrics)}{before if result and fresh.metrics != result.metrics else ''}"


def _confirm(job: Job, scratch: Job, result: Result, options: Options) -> str:
    _check_possible(job, result)
    notice(f"{job.name}: replaying its first epoch and its test")
    difference = _first_epoch(job, scratch, options) or _test(job, scratch, result, options)
    if difference:
        raise DotallyError(f"not confirmed, stays stale: {difference}{_elsewhere(result)}")
    replace(result, confirmed=(*result.confirmed, _confirmation(job))).write(job.folder.result)
    return f"confirmed: {HOW}"


def _check_possible(job: Job, result: Result) -> None:
    if result.facts.get("devices", 1) != 1:
        raise DotallyError(f"it was trained on {result.facts['devices']} devices, and a replay is on one: run it again")
    if result.environment.get(MIXED):
        raise DotallyError("it was resumed with other code, which a first epoch tells nothing of: run it again")
    if not is_whole(job.folder.best):
        state = "damaged" if job.folder.best.exists() else "not there"
        raise DataError(f"{job.folder.best} is {state}, so there is nothing to test: run it again")


def _first_epoch(job: Job, scratch: Job, options: Options) -> str:
    """Train one epoch from the seed; return what differs first, nothing if all is equal."""
    assert isinstance(job.cell, Run)
    kept = _rows(job.folder.metrics)[:1]
    pl.seed_everything(job.seed, workers=True, verbose=False)
    beat = heartbeat(job.folder, lambda: None)
    trained(scratch, job.cell, _data(scratch, options), options, Mirror(), beat, _OneEpoch())
    return first_difference(kept, _rows(scratch.folder.metrics)[:1])


def _test(job: Job, scratch: Job, result: Result, options: Options) -> str:
    """Test the checkpoint that was kept; return what differs first, nothing if all is equal."""
    assert isinstance(job.cell, Run)
    pl.seed_everything(job.seed, workers=True, verbose=False)
    data, task = _data(scratch, options), task_of(job.cell, options)
    figures, _ = judge(scratch, task, data, job.folder.best, options, heartbeat(job.folder, lambda: None))
    difference = first_difference(_rows(job.folder.predictions), _rows(scratch.folder.predictions))
    then = {name: repr(value) for name, value in result.metrics.items()}
    now = {name: repr(figures[name]) for name in then if name in figures}  # there may be more than there were
    return difference or first_difference([{"name": "figures", **then}], [{"name": "figures", **now}])


def first_difference(then: Iterable[Mapping[str, str]], now: Iterable[Mapping[str, str]]) -> str:
    """Name the first field in which two tables differ, by the epoch or picture of its line; nothing where none does."""
    for old, new in zip_longest(then, now, fillvalue=None):
        some = old or new or {}
        where = some.get("name") or f"epoch {some.get('epoch')}"
        if old is None or new is None:
            return f"{where} was not there then" if old is None else f"{where} is not there now"
        for column in dict.fromkeys([*old, *new]):
            before, after = old.get(column) or "nothing", new.get(column) or "nothing"
            if before != after:
                return f"{where}, {column}: {before} then, {after} now"
    return ""


def _rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file as text, in which floating-point numbers stand to their last bit."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}: run it again") from error


def _data(scratch: Job, options: Options) -> Data:
    """Build the data, drawn by today's code where they are drawn."""
    data = data_module(scratch.cell, scratch.seed, options)
    if isinstance(data, SyntheticCrowd):
        data.folder = scratch.folder.path / "pictures"
    return data


def _elsewhere(result: Result) -> str:
    """Say in what this machine differs from the one that made a result, which may be all there is to a difference."""
    here = environment()
    then, now = ({**found.get("packages", {}), **found} for found in (result.environment, here))
    names = ("platform", "device", "threads", "torch", "numpy", "pillow", "scipy")
    told = [f"{name} {then[name]} then, {now[name]} now" for name in names if name in then and then[name] != now[name]]
    return f" ({'; '.join(told)}: this alone may be why)" if told else ""


def _confirmation(job: Job) -> Confirmation:
    here = environment()
    commit = here["commit"] and here["commit"] + " with uncommitted changes" * here["dirty"]
    return Confirmation(
        code=code_hash(deciding_modules(job.cell)),
        version=here["dotally"],
        commit=commit,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        how=HOW,
    )


class _OneEpoch(Callback):
    """End a training after its first epoch; schedules still reckon with all of them."""

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = True
