"""The record of a training at Weights & Biases: whether there is one, and that a resumed training continues it."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from dotally.errors import DotallyError
from dotally.experiment import wandb_session
from dotally.experiment.flags import wandb_mode
from dotally.experiment.wandb_session import Mode
from dotally.predict.terminal import say
from dotally.training.flags import Flags
from dotally.training.place import Place


def logger_of(flags: Flags, place: Place, *, own: bool = False) -> WandbLogger | None:
    """Return the logger of a training, its record opened; None where it is not recorded.

    The flag says where, else WANDB_MODE, else it is recorded offline; the agent of a sweep wants to hear of its trials.
    What nobody asked for costs no training: offline, a record that cannot be had is missed in one line.

    Args:
        flags: The command line.
        place: Of the training.
        own: Whether the settings name a logger, which then stands unless the flag asks for this one.

    Raises:
        DotallyError: WANDB_MODE holds no mode, or wandb is not installed and online was asked for.
        Exception: Whatever wandb says when online was asked for, such as that there is no key.
    """
    mode = flags.wandb or wandb_mode("online" if os.environ.get("WANDB_SWEEP_ID") else "offline")
    if mode == "off" or (own and flags.wandb is None):
        return None
    try:
        return _open(place, mode)
    except ModuleNotFoundError as error:
        if mode == "online":
            raise DotallyError("logging to Weights & Biases needs wandb: pip install wandb, or --wandb off") from error
        _miss("not installed")
    except Exception as error:
        if mode == "online":
            raise
        _miss(wandb_session.reason(error))
    return None


def _open(place: Place, mode: Mode) -> WandbLogger:
    begun = place.folder.exists()
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        logger = WandbLogger(
            project=wandb_session.project(),
            # the agent of a sweep finds prettier names than its ids, by which we call the folders
            name=None if os.environ.get("WANDB_SWEEP_ID") else place.folder.name,
            group=os.environ.get("WANDB_RUN_GROUP") or place.folder.name,
            id=os.environ.get("WANDB_RUN_ID") or _id(place),
            # in full, because wandb's service may have begun in another folder
            save_dir=place.folder.absolute(),
            # not ``offline=``, by which Lightning sets WANDB_MODE for good
            settings=wandb_session.known(
                wandb_session.discreet(mode) | wandb_session.patience() | {"silent": mode != "online"}
            ),
        )
        _ = logger.experiment
    except BaseException:
        if not begun:
            shutil.rmtree(place.folder, ignore_errors=True)
        raise
    return logger


def _miss(why: str) -> None:
    if getattr(rank_zero_only, "rank", 0) == 0:
        say(f"Weights & Biases: {why}; the training goes on without a record (--wandb off is silent)", stderr=True)


def _id(place: Place) -> str:
    """Return the record's id, drawn when a training begins and kept beside it."""
    try:
        with place.record.open("x", encoding="utf-8") as file:
            file.write(secrets.token_hex(6))
    except FileExistsError:  # resumed, or another device was first
        pass
    return place.record.read_text(encoding="utf-8").strip()


@contextmanager
def recorded(trainer: Trainer, flags: Flags, place: Place) -> Iterator[None]:
    """Record what a trainer does within, see :func:`logger_of`; the record ends with it, marked as failed by an error.

    Of a training that failed before an epoch was trained, such as for want of data, no offline record is kept.

    Raises:
        Exception: What :func:`logger_of` raises.
    """
    logger = logger_of(flags, place, own=bool(trainer.loggers))
    if logger is None:
        yield
        return
    trainer.logger = logger
    code = 1
    try:
        yield
        code = 0
    finally:
        _finish(code)
        if code and not place.metrics.exists():
            _forget(place)


def _finish(code: int) -> None:
    import wandb

    if wandb.run is None:
        return
    folder = os.path.relpath(wandb.run.settings.sync_dir)
    try:
        wandb.finish(exit_code=code)
    except Exception as error:  # the training is done, and its files are here
        why = wandb_session.reason(error)
        say(f"Weights & Biases: {why}; `wandb sync {folder}` sends what is missing", stderr=True)


def _forget(place: Place) -> None:
    if getattr(rank_zero_only, "rank", 0) != 0 or list(place.folder.glob("wandb/run-*")):  # which is online
        return
    shutil.rmtree(place.folder / "wandb", ignore_errors=True)
    place.record.unlink(missing_ok=True)
    with suppress(OSError):  # not empty
        place.folder.rmdir()
