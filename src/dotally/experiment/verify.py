"""``dotally verify``: does what is published follow from what is committed? Needs no data, no GPU and no network."""

import argparse
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dotally.errors import DataError, DotallyError
from dotally.experiment import changes, speed
from dotally.experiment.distance import BLOCK, distance
from dotally.experiment.evidence import contradictions
from dotally.experiment.identity import resolved_spec, run_key
from dotally.experiment.publish import ROOT, committed, fill_blocks, shown_tables
from dotally.experiment.render import markdown
from dotally.experiment.report import CellReport, is_stale, report
from dotally.experiment.results import Result, find_results, unreadable
from dotally.experiment.spec import Table
from dotally.experiment.statement import with_statements
from dotally.experiment.terminal import say
from dotally.files import write_text

# blocks of Markdown files that follow from other committed measurements than those of a table
PAGES = {changes.BLOCK: changes.changes, **speed.BLOCKS}


@dataclass(kw_only=True)
class Findings:
    """What was found.

    Attributes:
        differences: What does not follow; each makes the exit code 1.
        warnings: What should be known.
        confirmed: Results of other code than today's, for which a replay has confirmed them.
        results: How many results were recomputed.
        blocks: How many blocks in Markdown files were compared.
        written: Files whose blocks were brought up to date.
    """

    differences: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    results: int = 0
    blocks: int = 0
    written: list[str] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--write", action="store_true", help="bring the tables in README.md and docs/ up to date")
    parser.add_argument("--root", type=Path, default=None, metavar="DIR", help="the checkout (default: this one)")


def run(arguments: argparse.Namespace) -> int:
    """Verify, print every difference and warning, and return 0, or 1 for differences.

    Raises:
        DotallyError: If there is no checkout to verify.
    """
    root = arguments.root or ROOT
    if not (root / "experiments").is_dir():
        raise DotallyError(f"no experiments/ below {root}: name the checkout with --root")
    found = verify(root, write=arguments.write)
    for line in found.warnings:
        say(f"warning: {line}")
    for line in found.confirmed:
        say(f"confirmed: {line}")
    for line in found.differences:
        say(f"differs: {line}")
    for name in found.written:
        say(f"wrote {name}")
    say(
        f"results recomputed: {found.results}, blocks compared: {found.blocks}, "
        f"differences: {len(found.differences)}, warnings: {len(found.warnings)}"
    )
    return int(bool(found.differences))


def verify(root: Path, *, write: bool = False) -> Findings:
    """Recompute every published figure of a checkout from its committed results, and every table from these.

    Args:
        root: The checkout: ``experiments/*.py``, ``experiments/results``, ``README.md`` and ``docs/*.md``.
        write: Whether to bring the blocks of tables up to date whose results are in order.
    """
    found = Findings()
    tables = load_tables(root / "experiments", found)
    sound = {name: _verify_table(table, root, found) for name, table in tables.items()}
    _unclaimed(root, tables, found)
    shown = [
        name
        for path in sorted([root / "README.md", *(root / "docs").glob("*.md"), root / "experiments" / "README.md"])
        if path.is_file()
        for name in _verify_blocks(path, root, tables, sound, found, write=write)
    ]
    found.warnings += [
        f"{name}: has committed results, but no file has its block <!-- table:{name} -->"
        for name in sorted(set(tables) - set(shown))
        if any(find_results(committed(name, root)))
    ]
    return found


def load_tables(folder: Path, found: Findings) -> dict[str, Table]:
    """Import every script of a folder and return its tables by ID; importing runs nothing."""
    tables: dict[str, Table] = {}
    for path in sorted(folder.glob("*.py")):
        try:
            table = _load(path)
        except Exception as error:  # whatever a script does, the others are to be verified
            found.differences.append(f"{path.name}: cannot be imported: {type(error).__name__}: {error}")
            continue
        if table.id != path.stem:
            found.differences.append(f"{path.name}: its table is called {table.id}, which has to be {path.stem}")
        tables[table.id] = table
    return tables


def _load(path: Path) -> Table:
    spec = importlib.util.spec_from_file_location(f"experiments_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table = getattr(module, "TABLE", None)
    if not isinstance(table, Table):
        raise TypeError("it has no TABLE")
    table.check()
    return table


def _verify_table(table: Table, root: Path, found: Findings) -> bool:
    """Verify the committed results of a table; return whether all of them are in order."""
    folder, before = committed(table.id, root), len(found.differences)
    found.differences += [_relative(line, root) for line in unreadable(folder)]
    cells = {cell.cell: cell for cell in table.runnable()}
    for path, result in find_results(folder):
        found.results += 1
        name = str(path.parent.relative_to(root))
        found.differences += [f"{name}: {line}" for line in _verify_result(path, result, table.id)]
        cell = cells.get(result.cell)
        if cell is None:
            found.differences.append(f"{name}: no cell of the table is called {result.cell}: delete it")
        elif resolved_spec(cell) != result.spec:
            found.differences.append(f"{name}: its specification is not the script's any more: run again, or delete it")
        elif is_stale(cell, [result]):
            found.warnings.append(f"{name}: stale: the code that decides it has changed since it was run")
        elif is_stale(cell, [replace(result, confirmed=())]):
            last = result.confirmed[-1]
            found.confirmed.append(f"{name}: by replay on {last.date}, not trained again: {last.how}")
    found.differences += _mixed_data(folder, root)
    return len(found.differences) == before


def _verify_result(path: Path, result: Result, table: str) -> list[str]:
    lines = []
    place = (result.table, result.cell, f"seed{result.seed}")
    if place != (table, path.parent.parent.name, path.parent.name):
        lines.append(f"it says it is {'/'.join(place)}")
    if run_key(result.spec, result.data, result.seed) != result.key:
        lines.append("its key is not the hash of its specification, data and seed")
    if result.spec.get("max_epochs") and not path.with_name("metrics.csv").is_file():
        lines.append("metrics.csv is missing")
    try:
        lines += contradictions(path.with_name("predictions.csv"), result)
    except DataError as error:
        lines.append(str(error).replace(str(path.parent), ".").removeprefix("./"))
    return lines


def _mixed_data(folder: Path, root: Path) -> list[str]:
    data: dict[str, set[str]] = {}
    for _, result in find_results(folder):
        data.setdefault(result.cell, set()).add(result.data)
    name = folder.relative_to(root)
    return [f"{name}/{cell}: its seeds were run on different data" for cell, prints in data.items() if len(prints) > 1]


def _unclaimed(root: Path, tables: dict[str, Table], found: Findings) -> None:
    for folder in sorted((root / "experiments" / "results").glob("*/")):
        if folder.is_dir() and folder.name not in tables:
            name = folder.relative_to(root)
            found.differences.append(f"{name}: no script of experiments/ has a table of this name: delete it")


def _verify_blocks(
    path: Path, root: Path, tables: dict[str, Table], sound: dict[str, bool], found: Findings, *, write: bool
) -> Sequence[str]:
    """Compare a file's blocks with what their tables render to; return the tables it shows."""
    name, text = str(path.relative_to(root)), path.read_text(encoding="utf-8")
    shown = shown_tables(text)
    found.blocks += len(shown)
    known = {*tables, BLOCK, *PAGES}
    found.differences += [f"{name}: no script has the table {table} it shows" for table in shown if table not in known]
    try:
        wanted = {table: published(tables[table], root) for table in set(shown) & set(tables)}
        if BLOCK in shown:
            wanted[BLOCK] = distance({name: (table, _reported(table, root)) for name, table in tables.items()})
        wanted |= {page: PAGES[page](root) for page in set(shown) & set(PAGES)}
        wrong = [table for table, block in wanted.items() if fill_blocks(text, {table: block}.get, name) != text]
        # results that are not in order are in no report, so they cannot be in a summary of all tables either
        writable = {table: wanted[table] for table in wrong if write and sound.get(table, True)}
        if writable:
            write_text(path, fill_blocks(text, writable.get, name))
            found.written.append(name)
    except DataError as error:
        found.differences.append(str(error))
        return shown
    advice = "its results are not in order" if write else "`dotally verify --write` renders it"
    found.differences += [
        f"{name}: the table {table} is not what its results render to: {advice}"
        for table in wrong
        if table not in writable
    ]
    return shown


def published(table: Table, root: Path) -> str:
    """Render a table from its committed results alone; what is stale is warned of, and stands as it was found."""
    return markdown(table, with_statements(table, _reported(table, root), [committed(table.id, root)]))


def _reported(table: Table, root: Path) -> list[CellReport]:
    results = [result for _, result in find_results(committed(table.id, root))]
    return report(table, results, table.seeds, age="ignored")


def _relative(line: str, root: Path) -> str:
    return line.replace(f"{root}/", "")
