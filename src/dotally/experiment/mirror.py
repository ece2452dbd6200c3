"""Mirror a run to Weights & Biases. The local files are the truth: what goes wrong here is said once, and no more."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from typing_extensions import override

from dotally.callbacks import Curve
from dotally.callbacks.pictures import Panel, Pictures
from dotally.data.crowd import CrowdDataModule
from dotally.experiment import wandb_artifacts, wandb_record
from dotally.experiment.contact_sheet import draw_rows
from dotally.experiment.folder import RunFolder
from dotally.experiment.results import Result, read_predictions
from dotally.predict.terminal import say

LOG = logging.getLogger("dotally")
PROJECT = "dotally"
STEP = "trainer/global_step"  # Lightning's name for the axis that every curve is drawn over
# seconds to wait for the network: when a run begins, when it hands over what it found, and for the rest to be sent
BEGIN, ANSWER, END = 30.0, 90.0, 180.0

Mode = Literal["off", "offline", "online"]


class Mirror:
    """A run's record at Weights & Biases, or the lack of one; no method raises because of it.

    Args:
        logger: Where the record goes; None for nowhere.
    """

    def __init__(self, logger: WandbLogger | None = None) -> None:
        self.logger = logger
        self._open = logger

    def attempt(self, action: Callable[[WandbLogger], object]) -> None:
        """Do something with the logger; the first failure is reported and ends the mirroring."""
        if self.logger is None:
            return
        try:
            action(self.logger)
        except Exception as error:
            self.logger = None
            _warn(f"{reason(error)}; the run goes on without it, and `dotally wandb-push` sends its files later")

    def callbacks(self, curve: Curve) -> list[Callback]:
        """Return what a training needs to be mirrored: its curve, and pictures a few times."""
        if self.logger is None:
            return []
        return [_CurveMirror(self, curve), Pictures(validation=self._show)]

    def _show(self, panels: Sequence[Panel], step: int) -> None:
        captions = [f"{p.name}: {p.count} annotated, {p.predicted.sum():.1f} counted" for p in panels]
        self.attempt(lambda to: to.log_image("val/pictures", list(draw_rows(panels)), step=step, caption=captions))

    def finish(self, result: Result, folder: RunFolder, data: CrowdDataModule) -> None:
        """Write the answers and hand over the small files; call it when ``run.json`` is in its place."""

        def send(logger: WandbLogger) -> None:
            predictions = read_predictions(folder.predictions)
            thumbnails = wandb_artifacts.thumbnails(predictions, data)
            answer(logger, result, folder.path, thumbnails, wandb_artifacts.manifest(data, result.data))

        self.attempt(lambda logger: _within(ANSWER, lambda: send(logger)))

    def close(self, *, exit_code: int) -> None:
        """End the record, so that the next run of this process begins its own."""
        if self._open is not None:
            try:
                self._open.experiment.finish(exit_code=exit_code)
            except Exception as error:
                if self.logger is not None:
                    _warn(f"{reason(error)}; what is missing there, `dotally wandb-push` sends")
            self.logger = self._open = None


class _CurveMirror(Callback):
    """Send each epoch's line as the curve wrote it."""

    def __init__(self, mirror: Mirror, curve: Curve) -> None:
        self.mirror, self.curve = mirror, curve

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.mirror.attempt(lambda logger: send_row(logger, self.curve.rows[-1]))


@contextmanager
def mirror(opening: Result, folder: Path, wanted: Mode) -> Iterator[Mirror]:
    """Open a run's record and close it whatever happens.

    Args:
        opening: The run as known at its beginning, without figures.
        folder: The run's folder; what is not sent yet lies in ``folder/wandb``.
        wanted: WANDB_MODE decides over it, except that "off" stays off.
    """
    record = Mirror(_open(opening, folder, mode(wanted)))
    try:
        yield record
    except BaseException:
        record.close(exit_code=1)
        raise
    record.close(exit_code=0)


def mode(wanted: Mode) -> Mode:
    """Return where records go: as wanted, unless the environment says otherwise."""
    said: dict[str, Mode] = {"online": "online", "offline": "offline", "dryrun": "offline", "disabled": "off"}
    return "off" if wanted == "off" else said.get(os.environ.get("WANDB_MODE", ""), wanted)


def project() -> str:
    """Return the project of all records."""
    return os.environ.get("WANDB_PROJECT") or PROJECT


def _open(opening: Result, folder: Path, where: Mode) -> WandbLogger | None:
    """Open a record; without a key or network, offline."""
    if where == "off":
        return None
    try:
        return start(opening, folder, where)
    except ImportError:
        _warn("not installed, so the run is not mirrored: pip install wandb, or --wandb off")
        return None
    except Exception as error:
        if where == "offline":
            _warn(f"{reason(error)}; the run is not mirrored")
            return None
        _warn(f"{reason(error)}; recorded offline instead, and `dotally wandb-push` sends it later")
        return _open(opening, folder, "offline")


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
        settings=wandb.Settings(**_settings(wandb.Settings.model_fields, where)),
    )
    run.config.update(wandb_record.config(result), allow_val_change=True)
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return WandbLogger(experiment=run, project=run.project, save_dir=folder)


def _settings(known: Mapping[str, object], where: Mode) -> dict[str, Any]:
    """Say nothing on the terminal, send nothing that names a person or a path, and never wait for ever."""
    settings = {
        "mode": where,
        "silent": True,
        "console": "off",
        "disable_git": True,
        "save_code": False,
        "x_disable_meta": True,
        "host": "",
        "program": "",
        "init_timeout": BEGIN,
        "finish_timeout": END,
        "finish_timeout_raises": True,
    }
    return {name: value for name, value in settings.items() if name in known}


def _within(seconds: float, action: Callable[[], None]) -> None:
    """Do something that may wait for a network that is gone, and give up on it in time."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:.0f} seconds")
    if raised:
        raise raised[0]


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
        wandb_artifacts.log_table(logger, read_predictions(folder / "predictions.csv"), thumbnails or {})
        wandb_artifacts.log_artifacts(run, result, folder, manifest)


def reason(error: Exception) -> str:
    """Return the first line of what went wrong."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".:")


def _warn(text: str) -> None:
    LOG.warning("Weights & Biases: %s", text)
    say(f"Weights & Biases: {text}", stderr=True)
