"""The command line of every table script: operational flags only; what a table is stands in the script."""

import argparse
import fnmatch
import json
import logging
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dotally.errors import DotallyError
from dotally.experiment import render
from dotally.experiment.execute import Job, Options, execute, fast_dev_run, plan
from dotally.experiment.identity import resolved_spec
from dotally.experiment.report import CellReport, report, seeds_of
from dotally.experiment.results import Result, find_results
from dotally.experiment.spec import Run, Table, Trivial
from dotally.experiment.terminal import show
from dotally.files import write_text

CONSOLE = Console(stderr=True)
PUBLISHED = ("run.json", "predictions.csv", "metrics.csv")


def main(table: Table, *, seeds: Sequence[int] | None = None, arguments: Sequence[str] | None = None) -> int:
    """Run what has no result yet, print the table, and return the exit code: 0, 1 for failures, 2 for wrong use.

    Args:
        table: The table of the script.
        seeds: Seeds that are run when none are asked for; those of the table by default.
        arguments: The command line, for tests.
    """
    flags = _parser(table).parse_args(arguments)
    _quiet()
    options = Options(
        data_root=flags.data_root,
        runs=flags.runs,
        workers=flags.workers,
        accelerator=flags.accelerator,
        devices=flags.devices,
        progress=CONSOLE.is_terminal,
    )
    try:
        return _run(table, flags, options, tuple(flags.seeds or seeds or table.seeds))
    except DotallyError as error:
        CONSOLE.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        CONSOLE.print("interrupted; the same command goes on from the last finished epoch")
        return 1


def _parser(table: Table) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=f"{table.title} ({table.source})")
    add = parser.add_argument
    add("--only", nargs="+", metavar="PATTERN", help="cells whose row.column matches, such as 'csrnet*'")
    add("--seeds", nargs="+", type=int, help=f"default of the full table: {' '.join(map(str, table.seeds))}")
    add("--fast-dev-run", action="store_true", help="one batch of everything, nothing is kept")
    add("--report", action="store_true", help="print the table from the results at hand, run nothing")
    add("--show", metavar="CELL", help="print the resolved specification of a cell")
    add("--publish", action="store_true", help="copy finished results beside the script, to be committed")
    add("--data-root", help="where the data sets are; several, separated by ':'; default DOTALLY_DATA_ROOT")
    add("--runs", type=Path, default=Path("runs"), help="where runs are kept (default: runs)")
    add("--workers", type=int, default=0, help="processes that load pictures")
    add("--accelerator", default="auto")
    add("--devices", type=int, default=1)
    return parser


def _run(table: Table, flags: argparse.Namespace, options: Options, seeds: tuple[int, ...]) -> int:
    cells = _selected(table, flags.only)
    if flags.show:
        print(json.dumps(resolved_spec(_selected(table, [flags.show])[0]), indent=2))
        return 0
    if flags.fast_dev_run:
        for cell in cells:
            fast_dev_run(cell, options)
            CONSOLE.print(f"{cell.cell}: one batch of everything went through")
        return 0
    failures = [] if flags.report else _execute_all(table, cells, seeds, options)
    finished = _report(table, options, table.seeds if flags.report else seeds)
    if flags.publish:
        _publish(table, finished, options)
    for failure in failures:
        CONSOLE.print(f"failed: {failure}", style="red", markup=False, highlight=False, soft_wrap=True)
    return int(bool(failures))


def _selected(table: Table, patterns: Sequence[str] | None) -> list[Run | Trivial]:
    cells = table.runnable()
    chosen = [c for c in cells if not patterns or any(fnmatch.fnmatch(c.cell, p) or p == c.row for p in patterns)]
    if not chosen:
        names = ", ".join(cell.cell for cell in cells)
        raise DotallyError(f"no cell matches {' '.join(patterns or [])}: there are {names}")
    return chosen


def _execute_all(table: Table, cells: Sequence[Run | Trivial], seeds: tuple[int, ...], options: Options) -> list[str]:
    """Run every cell that has no result; a failure is noted and the rest goes on."""
    failures = []
    for cell in cells:
        for seed in seeds_of(cell, seeds):
            try:
                _execute_one(plan(table.id, cell, seed, options), options)
            except DotallyError as error:
                failures.append(f"{cell.cell} seed {seed}: {error}")
            except Exception as error:  # a bug in one cell must not cost the others their night
                failures.append(f"{cell.cell} seed {seed}: {type(error).__name__}: {error}")
    return failures


def _execute_one(job: Job, options: Options) -> None:
    if job.folder.state() == "done":
        return
    with job.folder.claim() as mine:
        if not mine:
            CONSOLE.print(f"{job.name}: another process is at it, left alone")
            return
        resumed = (job.folder.checkpoints / "last.ckpt").exists()
        CONSOLE.print(f"{job.name}: {'resumed' if resumed else 'started'} in {job.folder.path}", highlight=False)
        result = execute(job, options)
    figures = "  ".join(
        f"{render.LABELS[name]} {render.number(result.metrics.get(name), name)}"
        for name in ("mae", "rmse", "bias", "slope")
    )
    CONSOLE.print(f"{job.name}: {figures}  {result.facts['seconds']} s", highlight=False)


def _report(table: Table, options: Options, seeds: Sequence[int]) -> list[CellReport]:
    """Print the table and write it in every format."""
    cells = report(table, _results(table, options), seeds)
    show(table, cells)
    folder = options.runs / table.id
    write_text(folder / "table.md", render.markdown(table, cells))
    write_text(folder / "table.tex", render.latex(table, cells))
    write_text(folder / "table.csv", render.long_csv(cells))
    write_text(folder / "table.json", render.records(table, cells))
    CONSOLE.print(f"wrote {folder}/table.md .tex .csv .json", highlight=False)
    return cells


def committed(table: Table) -> Path:
    """Return the folder of a table's committed results."""
    return Path(__file__).parents[3] / "experiments" / "results" / table.id


def _results(table: Table, options: Options) -> list[Result]:
    """Return committed results and then local ones, which replace them."""
    folders = (committed(table), options.runs / table.id)
    return [result for folder in folders for _, result in find_results(folder)]


def _publish(table: Table, cells: Sequence[CellReport], options: Options) -> None:
    """Copy the chosen runs' small files beside the script; checkpoints and pictures stay where they are."""
    keys = {result.key for cell in cells for result in cell.results}
    for path, result in find_results(options.runs / table.id):
        if result.key not in keys:
            continue
        target = committed(table) / result.cell / f"seed{result.seed}"
        for name in PUBLISHED:
            if (path.parent / name).exists():
                target.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path.parent / name, target / name)
    CONSOLE.print(f"published to {os.path.relpath(committed(table))}", highlight=False)


def _quiet() -> None:
    """Silence what a user can do nothing about; the run's own log keeps it all."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.handlers.clear()
    warnings.filterwarnings("ignore", module="pytorch_lightning")
