"""The flags that are ours; everything else on the command line is Lightning's. Imports nothing that takes time."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dotally.arguments import positive

Subcommand = Literal["fit", "validate", "test"]
SUBCOMMANDS: tuple[Subcommand, ...] = ("fit", "validate", "test")

_ABOUT = {
    "fit": "Train a network that counts, or a classifier that localizes, as the data set says; the best epoch by "
    "held-out MAE or error is kept.",
    "validate": "Measure a checkpoint on the validation split.",
    "test": "Measure a checkpoint on the test split, on one device; of a classifier also STNet's boxes.",
}
_EXAMPLES = {
    "fit": """\
examples:
  dotally fit --config experiments/configs/csrnet_slim_synthetic.yaml
  dotally fit --data ShanghaiTech --data.part B --data.data_root DIR --model.lr 1e-3 --trainer.max_epochs 50
  dotally fit --data BoxFolder --data.folder DIR --data.side 64 --trainer.max_epochs 30
  dotally fit --config FILE --weights runs/fit/first/checkpoints/best.ckpt --minutes 20
  dotally fit --config FILE --trainer.devices 2 --trainer.strategy ddp
  dotally fit --resume --name first

A resumed training goes on after the last whole epoch, with the settings it was begun with unless they are given anew.
With several devices the batch size is that of each device.
""",
    "validate": "example: dotally validate --ckpt_path runs/fit/first/checkpoints/best.ckpt\n",
    "test": "example: dotally test --weights csrnet_partB.pth --data ShanghaiTech --data.part B --data.data_root DIR\n",
}
_MORE = """
Settings of the network, the data and the trainer are --model.*, --data.* and --trainer.*, or a file by --config:
  --print_config        print all of them with their defaults, as such a file (with --print_config=comments, explained)
  --data.help NAME      those of one data set
  --help_all            all of this and every option of Lightning's Trainer
The stride of crowds is always that of the network; a classifier has an output for each class of the data.
"""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What the user said in words of ours.

    Attributes:
        subcommand: "fit", "validate" or "test".
        name: Of the folder below ``runs/fit``; None takes the date.
        resume: Whether to go on with a training.
        minutes: Time box of the training.
        weights: File or name to begin from, or to measure.
        checkpoint: Lightning checkpoint to go on from, or to measure.
        wandb: "off", "offline", "online"; None asks the environment.
        rest: What remains, for Lightning.
    """

    subcommand: Subcommand
    name: str | None = None
    resume: bool = False
    minutes: float | None = None
    weights: str | None = None
    checkpoint: Path | None = None
    wandb: Literal["off", "offline", "online"] | None = None
    rest: list[str]


def read_flags(subcommand: Subcommand, arguments: list[str]) -> Flags:
    """Split a command line into our flags and the rest; ``--help`` and wrong use leave with SystemExit."""
    known, rest = _parser(subcommand).parse_known_args(arguments)
    if known.help_all:
        rest.append("--help")
    del known.help_all
    return Flags(subcommand=subcommand, rest=rest, **vars(known))


def _parser(subcommand: Subcommand) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"dotally {subcommand}",
        usage=f"dotally {subcommand} [--config FILE] [--data NAME] [options] [--model.* --data.* --trainer.*]",
        description=_ABOUT[subcommand],
        epilog=_EXAMPLES[subcommand] + _MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    begin = "begin from these weights" if subcommand == "fit" else "measure these weights"
    add("--weights", metavar="FILE|NAME", help=f"{begin}, as `dotally predict` takes them")
    last = "go on from" if subcommand == "fit" else "measure"
    add("--ckpt_path", dest="checkpoint", type=Path, metavar="FILE", help=f"{last} this checkpoint of a training")
    if subcommand == "fit":
        add("--name", type=_name, help="write to runs/fit/NAME (default: the date)")
        add("--resume", action="store_true", help="go on with runs/fit/NAME, or without a name with the latest")
        add(
            "--minutes",
            type=positive,
            metavar="N",
            help="stop after N minutes of training, resumed ones included",
        )
        add(
            "--wandb",
            choices=("off", "offline", "online"),
            help="Weights & Biases (default: WANDB_MODE, or offline; with a --trainer.logger of your own, none)",
        )
    add("--help_all", action="store_true", help=argparse.SUPPRESS)
    return parser


def _name(text: str) -> str:
    if not text or text.startswith((".", "/")) or ".." in Path(text).parts:
        raise argparse.ArgumentTypeError(f"must be the name of a folder below runs/fit, got {text!r}")
    return text
