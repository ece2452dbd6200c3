"""Where a training lives: ``runs/fit/<name or date>``, and what it goes on from."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dotally.errors import DotallyError
from dotally.training.flags import Flags

RUNS = Path("runs", "fit")


@dataclass(frozen=True)
class Place:
    """The folder of a training.

    Attributes:
        folder: Holds ``config.yaml``, ``metrics.csv`` and ``checkpoints/``.
    """

    folder: Path

    @property
    def config(self) -> Path:
        """``config.yaml``: every setting of the training."""
        return self.folder / "config.yaml"

    @property
    def metrics(self) -> Path:
        """``metrics.csv``: one line per epoch."""
        return self.folder / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """Folder of ``best.ckpt`` and ``last.ckpt``."""
        return self.folder / "checkpoints"

    @property
    def last(self) -> Path:
        """``last.ckpt``: what a resume goes on from."""
        return self.checkpoints / "last.ckpt"

    @property
    def record(self) -> Path:
        """``wandb-id``: what the training is called at Weights & Biases, where it is recorded there."""
        return self.folder / "wandb-id"

    def resume_line(self) -> str:
        """Return what to type to go on."""
        return f"dotally fit --resume --name {self.folder.relative_to(RUNS)}"


def choose(flags: Flags) -> tuple[Place, Path | None]:
    """Return where a training goes and the checkpoint that it goes on from, if any.

    With ``--resume`` and a name that holds no checkpoint yet, the training begins: a job that is restarted again and
    again needs one command line.

    Raises:
        DotallyError: The folder holds a training already, or there is none to resume.
    """
    if flags.resume and flags.checkpoint:
        raise DotallyError("--resume goes on from the last checkpoint of a training: leave out --ckpt_path")
    if flags.resume and flags.name is None:
        place = _latest()
        return place, place.last
    place = Place(RUNS / (flags.name or _date()))
    if not place.last.exists():
        return place, flags.checkpoint
    if not flags.resume:
        raise DotallyError(f"{place.folder} holds a training: add --resume to go on with it, or choose another --name")
    return place, place.last


def config_beside(checkpoint: Path) -> Path | None:
    """Return the settings of the training that wrote a checkpoint, if they lie beside it."""
    config = Place(checkpoint.parent.parent).config
    return config if config.is_file() else None


def _latest() -> Place:
    begun = sorted(RUNS.rglob("checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not begun:
        raise DotallyError(f"there is no training to resume below {RUNS}")
    return Place(begun[-1].parent.parent)


def _date() -> str:
    # the trials of a sweep may begin in the same second
    return os.environ.get("WANDB_RUN_ID") or f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
