"""One training or one measurement: what happens, in which order, and what is said of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import WandbLogger

from dotally.callbacks import Curve, RandomState
from dotally.errors import DataError, DotallyError
from dotally.experiment.execute import checkpoints
from dotally.predict.terminal import say
from dotally.predict.weights_file import load_weights
from dotally.tasks import CountingTask
from dotally.training import settings
from dotally.training.best_so_far import BestSoFar
from dotally.training.flags import Flags
from dotally.training.lightning_cli import CountingCLI
from dotally.training.place import Place, choose

_WANDB_MODES = {"online": "online", "shared": "online", "offline": "offline", "dryrun": "offline"}


def fit(flags: Flags) -> int:
    """Train, keep the best epoch, and say what to do with it; returns 0, or 1 when interrupted.

    Raises:
        DotallyError: A setting, the data, the weights or the training is at fault.
    """
    place, begun = choose(flags)
    weights = None if begun else _weights(flags)
    arguments = [*settings.of_checkpoint(begun), *flags.rest, *settings.of_weights(weights)]
    trainer = _trainer_arguments(flags, place)
    with _plain_errors(), _closing(trainer.get("logger")):
        cli = CountingCLI("fit", arguments, save_config=place.config, **trainer)
        _load(cli, weights)
        try:
            before = None if begun else _mae(cli)
            cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=begun, weights_only=True)
        except SystemExit:  # how Lightning leaves after Ctrl-C
            _say_interrupted(cli.trainer, place)
            return 1
        _say_done(cli, before)
    return 0


def measure(flags: Flags) -> int:
    """Validate or test a checkpoint or weights on one device; Lightning prints the figures.

    Raises:
        DotallyError: A setting, the data or the weights are at fault.
    """
    if (flags.checkpoint is None) == (flags.weights is None):
        raise DotallyError(f"dotally {flags.subcommand} measures what was trained: name it by --ckpt_path or --weights")
    weights = _weights(flags)
    arguments = [*settings.of_checkpoint(flags.checkpoint), *flags.rest, *settings.of_weights(weights)]
    with _plain_errors():
        cli = CountingCLI(flags.subcommand, arguments)
        _load(cli, weights)
        entry = cli.trainer.validate if flags.subcommand == "validate" else cli.trainer.test
        entry(cli.model, cli.datamodule, ckpt_path=flags.checkpoint, weights_only=True)
    return 0


def _trainer_arguments(flags: Flags, place: Place) -> dict[str, Any]:
    best, last = checkpoints(place.checkpoints, "val/mae")
    arguments: dict[str, Any] = {
        "default_root_dir": str(place.folder),
        "callbacks": [best, last, Curve(place.metrics), RandomState(), BestSoFar()],
    }
    if flags.minutes is not None:
        arguments["max_time"] = {"minutes": flags.minutes}
    mode = _wandb_mode(flags)
    if mode != "off":
        place.folder.mkdir(parents=True, exist_ok=True)
        arguments["logger"] = _wandb_logger(place, offline=mode == "offline")
    return arguments


def _wandb_mode(flags: Flags) -> str:
    """Return what the flag says, else WANDB_MODE; the agent of a sweep wants to hear of its trials."""
    asked = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_SWEEP_ID") else "off")
    return flags.wandb or _WANDB_MODES.get(asked, "off")


def _wandb_logger(place: Place, *, offline: bool) -> WandbLogger:
    try:
        return WandbLogger(
            project=os.environ.get("WANDB_PROJECT") or "dotally",
            # the agent of a sweep finds prettier names than its ids, by which we call the folders
            name=None if os.environ.get("WANDB_SWEEP_ID") else place.folder.name,
            group=os.environ.get("WANDB_RUN_GROUP") or place.folder.name,
            save_dir=place.folder,
            offline=offline,
        )
    except ModuleNotFoundError as error:
        raise DotallyError("logging to Weights & Biases needs wandb: pip install wandb, or --wandb off") from error


def _weights(flags: Flags) -> CountingTask | None:
    return load_weights(flags.weights).task if flags.weights else None


def _load(cli: CountingCLI, weights: CountingTask | None) -> None:
    if weights is not None:
        cli.model.load_state_dict(weights.state_dict())


def _mae(cli: CountingCLI, checkpoint: Path | None = None) -> float | None:
    """Return the held-out MAE of the task as it is or of a checkpoint; None where nothing is held out."""
    if cli.dry:
        return None
    figures = cli.trainer.validate(cli.model, cli.datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False)
    return figures[0].get("val/mae") if figures else None


def _say_done(cli: CountingCLI, before: float | None) -> None:
    kept = cli.trainer.checkpoint_callback
    if not isinstance(kept, ModelCheckpoint) or not kept.best_model_path:
        return
    best = Path(os.path.relpath(kept.best_model_path))
    after = _mae(cli, best)
    if not cli.trainer.is_global_zero:
        return
    if after is not None:
        say(f"held-out MAE {'' if before is None else f'before {before:.2f}, '}after {after:.2f} heads a picture")
    say(f"checkpoint   {best}")
    say(f"next         dotally predict PICTURES --weights {best} --out counts")


def _say_interrupted(trainer: Trainer, place: Place) -> None:
    if not trainer.is_global_zero:
        return
    more = f"go on with: {place.resume_line()}" if place.last.exists() else "not one epoch was complete"
    say(f"interrupted; {more}", stderr=True)


@contextmanager
def _closing(logger: WandbLogger | None) -> Iterator[None]:
    """End the W&B run, marked as failed by an error, so that a second training in this process gets its own."""
    code = 1
    try:
        yield
        code = 0
    finally:
        if logger is not None:
            import wandb

            if wandb.run is not None:
                wandb.finish(exit_code=code)


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
