"""The command line of every table script: operational flags only; what a table is stands in the script."""

import argparse
import errno
import fnmatch
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from dotally.errors import DotallyError
from dotally.experiment import cluster, compare, devices, flags, launch, probe, publish, render, work
from dotally.experiment.compare_methods import compare_methods, named_row
from dotally.experiment.failures import Failure, conclude, nothing_ran
from dotally.experiment.identity import resolved_spec
from dotally.experiment.job import Options
from dotally.experiment.latex import latex
from dotally.experiment.localization import Localization, is_row_of
from dotally.experiment.replay import replay_all
from dotally.experiment.report import CellReport, report, seeds_of
from dotally.experiment.results import Result, find_results, unreadable
from dotally.experiment.spec import Cell, Contest, Mean, Run, Table, Trivial
from dotally.experiment.statement import with_statements
from dotally.experiment.terminal import notice, say, show, show_plan
from dotally.files import write_text


def main(
    table: Table,
    *,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] | None = None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run what has no result yet, print the table, and return the exit code: 0, 1 for failures, 2 for wrong use.

    Args:
        table: The table of the script.
        seeds: Seeds that are run when none are asked for; those of the table by default.
        only: Rows, or patterns of cells, that are run when neither these nor seeds are asked for; all by default.
        arguments: The command line, for tests.
    """
    asked = flags.parser(table).parse_args(arguments)
    _quiet()
    try:
        table.check()
        shown = sys.stderr.isatty() and (asked.jobs or 1) == 1 and not devices.is_helper()
        options = flags.options(asked, progress=shown)
        return _dispatch(table, asked, options, tuple(seeds or table.seeds), only)
    except DotallyError as error:
        notice(f"error: {error}", style="red")
        return error.exit_code
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stderr.close()
        return 0
    except OSError as error:  # a full disk, a folder that is a file or not ours
        remedy = ": name a folder of yours by --runs" * (error.errno in (errno.EACCES, errno.EPERM, errno.EROFS))
        notice(f"error: {error.filename or table.id}: {error.strerror or error}{remedy}", style="red")
        return 1
    except KeyboardInterrupt:
        notice("interrupted; the same command goes on from the last finished epoch")
        return 1


def _dispatch(
    table: Table, asked: argparse.Namespace, options: Options, usual: tuple[int, ...], first: Sequence[str] | None
) -> int:
    if asked.source and not asked.report:
        raise DotallyError("--from goes with --report: it tells where results are read from")
    if asked.replay:
        _check_replay(asked)
    whole = asked.report or asked.plan or asked.compare or asked.replay
    seeds = tuple(dict.fromkeys(asked.seeds or (table.seeds if whole else usual)))
    cells = _selected(table, asked.only or (None if whole or asked.seeds or asked.fast_dev_run else first))
    if devices.is_helper():
        work.help_along(table, cells, seeds, options)
        return 0
    if asked.show:
        say(json.dumps(resolved_spec(_selected_one(table, asked.show)), indent=2))
        return 0
    if asked.compare:
        return _compare(table, asked.compare, seeds, options)
    if asked.plan:
        return _plan(table, cells, seeds, options)
    if asked.fast_dev_run:
        return conclude(work.try_all(cells, options), len(cells))
    if asked.launch:
        return _launch(table, asked, cells, seeds, options)
    return _run(table, asked, cells, seeds, options)


def _run(
    table: Table, asked: argparse.Namespace, cells: Sequence[Run | Trivial], seeds: tuple[int, ...], options: Options
) -> int:
    attempted = sum(len(seeds_of(cell, seeds)) for cell in cells)
    failures: list[Failure] = []
    if asked.replay:
        failures, attempted = replay_all(table, cells, seeds, options)
    elif not asked.report:
        failures = work.execute_all(table, cells, seeds, options, asked.jobs or 1)
    if nothing_ran(failures, attempted):
        return conclude(failures, attempted)
    finished = _report(table, options, seeds, asked.source)
    if not (asked.report or asked.replay):
        _show_the_way(table, options)
    chosen = [found for found in finished if _is_chosen(found.cell, cells)]
    if asked.publish:
        _publish(table, chosen, options)
    codes = [_check(chosen)] if asked.check else [0]
    if asked.report and (lacking := _lacking(table, finished, seeds, options)):
        notice(f"error: {lacking}", style="red")
        codes.append(1)
    return max(*codes, conclude(failures, attempted))


def _lacking(table: Table, finished: Sequence[CellReport], seeds: Sequence[int], options: Options) -> str:
    """Say what was to be reported and is not there; empty where nothing is amiss."""
    found = {result.seed for cell in finished for result in cell.results}
    if odd := [str(seed) for seed in seeds if seed not in (*table.seeds, *found)]:
        return f"no result of seed {', '.join(odd)}: the table's seeds are {', '.join(map(str, table.seeds))}"
    if any(unreadable(folder) for folder in (publish.committed(table.id), options.runs / table.id)):
        return "some results cannot be read, and the report is without them: see what was left out"
    return "" if found else f"no result of {table.id} yet: the same command without --report computes them"


def _check_replay(asked: argparse.Namespace) -> None:
    others = {"--report": asked.report, "--plan": asked.plan, "--compare": asked.compare, "--launch": asked.launch}
    others |= {"--fast-dev-run": asked.fast_dev_run, "--jobs": (asked.jobs or 1) > 1, "--devices": asked.devices > 1}
    if clash := [name for name, given in others.items() if given]:
        raise DotallyError(
            f"--replay goes without {', '.join(clash)}: it looks at one run after the other, on one device"
        )


def _is_chosen(row: Cell, cells: Sequence[Run | Trivial]) -> bool:
    """Tell whether a row of the report shows one of the cells; a mean, all of whose parts are among them."""
    if isinstance(row, Mean):
        return set(row.parts) <= {cell.cell for cell in cells}
    return any(is_row_of(row, cell) for cell in cells)


def _selected(table: Table, patterns: Sequence[str] | None) -> list[Run | Trivial]:
    cells = table.runnable()
    if patterns is None:
        return cells
    matched = [[c for c in cells if fnmatch.fnmatch(c.cell, p) or p == c.row] for p in patterns]
    if odd := [pattern for pattern, found in zip(patterns, matched, strict=True) if not found]:
        names = ", ".join(cell.cell for cell in cells)
        raise DotallyError(f"no cell matches {' '.join(odd)}: there are {names}")
    return [cell for cell in cells if any(cell in found for found in matched)]


def _selected_one(table: Table, name: str) -> Run | Trivial:
    cells = _selected(table, [name])
    if len(cells) > 1:
        raise DotallyError(f"{name} is several cells: choose one of {', '.join(cell.cell for cell in cells)}")
    return cells[0]


def _report(table: Table, options: Options, seeds: Sequence[int], source: str | None) -> list[CellReport]:
    """Print the table and write it in every format."""
    published, found = _results(table, options, source)
    cells = report(table, found, seeds, committed=published)
    folder = options.runs / table.id
    with tempfile.TemporaryDirectory() as fetched:
        folders = [publish.committed(table.id), folder, Path(fetched)]
        if source and table.contest:
            _fetch_predictions(source, table.contest, found, folders)
        cells = with_statements(table, cells, folders)
    show(table, cells)
    write_text(folder / "table.md", render.markdown(table, cells))
    write_text(folder / "table.tex", latex(table, cells))
    write_text(folder / "table.csv", render.long_csv(cells))
    write_text(folder / "table.json", render.records(table, cells))
    notice(f"wrote {folder}/table.md .tex .csv .json")
    return cells


def _fetch_predictions(source: str, contest: Contest, results: Sequence[Result], folders: Sequence[Path]) -> None:
    from dotally.experiment.wandb_predictions import fetch

    rows = (contest.challenger, contest.baseline)
    fetch(source, [result for result in results if result.row in rows], folders[:2], folders[2])


def _show_the_way(table: Table, options: Options) -> None:
    """Say where the pictures are and what to type next."""
    for picture in sorted((options.runs / table.id).glob("*/*/pictures.png")):
        notice(f"pictures: {picture}")
    for line in table.next:
        notice(f"next: {line}")


def _results(table: Table, options: Options, source: str | None = None) -> tuple[list[Result], list[Result]]:
    """Return committed results, and local ones or those of Weights & Biases; unreadable ones are named and left out."""
    folders = (publish.committed(table.id), options.runs / table.id)
    for line in [line for folder in folders[: 1 if source else 2] for line in unreadable(folder)]:
        notice(f"left out: {line}", style="yellow")
    published = [result for _, result in find_results(folders[0])]
    if source:
        from dotally.experiment.wandb_results import load

        return published, load(source, table.id)
    # the newest last, which counts
    local = sorted(find_results(folders[1]), key=lambda found: found[0].stat().st_mtime)
    return published, [result for _, result in local]


def _check(cells: Sequence[CellReport]) -> int:
    failings = [line for cell in cells for line in cell.failings()]
    for line in failings:
        notice(f"check: {line}", style="red")
    if not failings:
        judged = [f for c in cells for f in [*c.figures.values(), *([c.committed] if c.committed else [])] if f.verdict]
        notice(f"check: nothing is off, stale or missing among {len(judged)} verdicts", style="green")
    return int(bool(failings))


def _plan(table: Table, cells: Sequence[Run | Trivial], seeds: Sequence[int], options: Options) -> int:
    published, local = _results(table, options)
    results = [*published, *local]
    outlooks = [probe.outlook(table, cell, seeds, results, options) for cell in cells]
    costs = {}
    for outlook in outlooks:
        cell = outlook.cell
        costs[cell.cell] = probe.measured(cell, results) or _probed(outlook, options)
    show_plan(table, outlooks, costs)
    return 0


def _probed(outlook: probe.Outlook, options: Options) -> probe.Cost | str:
    if outlook.trouble:
        return "?"
    notice(f"{outlook.cell.cell}: timing a few steps")
    try:
        return probe.probe(outlook.cell, options)
    except Exception as error:  # a plan is printed whatever a cell does
        return f"? ({type(error).__name__}: {error})"


def _compare(table: Table, names: Sequence[str], seeds: Sequence[int], options: Options) -> int:
    chosen = [named_row(table, name) or _selected_one(table, name) for name in names]
    published, local = _results(table, options)
    cells = {cell.cell.cell: cell for cell in report(table, [*published, *local], seeds)}
    folders = (publish.committed(table.id), options.runs / table.id)
    if any(isinstance(cell, Localization) for cell in chosen):
        say(compare_methods(cells[chosen[0].cell], cells[chosen[1].cell], folders))
        return 0
    if len({cell.protocol for cell in chosen}) > 1:
        told = ", ".join(f"{cell.cell} is {cell.protocol}" for cell in chosen)
        notice(f"two protocols, so a difference may be that of the rule alone: {told}", style="yellow")
    first, second = (compare.predictions_of(cells[cell.cell], folders) for cell in chosen)
    say(compare.compare_cells(first, second).render(chosen[0].cell, chosen[1].cell))
    return 0


def _launch(
    table: Table, asked: argparse.Namespace, cells: Sequence[Run | Trivial], seeds: Sequence[int], options: Options
) -> int:
    script = Path(sys.argv[0])
    tasks = launch.tasks(cells, seeds, options, script)
    if asked.launch == "print":
        for task in tasks:
            say(task.line)
        return 0
    left = work.without_result(table, cells, seeds, options)
    if len(left) < len(tasks):
        notice(f"{len(tasks) - len(left)} of {len(tasks)} runs have a result and are left out")
    if not left:
        return 0
    tasks = [task for cell, seed in left for task in launch.tasks([cell], [seed], options, script)]
    folder = options.runs / table.id / "submitit"
    ids, failures = cluster.submit(tasks, asked.launch, folder, options, jobs=asked.jobs)
    notice(f"{len(ids)} jobs: {', '.join(ids)}; what they say is in {folder}")
    return conclude(failures, len(tasks))


def _publish(table: Table, cells: Sequence[CellReport], options: Options) -> None:
    results = publish.publish(table.id, cells, options.runs)
    notice(f"published {len(results)} results to {os.path.relpath(publish.committed(table.id))}")
    dirty = [f"{result.cell} seed {result.seed}" for result in results if result.environment.get("dirty")]
    if dirty:
        notice(f"from a tree with uncommitted changes: {', '.join(dirty)}", style="yellow")


def _quiet() -> None:
    """Silence what a user can do nothing about; the run's own log keeps it all."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.handlers.clear()
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
