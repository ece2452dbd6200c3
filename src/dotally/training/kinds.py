"""What can be trained: a network that counts, or a classifier that localizes. The data set says which."""

import argparse
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from dotally import data
from dotally.data.crowd import CrowdDataModule
from dotally.data.localization import LocalizationDataModule
from dotally.errors import WeightsError
from dotally.experiment.spec import Data, Task
from dotally.predict.classifier_file import load_classifier
from dotally.predict.weights_file import load_weights
from dotally.tasks import CountingTask, LocalizationTask


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A task, the data sets it takes, and the words for what comes of it.

    Attributes:
        task: The task.
        data: Base of its data sets.
        monitor: Validation figure that chooses the checkpoint, the smaller the better.
        told: What the figure is called.
        scale: What it is multiplied by for people.
        unit: What it is then counted in.
        next: What to type with the checkpoint ``{}``.
    """

    task: type[Task]
    data: type[Data]
    monitor: str
    told: str
    scale: float = 1.0
    unit: str
    next: str

    def load(self, weights: str) -> Task:
        """Return the task of a weights file or name, loaded.

        Raises:
            WeightsError: No such file or name, damaged, or not of this kind.
        """
        loaded = load_weights(weights).network if self.task is CountingTask else load_classifier(weights).network
        try:
            task = self.task(**loaded.hparams)
        except (TypeError, ValueError) as error:
            raise WeightsError(f"{weights}: no weights that this version trains with ({error})") from error
        task.load_state_dict(loaded.state_dict())
        return task


COUNTING = Kind(
    task=CountingTask,
    data=CrowdDataModule,
    monitor="val/mae",
    told="MAE",
    unit="heads a picture",
    next="dotally predict PICTURES --weights {} --out counts",
)
LOCALIZING = Kind(
    task=LocalizationTask,
    data=LocalizationDataModule,
    monitor="val/error",
    told="error",
    scale=100.0,
    unit="% of labels",
    next="dotally localize PICTURES --weights {} --out found",
)


def kind_of(arguments: list[str]) -> Kind:
    """Return the kind of the data set that a command line names last, itself or in a file; counting where none is."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("--data", "--data.class_path", "--data.help", dest="named", action="append", nargs="?")
    add("--config", "-c", dest="named", action="append", nargs="?", type=_named_in)
    named = [name for name in parser.parse_known_args(arguments)[0].named or [] if name]
    return LOCALIZING if named and _localizes(named[-1]) else COUNTING


def _named_in(config: str) -> str | None:
    """Return the data set of a file or text of settings; what is wrong with it, Lightning's parser will say."""
    try:
        text = Path(config).read_text(encoding="utf-8") if Path(config).is_file() else config
        chosen: Any = yaml.safe_load(text)["data"]
        return str(chosen if isinstance(chosen, str) else chosen["class_path"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return None


def data_class(name: str) -> Any:
    """Return the class of a data set by its bare name or its dotted path, None where there is none."""
    module, _, last = name.rpartition(".")
    try:
        return getattr(import_module(module) if module else data, last, None)
    except ImportError:
        return None


def _localizes(name: str) -> bool:
    found = data_class(name)
    return isinstance(found, type) and issubclass(found, LocalizationDataModule)
