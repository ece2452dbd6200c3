"""Settings that are not typed: those of a checkpoint's network, and of the training that wrote it."""

import json
from pathlib import Path
from typing import Any

import yaml

from dotally.data.crowd import CrowdDataModule
from dotally.errors import WeightsError
from dotally.experiment.spec import Task
from dotally.models import read_weights
from dotally.predict.weights_file import find_weights, reading_in
from dotally.training.place import config_beside

# what fixes the function that weights compute; the rest is how they are trained
_FUNCTION = ("model", "model_kwargs", "density_scale", "preprocessing")


def of_checkpoint(checkpoint: Path | None) -> list[str]:
    """Return arguments that rebuild the task of a checkpoint, and its data where the settings lie beside it.

    They go before those of the user, who may change what is not the network's.

    Raises:
        WeightsError: No such file, damaged, or not written by a training.
    """
    if checkpoint is None:
        return []
    if not checkpoint.is_file():
        raise WeightsError(f"{checkpoint}: no such checkpoint")
    content = read_weights(checkpoint).extra
    hyper_parameters = content.get("hyper_parameters")
    if not isinstance(hyper_parameters, dict):
        raise WeightsError(f"{checkpoint}: not a checkpoint of `dotally fit`; other weights are taken by --weights")
    config = config_beside(checkpoint)
    beside = ["--config", str(config)] if config else []
    if config and _leaves_size_open(config):
        # other pictures, or more of them, are read at the size that the network has learnt
        beside += ["--data.longest_side", json.dumps(reading_in(content)["longest_side"])]
    return [*beside, *_model({name: value for name, value in hyper_parameters.items() if name[:1] != "_"})]


def of_weights(task: Task | None) -> list[str]:
    """Return arguments that build the network of loaded weights; they go last, because no other network fits."""
    if task is None:
        return []
    fixed = {name: task.hparams[name] for name in _FUNCTION if name in task.hparams}
    # what is loaded replaces the weights a training would begin from
    return _model(fixed | ({"imagenet": None} if "imagenet" in task.hparams else {}))


def of_minutes(minutes: float | None) -> list[str]:
    """Return the arguments of a time box: among the settings, so that a resumed training has it too."""
    # whole numbers are all that Lightning's parser takes
    return [] if minutes is None else ["--trainer.max_time", json.dumps({"milliseconds": round(minutes * 60_000)})]


def resized_unlike(weights: str | Path, data: CrowdDataModule) -> str:
    """Say in one line how pictures are resized otherwise than weights have learnt; nothing where alike or unknown.

    Args:
        weights: File or name.
        data: After its ``setup``, by which it knows.
    """
    trained = reading_in(read_weights(find_weights(weights)).extra)
    other = [name for name in trained if (trained[name] or None) != (data.hparams.get(name) or None)]
    if not other:
        return ""
    told = [f"{name} {trained[name]} in training and {data.hparams.get(name)} here" for name in other]
    return f"pictures are resized unlike those that the weights have learnt from: {', '.join(told)} (--data.{other[0]})"


def _leaves_size_open(config: Path) -> bool:
    chosen = yaml.safe_load(config.read_text(encoding="utf-8")).get("data") or {}
    return (chosen.get("init_args") or {}).get("longest_side") == "auto"


def _model(values: dict[str, Any]) -> list[str]:
    return ["--config", json.dumps({"model": values})]
