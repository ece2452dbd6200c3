"""One run from its specification to its ``run.json``: build, train, choose on validation, test once."""

import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar

from dotally.baselines import TrivialPredictors
from dotally.callbacks import Curve, Heartbeat, Prediction, Predictions, RandomState
from dotally.callbacks.pictures import Panel, Pictures
from dotally.data.crowd import CrowdDataModule
from dotally.data.localization import LocalizationDataModule
from dotally.data.roots import data_roots
from dotally.errors import DataError, DotallyError
from dotally.experiment import devices, identity, localization_run
from dotally.experiment.contact_sheet import write_sheet
from dotally.experiment.environment import environment, patch
from dotally.experiment.folder import BEAT, RunFolder
from dotally.experiment.localization import Localization, build
from dotally.experiment.log_file import log_file
from dotally.experiment.mirror import Mirror, Mode, mirror
from dotally.experiment.results import Result, recompute, write_predictions
from dotally.experiment.source import code_hash
from dotally.experiment.spec import Data, Run, Task, Trivial
from dotally.experiment.stopwatch import Stopwatch
from dotally.files import sha256, write_json, write_text
from dotally.models.weights import load_into, read_weights
from dotally.tasks import LocalizationTask

LOG = logging.getLogger("dotally")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the machine at hand decides, and no result depends on.

    Attributes:
        data_root: Where the data sets are; None asks DOTALLY_DATA_ROOT.
        runs: Folder of the runs.
        workers: Processes that load pictures.
        accelerator: As Lightning's Trainer takes it.
        devices: How many train a run, sharing its batches; the test split is read on one whatever this says.
        progress: Whether to show progress bars.
        wandb: Whether runs are mirrored to Weights & Biases, and whether over the network.
    """

    data_root: str | None = None
    runs: Path = Path("runs")
    workers: int = 0
    accelerator: str = "auto"
    devices: int = 1
    progress: bool = True
    wandb: Mode = "off"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One cell at one seed, with its identity."""

    table: str
    cell: Run | Trivial
    seed: int
    spec: dict[str, Any]
    fingerprint: str
    key: str
    folder: RunFolder

    @property
    def name(self) -> str:
        """``row.column seed k``, for people."""
        return f"{self.cell.cell} seed {self.seed}"


def plan(table: str, cell: Run | Trivial, seed: int, options: Options) -> Job:
    """Work out who a run is and where it lives; reads the annotations of its data.

    Raises:
        DataError: If the data set or the weights are not there.
    """
    spec = identity.resolved_spec(cell)
    fingerprint = data_module(cell, seed, options).fingerprint()
    if isinstance(cell, Run) and cell.weights:
        fingerprint = identity.digest([fingerprint, sha256(find_weights(cell.weights, options))])
    key = identity.run_key(spec, fingerprint, seed)
    folder = RunFolder(options.runs / table / cell.cell / f"seed{seed}-{key[:8]}")
    return Job(table=table, cell=cell, seed=seed, spec=spec, fingerprint=fingerprint, key=key, folder=folder)


def data_module(cell: Run | Trivial, seed: int, options: Options) -> Data:
    """Build a cell's data module for the machine at hand; the run's seed decides order and crops."""
    return cell.data(data_root=options.data_root, num_workers=options.workers, seed=seed)


def find_weights(name: str, options: Options) -> Path:
    """Return the path of a published weights file below one of the data roots."""
    roots = data_roots(options.data_root)
    for root in roots:
        if (root / name).is_file():
            return root / name
    raise DataError(f"no weights {name} below {', '.join(map(str, roots))}: put the published file there")


def execute(job: Job, options: Options) -> Result:
    """Compute a job, or continue where it was killed, and write its result last.

    Raises:
        Exception: Whatever went wrong, after the folder's log and state have recorded it.
    """
    folder = job.folder
    write_json(folder.path / "spec.json", job.spec)
    write_json(folder.path / "environment.json", environment())
    if changes := patch():
        write_text(folder.path / "patch.diff", changes + "\n")
    folder.note("running")
    with log_file(folder.path / "log.txt"):
        try:
            with (
                mirror(_result(job), folder.path, options.wandb) as record,
                Stopwatch(folder.path / "time.json") as watch,
            ):
                result = _compute(job, options, record, watch)
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


def _compute(job: Job, options: Options, record: Mirror, watch: Stopwatch) -> Result:
    pl.seed_everything(job.seed, workers=True, verbose=False)
    data, beat = data_module(job.cell, job.seed, options), _heartbeat(job.folder, watch)
    if isinstance(data, CrowdDataModule):
        metrics, facts = _count(job, data, options, record, beat)
    else:
        metrics, facts = _localize(job, data, options, record, beat)
    finished = datetime.now(UTC).strftime("%Y-%m-%d")
    return _result(job, metrics=metrics, facts={**facts, **watch.read(), "finished": finished})


def _count(
    job: Job, data: CrowdDataModule, options: Options, record: Mirror, beat: Heartbeat
) -> tuple[dict[str, float], dict[str, Any]]:
    facts: dict[str, Any] = {}
    if isinstance(job.cell, Trivial):
        predictions = _trivial(job.cell, data)
    else:
        predictions, facts = _network(job, job.cell, data, options, record, beat)
    write_predictions(job.folder.predictions, predictions)
    metrics = {**facts.pop("metrics", {}), **recompute(predictions)}
    return metrics, {"pictures": len(predictions), **facts}


def _localize(
    job: Job, data: LocalizationDataModule, options: Options, record: Mirror, beat: Heartbeat
) -> tuple[dict[str, float], dict[str, Any]]:
    run = job.cell
    assert isinstance(run, Localization)
    task, facts, best = _trained(job, run, data, options, record, beat)
    assert isinstance(task, LocalizationTask)
    if best:
        load_into(task.model, read_weights(best).state)

    def tester(*callbacks: Callback) -> pl.Trainer:
        return pl.Trainer(**_trainer_arguments(run, options), callbacks=[beat, *callbacks])

    metrics, found = localization_run.judge(run, task, data, tester, job.folder)
    return metrics, {**facts, **found}


def _heartbeat(folder: RunFolder, watch: Stopwatch) -> Heartbeat:
    def beat() -> None:
        folder.beat()
        watch.note()

    return Heartbeat(beat, BEAT)


def _result(job: Job, **found: Any) -> Result:
    """Return a job's result; with nothing found yet, all that is known of it at its beginning."""
    return Result(
        table=job.table,
        row=job.cell.row,
        column=job.cell.column,
        seed=job.seed,
        key=job.key,
        spec=job.spec,
        data=job.fingerprint,
        code=code_hash(identity.deciding_modules(job.cell)),
        environment=environment(),
        **{"metrics": {}, **found},
    )


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
    task, facts, checkpoint = _trained(job, run, data, options, record, beat)
    predictions = Predictions()
    sheet = [Pictures(test=partial(_sheet, job), number=6)] if data.pictures_may_leave else []
    tester = pl.Trainer(**_trainer_arguments(run, options), callbacks=[predictions, beat, *sheet])
    figures = tester.test(task, data, ckpt_path=checkpoint, weights_only=True, verbose=False)[0]
    facts["metrics"] = {name.removeprefix("test/"): value for name, value in figures.items()}
    return predictions.rows, facts


def _trained(
    job: Job, run: Run, data: Data, options: Options, record: Mirror, beat: Heartbeat
) -> tuple[Task, dict[str, Any], Path | None]:
    """Return the task as it was built or left by its training, facts, and the checkpoint that was chosen."""
    task = _task(run, options)
    facts: dict[str, Any] = {"parameters": sum(p.numel() for p in task.parameters())}
    if not run.max_epochs:
        return task, facts, None
    curve = Curve(job.folder.metrics)
    bars = [RichProgressBar(leave=False)] if options.progress else []
    mirrored = record.callbacks(curve, pictures=isinstance(data, CrowdDataModule))
    facts |= _fit(job, run, task, data, options, [curve, beat, *mirrored, *bars])
    return task, facts, job.folder.checkpoints / "best.ckpt"


def _sheet(job: Job, panels: Sequence[Panel], step: int) -> None:
    try:
        write_sheet(job.folder.path / "pictures.png", panels)
    except DotallyError as error:  # no reason to lose a run
        LOG.warning("no pictures.png: %s", error)


def _fit(job: Job, run: Run, task: Task, data: Data, options: Options, callbacks: Sequence[Callback]) -> dict[str, Any]:
    best, last = checkpoints(job.folder.checkpoints, run.monitor)
    arguments = _trainer_arguments(run, options)
    if options.devices > 1:  # whose processes are ours to start, whatever a cluster says
        plugins = [LightningEnvironment()]
        arguments |= {"devices": options.devices, "sync_batchnorm": True, "plugins": plugins}
    begun = job.folder.checkpoints / "last.ckpt"
    with devices.several(options.devices):
        trainer = pl.Trainer(**arguments, max_epochs=run.max_epochs, callbacks=[best, last, RandomState(), *callbacks])
        devices.share(task, data, trainer)
        try:
            trainer.fit(task, data, ckpt_path=begun if begun.exists() else None, weights_only=True)
        except SystemExit as left:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from left
    chosen = torch.load(job.folder.checkpoints / "best.ckpt", map_location="cpu", weights_only=True)
    score = best.best_model_score
    found = {"best_epoch": int(chosen["epoch"]), "best": {run.monitor: None if score is None else float(score)}}
    return found if options.devices == 1 else {**found, "devices": options.devices}


def assist(job: Job, options: Options) -> None:
    """Train one of the further devices of a job that another process has claimed; writes nothing."""
    assert isinstance(job.cell, Run)
    pl.seed_everything(job.seed, workers=True, verbose=False)
    with devices.helping():
        task, data = _task(job.cell, options), data_module(job.cell, job.seed, options)
        _fit(job, job.cell, task, data, options, [Curve(job.folder.metrics)])


def checkpoints(folder: Path, monitor: str) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """Keep ``best.ckpt`` by ``monitor`` (smaller is better), and ``last.ckpt`` of every epoch to resume from.

    Two callbacks, because ``save_last`` of one saves only in epochs that are among the best. The last comes second: it
    holds the state of the first, so a kill between the two repeats an epoch and changes nothing.
    """
    best = ModelCheckpoint(folder, "best", monitor=monitor, save_on_train_epoch_end=True, enable_version_counter=False)
    last = ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    return best, last


def fast_dev_run(cell: Run | Trivial, options: Options) -> None:
    """Push one batch of everything through a cell, leaving nothing behind: is it wired?"""
    data = data_module(cell, 0, options)
    if isinstance(cell, Trivial):
        assert isinstance(data, CrowdDataModule)
        _trivial(cell, data)
        return
    task = _task(cell, options)
    trainer = pl.Trainer(**_trainer_arguments(cell, options), fast_dev_run=True)
    if cell.max_epochs:
        trainer.fit(task, data)
    if isinstance(cell, Localization) and cell.tuned:
        trainer.validate(task, data, verbose=False)
    trainer.test(task, data, verbose=False)


def _task(run: Run, options: Options) -> Task:
    task = build(run)
    if run.weights:
        load_into(task.model, read_weights(find_weights(run.weights, options)).state)
    return task


def _trainer_arguments(run: Run, options: Options) -> dict[str, Any]:
    return {
        **run.trainer,
        "accelerator": options.accelerator,
        "devices": 1,
        "logger": False,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": options.progress,
        "enable_model_summary": False,
    }
