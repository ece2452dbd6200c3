"""One record at Weights & Biases, from its opening to its answers; errors are the caller's to handle."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning.loggers import WandbLogger

from dotally.experiment import wandb_artifacts, wandb_boxes, wandb_record
from dotally.experiment.localization_answers import read_answers
from dotally.experiment.results import Result, read_predictions

PROJECT = "dotally"
STEP = "trainer/global_step"  # Lightning's name for the axis that every curve is drawn over
# seconds to wait for the network when a record is opened, and for all to be sent when it is closed
BEGIN, END = 30.0, 180.0

Mode = Literal["off", "offline", "online"]


def project() -> str:
    """Return the project of all records."""
    return os.environ.get("WANDB_PROJECT") or PROJECT


def start(
    result: Result, folder: Path, where: Mode, *, into: str | None = None, entity: str | None = None
) -> WandbLogger:
    """Open or resume the record of a run.

    Lightning's logger is handed a run that we made, because left alone it joins whatever run is open in the process.

    Raises:
        ImportError: Without wandb.
        Exception: Whatever wandb says, such as that there is no key.
    """
    import wandb

    wandb.setup(wandb.Settings(silent=True))  # or signing in is announced, and asks for a key where there is none
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        **wandb_record.names(result),
        config=wandb_record.config(result),
        project=into or project(),
        entity=entity,
        dir=os.fspath(folder),
        resume="allow",
        reinit="create_new",
        settings=known(discreet(where) | patience()),
    )
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return WandbLogger(experiment=run, project=run.project, save_dir=folder)


def known(settings: Mapping[str, Any]) -> Any:
    """Return those settings that the installed wandb has."""
    import wandb

    names = wandb.Settings.model_fields
    return wandb.Settings(**{name: value for name, value in settings.items() if name in names})


def patience() -> dict[str, Any]:
    """Return settings by which nobody waits for a network for ever."""
    return {"init_timeout": BEGIN, "finish_timeout": END, "finish_timeout_raises": True}


def discreet(where: Mode) -> dict[str, Any]:
    """Return settings by which nothing is said on the terminal, and nothing sent that names a person or a path."""
    return {
        "mode": where,
        "silent": True,
        "console": "off",
        "disable_git": True,
        "save_code": False,
        "x_disable_meta": True,
        "host": "",
        "program": "",
    }


def send_row(logger: WandbLogger, row: Mapping[str, float]) -> None:
    """Send one line of ``metrics.csv``."""
    logger.log_metrics({name: value for name, value in row.items() if name != "step"}, step=int(row["step"]))


def answer(
    logger: WandbLogger,
    result: Result,
    folder: Path,
    thumbnails: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> None:
    """Write what a finished run found: summary, table of test pictures and artifacts."""
    run = logger.experiment
    run.config.update(wandb_record.config(result), allow_val_change=True)
    run.summary.update(wandb_record.summary(result))
    with wandb_artifacts.staged_in(Path(run.settings.root_dir)):
        if "methods" in result.spec:
            wandb_boxes.log_answers(logger, read_answers(folder / "predictions.csv"), thumbnails or {})
        else:
            wandb_artifacts.log_table(logger, read_predictions(folder / "predictions.csv"), thumbnails or {})
        wandb_artifacts.log_artifacts(run, result, folder, manifest)


def reason(error: Exception) -> str:
    """Return the first line of what went wrong."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".:")
