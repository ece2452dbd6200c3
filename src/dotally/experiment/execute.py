"""One run from its specification to its ``run.json``: build, train, choose on validation, test once."""

import logging
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import Callback

from dotally.baselines import TrivialPredictors
from dotally.callbacks import Heartbeat, Prediction, Predictions
from dotally.callbacks.pictures import Panel, Pictures
from dotally.data.crowd import CrowdDataModule
from dotally.data.localization import LocalizationDataModule
from dotally.errors import DotallyError
from dotally.experiment import localization_run
from dotally.experiment.contact_sheet import write_sheet
from dotally.experiment.folder import BEAT, RunFolder
from dotally.experiment.job import Job, Options, data_module, plan
from dotally.experiment.localization import Localization
from dotally.experiment.log_file import log_file
from dotally.experiment.mirror import Mirror, mirror
from dotally.experiment.origin import Origin, begin
from dotally.experiment.results import Result, recompute, write_predictions
from dotally.experiment.spec import Data, Run, Task, Trivial
from dotally.experiment.stopwatch import Stopwatch
from dotally.experiment.train import task_of, trained, trainer_arguments
from dotally.models.weights import load_into, read_weights
from dotally.tasks import LocalizationTask

__all__ = ["Job", "Options", "execute", "fast_dev_run", "heartbeat", "judge", "plan"]

LOG = logging.getLogger("dotally")


def execute(job: Job, options: Options) -> Result:
    """Compute a job, or continue where it was killed, and write its result last.

    Raises:
        Exception: Whatever went wrong, after the folder's log and state have recorded it.
    """
    folder = job.folder
    folder.sweep()
    folder.note("running")
    with log_file(folder.path / "log.txt"):
        try:
            origin = begin(job)
            with (
                mirror(_result(job, origin), folder.path, options.wandb) as record,
                Stopwatch(folder.path / "time.json") as watch,
            ):
                result = _compute(job, origin, options, record, watch)
                result.write(folder.result)
                record.finish(result, folder, data_module(job.cell, job.seed, options))
        except KeyboardInterrupt:
            folder.note("interrupted")
            raise
        except BaseException as error:
            LOG.error("%s", traceback.format_exc())
            folder.note("failed", str(error).strip() or type(error).__name__)
            raise
    return result


def _compute(job: Job, origin: Origin, options: Options, record: Mirror, watch: Stopwatch) -> Result:
    pl.seed_everything(job.seed, workers=True, verbose=False)
    data, beat = data_module(job.cell, job.seed, options), heartbeat(job.folder, watch.note)
    if isinstance(job.cell, Trivial):
        metrics, facts = _judge_trivial(job, job.cell, data)
    else:
        task, facts, checkpoint = trained(job, job.cell, data, options, record, beat)
        metrics, found = judge(job, task, data, checkpoint, options, beat)
        facts = {**found, **facts}
    finished = datetime.now(UTC).strftime("%Y-%m-%d")
    return _result(job, origin, metrics=metrics, facts={**facts, **watch.read(), "finished": finished})


def heartbeat(folder: RunFolder, note: Callable[[], None]) -> Heartbeat:
    """Return the callback that shows that a run is alive, and has ``note`` called as often."""

    def beat() -> None:
        folder.beat()
        note()

    return Heartbeat(beat, BEAT)


def _result(job: Job, origin: Origin, **found: Any) -> Result:
    """Return a job's result; with nothing found yet, all that is known of it at its beginning."""
    return Result(
        table=job.table,
        row=job.cell.row,
        column=job.cell.column,
        seed=job.seed,
        key=job.key,
        spec=job.spec,
        data=job.fingerprint,
        code=origin.code,
        environment=origin.environment,
        **{"metrics": {}, **found},
    )


def judge(
    job: Job, task: Task, data: Data, checkpoint: Path | None, options: Options, beat: Callback
) -> tuple[dict[str, float], dict[str, Any]]:
    """Measure a task, or the checkpoint that its training chose, on the test split.

    Writes ``predictions.csv`` and, where pictures may be shown, ``pictures.png`` to the job's folder.

    Returns:
        The figures, and what else is worth knowing.
    """
    if isinstance(data, CrowdDataModule):
        return _judge_counts(job, task, data, checkpoint, options, beat)
    return _judge_boxes(job, task, data, checkpoint, options, beat)


def _judge_trivial(job: Job, cell: Trivial, data: Data) -> tuple[dict[str, float], dict[str, Any]]:
    assert isinstance(data, CrowdDataModule)
    predictions = _trivial(cell, data)
    write_predictions(job.folder.predictions, predictions)
    return recompute(predictions), {"pictures": len(predictions)}


def _trivial(cell: Trivial, data: CrowdDataModule) -> list[Prediction]:
    data.prepare_data()
    train, test = data.dataset("train"), data.dataset("test")
    predictors = TrivialPredictors.fit((sample.image for sample in map(train.load, range(len(train)))), train.counts())
    answers = predictors.predict(cell.kind, (sample.image for sample in map(test.load, range(len(test)))))
    names = [record.name for record in test.records]
    rows = zip(names, test.counts(), answers.tolist(), strict=True)
    return [Prediction(name, true, predicted) for name, true, predicted in rows]


def _judge_counts(
    job: Job, task: Task, data: CrowdDataModule, checkpoint: Path | None, options: Options, beat: Callback
) -> tuple[dict[str, float], dict[str, Any]]:
    assert isinstance(job.cell, Run)
    predictions = Predictions()
    sheet = [Pictures(test=partial(_sheet, job), number=6)] if data.pictures_may_leave else []
    tester = pl.Trainer(**trainer_arguments(job.cell, options), callbacks=[predictions, beat, *sheet])
    figures = tester.test(task, data, ckpt_path=checkpoint, weights_only=True, verbose=False)[0]
    write_predictions(job.folder.predictions, predictions.rows)
    logged = {name.removeprefix("test/"): value for name, value in figures.items()}
    counted = recompute(predictions.rows, job.spec.get("groups"))
    return {**logged, **counted}, {"pictures": len(predictions.rows)}


def _sheet(job: Job, panels: Sequence[Panel], step: int) -> None:
    try:
        write_sheet(job.folder.path / "pictures.png", panels)
    except DotallyError as error:  # no reason to lose a run
        LOG.warning("no pictures.png: %s", error)


def _judge_boxes(
    job: Job, task: Task, data: LocalizationDataModule, checkpoint: Path | None, options: Options, beat: Callback
) -> tuple[dict[str, float], dict[str, Any]]:
    run = job.cell
    assert isinstance(run, Localization)
    assert isinstance(task, LocalizationTask)
    if checkpoint:
        load_into(task.model, read_weights(checkpoint).state)

    def tester(*callbacks: Callback) -> pl.Trainer:
        return pl.Trainer(**trainer_arguments(run, options), callbacks=[beat, *callbacks])

    return localization_run.judge(run, task, data, tester, job.folder)


def fast_dev_run(cell: Run | Trivial, options: Options) -> None:
    """Push one batch of everything through a cell, leaving nothing behind: is it wired?"""
    data = data_module(cell, 0, options)
    if isinstance(cell, Trivial):
        assert isinstance(data, CrowdDataModule)
        _trivial(cell, data)
        return
    task = task_of(cell, options)
    trainer = pl.Trainer(**trainer_arguments(cell, options), fast_dev_run=True)
    if cell.max_epochs:
        trainer.fit(task, data)
    if isinstance(cell, Localization) and cell.tuned:
        trainer.validate(task, data, verbose=False)
    trainer.test(task, data, verbose=False)
