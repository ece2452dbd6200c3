"""Settings that are not typed: those of a checkpoint's network, and of the training that wrote it."""

import json
from pathlib import Path
from typing import Any

from dotally.errors import WeightsError
from dotally.experiment.spec import Task
from dotally.models import read_weights
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
    hyper_parameters = read_weights(checkpoint).extra.get("hyper_parameters")
    if not isinstance(hyper_parameters, dict):
        raise WeightsError(f"{checkpoint}: not a checkpoint of `dotally fit`; other weights are taken by --weights")
    config = config_beside(checkpoint)
    beside = ["--config", str(config)] if config else []
    return [*beside, *_model({name: value for name, value in hyper_parameters.items() if name[:1] != "_"})]


def of_weights(task: Task | None) -> list[str]:
    """Return arguments that build the network of loaded weights; they go last, because no other network fits."""
    if task is None:
        return []
    fixed = {name: task.hparams[name] for name in _FUNCTION if name in task.hparams}
    # what is loaded replaces the weights a training would begin from
    return _model(fixed | ({"imagenet": None} if "imagenet" in task.hparams else {}))


def _model(values: dict[str, Any]) -> list[str]:
    return ["--config", json.dumps({"model": values})]
