"""One training or one measurement: what happens, in which order, and what is said of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from dotally.callbacks import Curve, RandomState
from dotally.data.crowd import CrowdDataModule
from dotally.data.shortfall import shortfall
from dotally.errors import DataError, DotallyError
from dotally.experiment.checkpoints import checkpoints
from dotally.experiment.localization import untuned_methods
from dotally.experiment.spec import Task
from dotally.predict.terminal import say
from dotally.tasks import LocalizationTask
from dotally.training import settings
from dotally.training.best_so_far import BestSoFar
from dotally.training.flags import Flags
from dotally.training.kinds import Kind, kind_of
from dotally.training.lightning_cli import TaskCLI
from dotally.training.place import Place, choose
from dotally.training.record import recorded
from dotally.training.tested import write_tested


def fit(flags: Flags) -> int:
    """Train, keep the best epoch, and say what to do with it; returns 0, or 1 when interrupted.

    Raises:
        DotallyError: A setting, the data, the weights or the training is at fault.
    """
    place, begun = choose(flags)
    chosen = [*settings.of_checkpoint(begun), *flags.rest, *settings.of_minutes(flags.minutes)]
    kind = kind_of(chosen)
    weights = None if begun else _weights(flags, kind)
    trainer = _trainer_arguments(place, kind.monitor)
    with _plain_errors():
        cli = TaskCLI("fit", [*chosen, *settings.of_weights(weights)], save_config=place.config, **trainer)
        _load(cli, weights)
        with nullcontext() if cli.dry else recorded(cli.trainer, flags, place):
            return _train(cli, begun, place, flags.weights if weights else None)


def _train(cli: TaskCLI, begun: Path | None, place: Place, weights: str | None) -> int:
    if (lacking := shortfall(cli.datamodule)) and cli.trainer.is_global_zero:
        say(f"warning: {lacking}", stderr=True)
    try:
        before = None if begun else _held_out(cli)
        _warn_of_size(cli, weights)
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=begun, weights_only=True)
    except SystemExit:  # how Lightning leaves after Ctrl-C
        _say_interrupted(cli.trainer, place)
        return 1
    _say_done(cli, before)
    return 0


def measure(flags: Flags) -> int:
    """Validate or test a checkpoint or weights on one device; Lightning prints the figures.

    Of a classifier, a test also judges boxes: STNet's, by its own rule.

    Raises:
        DotallyError: A setting, the data or the weights are at fault.
    """
    if (flags.checkpoint is None) == (flags.weights is None):
        raise DotallyError(f"dotally {flags.subcommand} measures what was trained: name it by --ckpt_path or --weights")
    chosen = [*settings.of_checkpoint(flags.checkpoint), *flags.rest]
    weights = _weights(flags, kind_of(chosen))
    with _plain_errors():
        cli = TaskCLI(flags.subcommand, [*chosen, *settings.of_weights(weights)])
        _load(cli, weights)
        if isinstance(cli.model, LocalizationTask):
            cli.model.methods = dict(untuned_methods())
        entry = cli.trainer.validate if flags.subcommand == "validate" else cli.trainer.test
        figures = entry(cli.model, cli.datamodule, ckpt_path=flags.checkpoint, weights_only=True)
        _warn_of_size(cli, flags.checkpoint or flags.weights)
        if flags.subcommand == "test" and not cli.dry:
            write_tested(flags.checkpoint, cli.datamodule, dict(figures[0]))
    return 0


def _trainer_arguments(place: Place, monitor: str) -> dict[str, Any]:
    best, last = checkpoints(place.checkpoints, monitor)
    return {
        "default_root_dir": str(place.folder),
        "callbacks": [best, last, Curve(place.metrics), RandomState(), BestSoFar(monitor)],
        # what metrics keep of the validation before the training is added to by those within it
        "inference_mode": False,
    }


def _weights(flags: Flags, kind: Kind) -> Task | None:
    return kind.load(flags.weights) if flags.weights else None


def _load(cli: TaskCLI, weights: Task | None) -> None:
    if weights is not None:
        cli.model.load_state_dict(weights.state_dict())


def _warn_of_size(cli: TaskCLI, weights: str | Path | None) -> None:
    if weights is None or cli.dry or not isinstance(cli.datamodule, CrowdDataModule):
        return
    if (unlike := settings.resized_unlike(weights, cli.datamodule)) and cli.trainer.is_global_zero:
        say(f"warning: {unlike}", stderr=True)


def _held_out(cli: TaskCLI, checkpoint: Path | None = None) -> float | None:
    """Return the validation figure of the task as it is or of a checkpoint; None where nothing is held out."""
    if cli.dry:
        return None
    figures = cli.trainer.validate(cli.model, cli.datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False)
    figure = figures[0].get(cli.kind.monitor) if figures else None
    return None if figure is None else figure * cli.kind.scale


def _say_done(cli: TaskCLI, before: float | None) -> None:
    kept = cli.trainer.checkpoint_callback
    if not isinstance(kept, ModelCheckpoint) or not kept.best_model_path:
        return
    best = Path(os.path.relpath(kept.best_model_path))
    kind, after = cli.kind, _held_out(cli, best)
    if not cli.trainer.is_global_zero:
        return
    if after is not None:
        first = "" if before is None else f"before {before:.2f}, "
        say(f"held-out {kind.told} {first}after {after:.2f} {kind.unit}, on the pictures that chose the checkpoint")
    if isinstance(cli.datamodule, CrowdDataModule) and (lost := cli.datamodule.train_set.dropped()):
        say(f"not learnt   {lost:,} annotated points that lie outside their training pictures")
    say(f"checkpoint   {best}")
    say(f"test         dotally test --ckpt_path {best}")
    say(f"next         {kind.next.format(best)}")


def _say_interrupted(trainer: Trainer, place: Place) -> None:
    if not trainer.is_global_zero:
        return
    more = f"go on with: {place.resume_line()}" if place.last.exists() else "not one epoch was complete"
    say(f"interrupted; {more}", stderr=True)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn what Lightning, PyTorch and W&B say of a wrong setting into one line, in the words of this command."""
    try:
        yield
    except DataError as error:
        raise type(error)(str(error).replace("--data-root", "--data.data_root")) from error
    except MisconfigurationException as error:
        raise DotallyError(" ".join(str(error).split())) from error
    except ValueError as error:
        if "Tried to step" not in str(error):
            raise
        text = "the schedule ended: a training with one is resumed to the --trainer.max_epochs it was begun with"
        raise DotallyError(text) from error
    except Exception as error:
        if not type(error).__module__.startswith("wandb."):
            raise
        raise DotallyError(f"Weights & Biases: {' '.join(str(error).split())} (or --wandb offline)") from error
