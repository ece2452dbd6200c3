"""Mirror a run to Weights & Biases. The local files are the truth: what goes wrong here is said once, and no more."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from typing_extensions import override

from dotally.callbacks import Curve
from dotally.callbacks.pictures import Panel, Pictures
from dotally.data.crowd import CrowdDataModule
from dotally.experiment import wandb_artifacts, wandb_boxes, wandb_session
from dotally.experiment.contact_sheet import draw_rows
from dotally.experiment.folder import RunFolder
from dotally.experiment.localization_answers import read_answers
from dotally.experiment.results import Result, read_predictions
from dotally.experiment.spec import Data
from dotally.experiment.wandb_session import Mode, reason
from dotally.predict.terminal import say

__all__ = ["Mirror", "Mode", "mirror"]

LOG = logging.getLogger("dotally")
ANSWER = 90.0  # seconds to hand over what a run found, before the network counts as gone


class Mirror:
    """A run's record at Weights & Biases, or the lack of one; no method raises because of it.

    Args:
        logger: Where the record goes; None for nowhere.
    """

    def __init__(self, logger: WandbLogger | None = None) -> None:
        self.logger = logger
        self._record = logger

    def attempt(self, action: Callable[[WandbLogger], object]) -> None:
        """Do something with the logger; the first failure is reported and ends the mirroring."""
        if self.logger is None:
            return
        try:
            action(self.logger)
        except Exception as error:
            self.logger = None
            _warn(f"{reason(error)}; the run goes on without it, and `dotally wandb-push` sends its files later")

    def callbacks(self, curve: Curve, *, pictures: bool = True) -> list[Callback]:
        """Return what a training needs to be mirrored: its curve, and where it counts, pictures a few times."""
        if self.logger is None:
            return []
        shown = [Pictures(validation=self._show)] if pictures else []
        return [_CurveMirror(self, curve), *shown]

    def _show(self, panels: Sequence[Panel], step: int) -> None:
        captions = [f"{p.name}: {p.count} annotated, {p.predicted.sum():.1f} counted" for p in panels]
        self.attempt(lambda to: to.log_image("pictures/val", draw_rows(panels), step=step, caption=captions))

    def finish(self, result: Result, folder: RunFolder, data: Data) -> None:
        """Write the answers and hand over the small files; call it when ``run.json`` is in its place."""

        def send(logger: WandbLogger) -> None:
            if isinstance(data, CrowdDataModule):
                thumbnails = wandb_artifacts.thumbnails(read_predictions(folder.predictions), data)
            else:
                thumbnails = wandb_boxes.thumbnails(read_answers(folder.predictions), data)
            wandb_session.answer(logger, result, folder.path, thumbnails, wandb_artifacts.manifest(data, result.data))

        self.attempt(lambda logger: _within(ANSWER, lambda: send(logger)))

    def close(self, *, exit_code: int) -> None:
        """End the record, so that the next run of this process begins its own."""
        if self._record is not None:
            try:
                self._record.experiment.finish(exit_code=exit_code)
            except Exception as error:
                if self.logger is not None:
                    _warn(f"{reason(error)}; what is missing there, `dotally wandb-push` sends")
            self.logger = self._record = None


class _CurveMirror(Callback):
    """Send each epoch's line as the curve wrote it."""

    def __init__(self, mirror: Mirror, curve: Curve) -> None:
        self.mirror, self.curve = mirror, curve

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.mirror.attempt(lambda logger: wandb_session.send_row(logger, self.curve.rows[-1]))


@contextmanager
def mirror(opening: Result, folder: Path, where: Mode) -> Iterator[Mirror]:
    """Open a run's record and close it whatever happens.

    Args:
        opening: The run as known at its beginning, without figures.
        folder: The run's folder; what is not sent yet lies in ``folder/wandb``.
        where: What the user wants, whatever WANDB_MODE says; the flags have asked it already.
    """
    record = Mirror(_open(opening, folder, where))
    try:
        yield record
    except BaseException:
        record.close(exit_code=1)
        raise
    record.close(exit_code=0)


def _open(opening: Result, folder: Path, where: Mode) -> WandbLogger | None:
    """Open a record; without a key or network, offline."""
    if where == "off" or getattr(rank_zero_only, "rank", 0) != 0:
        return None
    try:
        return wandb_session.start(opening, folder, where)
    except ImportError:
        _warn("not installed, so the run is not mirrored: pip install wandb, or --wandb off")
        return None
    except Exception as error:
        if where == "offline":
            _warn(f"{reason(error)}; the run is not mirrored")
            return None
        _warn(f"{reason(error)}; recorded offline instead, and `dotally wandb-push` sends it later")
        _forget_failure()
        return _open(opening, folder, "offline")


def _forget_failure() -> None:
    """Stop wandb's own process, which holds on to the id of a run that could not begin; others' runs are left alone."""
    import wandb

    if wandb.run is None:
        wandb.teardown()


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


def _warn(text: str) -> None:
    LOG.warning("Weights & Biases: %s", text)
    say(f"Weights & Biases: {text}", stderr=True)
