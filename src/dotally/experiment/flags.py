"""Flags of every table script: all of them operational, none of them changes what a run computes."""

import argparse
import os
from pathlib import Path

from dotally.arguments import whole
from dotally.errors import DotallyError
from dotally.experiment.job import Options
from dotally.experiment.mirror import Mode
from dotally.experiment.spec import Table

# what WANDB_MODE may say, in the words of wandb itself and its older ones
WANDB_MODES: dict[str, Mode] = {
    "offline": "offline",
    "dryrun": "offline",
    "online": "online",
    "run": "online",
    "shared": "online",
    "disabled": "off",
    "off": "off",
}

SEED = whole(0, 2**32 - 1)  # of a larger one Lightning makes 0
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")


def parser(table: Table) -> argparse.ArgumentParser:
    """Return the parser of a table's script."""
    made = argparse.ArgumentParser(description=f"{table.title} ({table.source})".replace("%", "%%"))
    _what(made.add_argument_group("what to do; without any of these: run what has no result yet, print the table"))
    _which(made.add_argument_group("which part of it"), table)
    _where(made.add_argument_group("where and how; no result depends on these"))
    return made


def _what(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--plan", action="store_true", help="state, printed value and cost of every cell; runs nothing but a stopwatch")
    add("--fast-dev-run", action="store_true", help="one batch of everything, nothing is kept")
    add("--report", action="store_true", help="print the table from the results at hand, run nothing")
    add(
        "--replay",
        action="store_true",
        help="confirm stale results: train a first epoch, test what was kept, compare bits",
    )
    add("--check", action="store_true", help="leave with 1 where a number is off, stale or missing; see --report")
    add("--compare", nargs=2, metavar=("A", "B"), help="two cells, picture by picture: whose errors are smaller?")
    add("--show", metavar="CELL", help="print the resolved specification of a cell")
    about = "after the runs (with --report: without any), copy finished results beside the script, to be committed"
    add("--publish", action="store_true", help=about)
    add(
        "--launch", choices=["slurm", "local", "print"], help="hand every cell and seed to a cluster, or print commands"
    )
    add("--from", dest="source", metavar="wandb:ENTITY/PROJECT", help="with --report: results of Weights & Biases")


def _which(group: argparse._ArgumentGroup, table: Table) -> None:
    group.add_argument("--only", nargs="+", metavar="PATTERN", help="cells whose row.column matches, such as 'csrnet*'")
    seeds = " ".join(map(str, table.seeds))
    group.add_argument("--seeds", nargs="+", type=SEED, metavar="SEED", help=f"those of the full table: {seeds}")


def _where(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--data-root", metavar="DIR", help="where the data sets are; several, separated by ':' (DOTALLY_DATA_ROOT)")
    add("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept (default: runs)")
    about = "cells at once: on this machine (default: 1), threads divided, or of the array that --launch slurm submits"
    add("--jobs", type=whole(1), metavar="N", help=about)
    add("--workers", type=whole(0), default=0, metavar="N", help="processes that load pictures (default: 0)")
    add("--accelerator", choices=ACCELERATORS, default="auto", help="as Lightning's Trainer takes it (default: auto)")
    add("--devices", type=whole(1), default=1, metavar="N", help="devices that share each batch of a run (default: 1)")
    about = "only operations that repeat every bit on this machine, slower on a GPU; without it a CPU repeats them too"
    add("--deterministic", action="store_true", help=about)
    add("--wandb", choices=["offline", "online", "off"], help="mirror to Weights & Biases (WANDB_MODE, else offline)")


def options(flags: argparse.Namespace, *, progress: bool) -> Options:
    """Turn parsed flags into options.

    Raises:
        DotallyError: If WANDB_MODE is asked for and holds no mode, or ``--runs`` names a file.
    """
    there = next(path for path in (flags.runs, *flags.runs.absolute().parents) if path.exists())
    if not there.is_dir():
        raise DotallyError(f"--runs {flags.runs}: {there} is a file, name a folder")
    return Options(
        data_root=flags.data_root,
        runs=flags.runs,
        workers=flags.workers,
        accelerator=flags.accelerator,
        devices=flags.devices,
        deterministic=flags.deterministic,
        progress=progress,
        wandb=flags.wandb or wandb_mode("offline"),
    )


def command_line(options: Options) -> list[str]:
    """Return the flags that give another process the same options."""
    line = ["--runs", str(options.runs), "--workers", str(options.workers), "--accelerator", options.accelerator]
    line += ["--devices", str(options.devices), "--wandb", options.wandb]
    line += ["--deterministic"] if options.deterministic else []
    return line if options.data_root is None else [*line, "--data-root", str(options.data_root)]


def wandb_mode(otherwise: Mode) -> Mode:
    """Return what WANDB_MODE says, ``otherwise`` where it says nothing.

    Raises:
        DotallyError: If it holds no mode.
    """
    mode = os.environ.get("WANDB_MODE") or otherwise
    if mode not in WANDB_MODES:
        raise DotallyError(f"WANDB_MODE={mode}: use online, offline or disabled, or pass --wandb")
    return WANDB_MODES[mode]
