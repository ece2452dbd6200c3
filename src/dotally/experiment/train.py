"""The training of one run: begun or resumed, on one device or several, and the checkpoint that it chose."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import RichProgressBar

from dotally.callbacks import Curve, RandomState
from dotally.data.crowd import CrowdDataModule
from dotally.experiment import devices
from dotally.experiment.checkpoints import WholeCheckpoints, checkpoints, is_whole
from dotally.experiment.job import Job, Options, data_module, find_weights
from dotally.experiment.localization import build
from dotally.experiment.mirror import Mirror
from dotally.experiment.spec import Data, Run, Task
from dotally.models.weights import load_into, read_weights
from dotally.predict.terminal import say

LOG = logging.getLogger("dotally")


def trained(
    job: Job,
    run: Run,
    data: Data,
    options: Options,
    record: Mirror,
    beat: Callback,
    *more: Callback,
) -> tuple[Task, dict[str, Any], Path | None]:
    """Return the task as it was built or left by its training, facts, and the checkpoint that was chosen."""
    task = task_of(run, options)
    facts: dict[str, Any] = {"parameters": sum(p.numel() for p in task.parameters())}
    facts |= {"deterministic": True} if options.deterministic else {}
    if not run.max_epochs:
        return task, facts, None
    curve = Curve(job.folder.metrics)
    bars = [RichProgressBar(leave=False)] if options.progress else []
    mirrored = record.callbacks(curve, pictures=isinstance(data, CrowdDataModule))
    facts |= _fit(job, run, task, data, options, [curve, beat, *mirrored, *bars, *more])
    return task, facts, job.folder.best


def assist(job: Job, options: Options) -> None:
    """Train one of the further devices of a job that another process has claimed; writes nothing."""
    assert isinstance(job.cell, Run)
    pl.seed_everything(job.seed, workers=True, verbose=False)
    with devices.helping():
        task, data = task_of(job.cell, options), data_module(job.cell, job.seed, options)
        _fit(job, job.cell, task, data, options, [Curve(job.folder.metrics)])


def _fit(job: Job, run: Run, task: Task, data: Data, options: Options, callbacks: Sequence[Callback]) -> dict[str, Any]:
    best, last = checkpoints(job.folder.checkpoints, run.monitor)
    arguments = trainer_arguments(run, options) | {"plugins": [WholeCheckpoints()]}
    if options.devices > 1:  # whose processes are ours to start, whatever a cluster says
        plugins = [WholeCheckpoints(), LightningEnvironment()]
        arguments |= {"devices": options.devices, "sync_batchnorm": True, "plugins": plugins}
    with devices.several(options.devices):
        trainer = pl.Trainer(**arguments, max_epochs=run.max_epochs, callbacks=[best, last, RandomState(), *callbacks])
        devices.share(task, data, trainer)
        try:
            trainer.fit(task, data, ckpt_path=_begun(job), weights_only=True)
        except SystemExit as left:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from left
    chosen = torch.load(job.folder.best, map_location="cpu", weights_only=True)
    score = best.best_model_score
    found = {"best_epoch": int(chosen["epoch"]), "best": {run.monitor: None if score is None else float(score)}}
    return found if options.devices == 1 else {**found, "devices": options.devices}


def _begun(job: Job) -> Path | None:
    """Return what the training goes on from; of a damaged checkpoint nothing can be had, so it begins again."""
    last = job.folder.last
    if last.exists() and not is_whole(last):
        text = f"{job.name}: {last} is damaged, so the training begins again"
        LOG.warning(text)
        say(text, stderr=True)
    return last if is_whole(last) else None


def task_of(run: Run, options: Options) -> Task:
    """Build a run's task, with the published weights that it names."""
    task = build(run)
    if run.weights:
        load_into(task.model, read_weights(find_weights(run.weights, options)).state)
    return task


def trainer_arguments(run: Run, options: Options) -> dict[str, Any]:
    """Return what every trainer of a run is told; it works on one device."""
    # left to PyTorch unless asked for: Lightning would switch it off for everything else in this process
    repeatable = {"deterministic": True} if options.deterministic else {}
    return {
        **run.trainer,
        **repeatable,
        "accelerator": options.accelerator,
        "devices": 1,
        "logger": False,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": options.progress,
        "enable_model_summary": False,
    }
