"""One run from its specification to its ``run.json``: build, train, choose on validation, test once."""

import logging
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
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
from dotally.experiment.spec import Run, Trivial
from dotally.experiment.stopwatch import Stopwatch
from dotally.experiment.train import task_of, trained, trainer_arguments
from dotally.models.weights import load_into, read_weights
from dotally.tasks import LocalizationTask

__all__ = ["Job", "Options", "execute", "fast_dev_run", "plan"]

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
    data, beat = data_module(job.cell, job.seed, options), _heartbeat(job.folder, watch)
    if isinstance(data, CrowdDataModule):
        metrics, facts = _count(job, data, options, record, beat)
    else:
        metrics, facts = _localize(job, data, options, record, beat)
    finished = datetime.now(UTC).strftime("%Y-%m-%d")
    return _result(job, origin, metrics=metrics, facts={**facts, **watch.read(), "finished": finished})


def _heartbeat(folder: RunFolder, watch: Stopwatch) -> Heartbeat:
    def beat() -> None:
        folder.beat()
        watch.note()

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


def _count(
    job: Job, data: CrowdDataModule, options: Options, record: Mirror, beat: Heartbeat
) -> tuple[dict[str, float], dict[str, Any]]:
    facts: dict[str, Any] = {}
    if isinstance(job.cell, Trivial):
        predictions = _trivial(job.cell, data)
    else:
        predictions, facts = _network(job, job.cell, data, options, record, beat)
    write_predictions(job.folder.predictions, predictions)
    metrics = {**facts.pop("metrics", {}), **recompute(predictions, job.spec.get("groups"))}
    return metrics, {"pictures": len(predictions), **facts}


def _trivial(cell: Trivial, data: CrowdDataModule) -> list[Prediction]:
    data.prepare_data()
    train, test = data.dataset("train"), data.dataset("test")
    predictors = TrivialPredictors.fit((sample.image for sample in map(train.load, range(len(train)))), train.counts())
    answers = predictors.predict(cell.kind, (sample.image for sample in map(test.load, range(len(test)))))
    names = [record.name for record in test.records]
    rows = zip(names, test.counts(), answers.tolist(), strict=True)
    return [Prediction(name, true, predicted) for name, true, predicted in rows]


def _network(
    job: Job, run: Run, data: CrowdDataModule, options: Options, record: Mirror, beat: Heartbeat
) -> tuple[list[Prediction], dict[str, Any]]:
    task, facts, checkpoint = trained(job, run, data, options, record, beat)
    predictions = Predictions()
    sheet = [Pictures(test=partial(_sheet, job), number=6)] if data.pictures_may_leave else []
    tester = pl.Trainer(**trainer_arguments(run, options), callbacks=[predictions, beat, *sheet])
    figures = tester.test(task, data, ckpt_path=checkpoint, weights_only=True, verbose=False)[0]
    facts["metrics"] = {name.removeprefix("test/"): value for name, value in figures.items()}
    return predictions.rows, facts


def _sheet(job: Job, panels: Sequence[Panel], step: int) -> None:
    try:
        write_sheet(job.folder.path / "pictures.png", panels)
    except DotallyError as error:  # no reason to lose a run
        LOG.warning("no pictures.png: %s", error)


def _localize(
    job: Job, data: LocalizationDataModule, options: Options, record: Mirror, beat: Heartbeat
) -> tuple[dict[str, float], dict[str, Any]]:
    run = job.cell
    assert isinstance(run, Localization)
    task, facts, best = trained(job, run, data, options, record, beat)
    assert isinstance(task, LocalizationTask)
    if best:
        load_into(task.model, read_weights(best).state)

    def tester(*callbacks: Callback) -> pl.Trainer:
        return pl.Trainer(**trainer_arguments(run, options), callbacks=[beat, *callbacks])

    metrics, found = localization_run.judge(run, task, data, tester, job.folder)
    return metrics, {**facts, **found}


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
