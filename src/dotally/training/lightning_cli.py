"""Lightning's command line, wired to our task and data modules: it parses and builds, and runs nothing."""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from typing_extensions import override

from dotally import data
from dotally.errors import DotallyError
from dotally.experiment.checkpoints import WholeCheckpoints
from dotally.experiment.spec import Task
from dotally.files import write_text
from dotally.training.cooling import Cooling
from dotally.training.flags import Subcommand
from dotally.training.kinds import COUNTING, LOCALIZING, data_class, kind_of

EPOCHS = 20  # where neither epochs nor steps nor minutes are asked for
_DEFAULTS = {"logger": False, "num_sanity_val_steps": 0, "devices": 1}
# lines of jsonargparse's messages that say nothing to whoever typed the command
_NOISE = ("Does not validate", "Subtypes:", "Errors:", "Given value", "- Expected a <class 'NoneType'>")


class SaveConfig(SaveConfigCallback):
    """Write every setting to a file when the training starts.

    Args:
        parser: Lightning's.
        config: The settings.
        path: The YAML file.
    """

    def __init__(self, parser: LightningArgumentParser, config: Any, path: Path) -> None:
        super().__init__(parser, config, save_to_log_dir=False)
        self.path = path

    @override
    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        skip_none = False  # by position, because it is called skip_none before jsonargparse 4.49 and skip_unset since
        write_text(self.path, self.parser.dump(self.config, "yaml", skip_none))


class TaskCLI(LightningCLI):
    """Parse settings and build the task, the data and the trainer.

    The data set decides the task. The stride of crowds is linked to that of the network, and a classifier gets as
    many outputs as its data have classes. ``save_hyperparameters`` sees what the constructors get, so checkpoints are
    those of every other training of ours.

    Args:
        subcommand: "fit", "validate" or "test"; measuring happens on one device, which counts no picture twice.
        arguments: What remains of the command line after our own flags.
        save_config: Where to write the settings, if anywhere.
        trainer: Arguments of the Trainer that the settings do not decide.

    Raises:
        DotallyError: A setting is unknown, missing or out of range.
        SystemExit: After ``--help`` and ``--print_config``.
    """

    def __init__(
        self, subcommand: Subcommand, arguments: list[str], *, save_config: Path | None = None, **trainer: Any
    ) -> None:
        for name in data.__all__:  # a data set is known by its bare name once it is imported
            getattr(data, name)
        self.forced: dict[str, Any] = trainer
        self.kind = kind_of(arguments)
        if subcommand != "fit":
            self.forced |= {"devices": 1, "num_nodes": 1, "strategy": "auto"}
        super().__init__(
            self.kind.task,
            self.kind.data,
            subclass_mode_data=True,
            save_config_callback=SaveConfig if save_config else None,
            save_config_kwargs={"path": save_config},
            seed_everything_default=0,
            trainer_defaults=_DEFAULTS,
            parser_kwargs={"prog": f"dotally {subcommand}", "exit_on_error": False},
            args=arguments,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    @property
    def dry(self) -> bool:
        """Whether this is a ``fast_dev_run``, which leaves nothing behind."""
        return bool(self.config["trainer"]["fast_dev_run"])

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        if self.kind is COUNTING:
            parser.link_arguments("model.stride", "data.init_args.stride", apply_on="instantiate")

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        # without Lightning's warning that sys.argv is not empty: the arguments are its
        try:
            self.config = parser.parse_args(args)
        except argparse.ArgumentError as error:
            raise DotallyError(_one_line(str(error)) + _whereabouts(str(error), args)) from error

    @override
    def instantiate_classes(self) -> None:
        try:
            if self.kind is LOCALIZING:
                _fit_outputs(self.config)
            super().instantiate_classes()
        except (ValueError, TypeError, ModuleNotFoundError, MisconfigurationException) as error:
            raise DotallyError(" ".join(str(error).split())) from error

    @override
    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        chosen = self.config_init["trainer"]
        ours = self.forced.pop("callbacks", [])
        callbacks = [*(chosen["callbacks"] or []), *([] if self.dry else ours)]
        if chosen["max_steps"] == -1 and (chosen["max_epochs"], chosen["max_time"]) == (None, None):
            self.forced["max_epochs"] = EPOCHS
        endless = chosen["max_steps"] == -1 and (self.forced.get("max_epochs") or chosen["max_epochs"]) in (None, -1)
        if endless:
            _check_endless(self.model)
            callbacks += [Cooling()] if chosen["max_time"] and not self.dry else []
        # sharded strategies write their checkpoints themselves
        if chosen["plugins"] is None and str(chosen["strategy"]).startswith(("auto", "ddp")):
            self.forced["plugins"] = WholeCheckpoints()
        return super().instantiate_trainer(**self.forced, callbacks=callbacks, **kwargs)


def _fit_outputs(config: Any) -> None:
    """Give the network as many outputs as the data have classes, unless their number is set."""
    arguments = config.model.model_kwargs or {}
    if "num_classes" not in arguments:
        chosen = config.data
        made = data_class(chosen.class_path)(**chosen.init_args.as_dict())
        config.model.model_kwargs = {**arguments, "num_classes": made.num_classes}


def _check_endless(task: Task) -> None:
    """Refuse what is reckoned in epochs where nobody knows how many there will be."""
    for setting, name in (("schedule", "schedule"), ("freeze_batch_norm", "share of the epochs")):
        if task.hparams.get(setting) is not None:
            raise DotallyError(
                f"the {name} {task.hparams[setting]} needs to know where training ends: set --trainer.max_epochs "
                f"beside the time box, or --model.{setting} null"
            )


def _one_line(message: str) -> str:
    names = ", ".join(name for name in data.__all__ if _is_data_set(name))
    if message.endswith("required: data"):
        return f"name the data, --data NAME or a file by --config; data sets are: {names}"
    if "Expected a dot import path string" in message:
        return f"{message.splitlines()[0]} no data set of that name; data sets are: {names}"
    lines = (line.strip() for line in message.splitlines())
    return " ".join(line.removeprefix("- ") for line in lines if line and not line.startswith(_NOISE))


def _whereabouts(message: str, arguments: Sequence[str]) -> str:
    """Say which files a setting that there is not may stand in, and where to look up those that there are."""
    if "not accept" not in message:
        return ""
    given = pairwise(arguments)
    files = [value for flag, value in given if flag in ("--config", "-c")]
    files += [flag.removeprefix("--config=") for flag in arguments if flag.startswith("--config=")]
    return f" ({', '.join(files) or 'command line'}): --help lists the settings"


def _is_data_set(name: str) -> bool:
    kind = getattr(data, name)
    bases = (COUNTING.data, LOCALIZING.data)
    return isinstance(kind, type) and issubclass(kind, bases) and kind not in bases
