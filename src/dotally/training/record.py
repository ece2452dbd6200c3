"""The record of a training at Weights & Biases: whether there is one, and that a resumed training continues it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from pytorch_lightning.loggers import WandbLogger

from dotally.errors import DotallyError
from dotally.experiment import wandb_session
from dotally.experiment.flags import wandb_mode
from dotally.predict.terminal import say
from dotally.training.flags import Flags
from dotally.training.place import Place


def logger_of(flags: Flags, place: Place) -> WandbLogger | None:
    """Return the logger of a training, None where it is not recorded.

    The flag says whether, else WANDB_MODE; the agent of a sweep wants to hear of its trials.

    Raises:
        DotallyError: WANDB_MODE holds no mode, or wandb is not installed.
    """
    mode = flags.wandb or wandb_mode("online" if os.environ.get("WANDB_SWEEP_ID") else "off")
    if mode == "off":
        return None
    place.folder.mkdir(parents=True, exist_ok=True)
    try:
        return WandbLogger(
            project=wandb_session.project(),
            # the agent of a sweep finds prettier names than its ids, by which we call the folders
            name=None if os.environ.get("WANDB_SWEEP_ID") else place.folder.name,
            group=os.environ.get("WANDB_RUN_GROUP") or place.folder.name,
            id=os.environ.get("WANDB_RUN_ID") or _id(place),
            # in full, because wandb's service may have begun in another folder
            save_dir=place.folder.absolute(),
            mode=mode,  # not ``offline=``, by which Lightning sets WANDB_MODE for good
            settings=wandb_session.known(wandb_session.patience()),
        )
    except ModuleNotFoundError as error:
        raise DotallyError("logging to Weights & Biases needs wandb: pip install wandb, or --wandb off") from error


def _id(place: Place) -> str:
    """Return the record's id, drawn when a training begins and kept beside it."""
    try:
        with place.record.open("x", encoding="utf-8") as file:
            file.write(secrets.token_hex(6))
    except FileExistsError:  # resumed, or another device was first
        pass
    return place.record.read_text(encoding="utf-8").strip()


@contextmanager
def closing(logger: WandbLogger | None) -> Iterator[None]:
    """End the record, marked as failed by an error, so that a second training in this process gets its own."""
    code = 1
    try:
        yield
        code = 0
    finally:
        if logger is not None:
            _finish(code)


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
