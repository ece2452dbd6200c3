"""``dotally weights``: list the weights that go by a name, and make a small file of a finished run's."""

import argparse
import json
from pathlib import Path
from typing import Any

from dotally.errors import WeightsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; imports nothing that takes time."""
    add = parser.add_argument
    add("run", nargs="?", metavar="TABLE/ROW", help="a finished run such as TABLE/ROW.COLUMN/seed0; without, list all")
    add("--out", type=Path, metavar="FILE", help="file to write, such as weights/mine.pt")
    add("--licence", metavar="TEXT", help="terms of the weights, which the file carries with it")
    add("--note", metavar="TEXT", help="what else its users should know, such as where not to trust it")


def run(arguments: argparse.Namespace) -> int:
    """List the names, or write the file.

    Raises:
        WeightsError: No such run, or it was not said where to write to.
    """
    from dotally.predict.terminal import say
    from dotally.predict.weights_file import find_weights, named_weights, save_weights

    if arguments.run is None:
        return _list(named_weights())
    if arguments.out is None:
        raise WeightsError(f"{arguments.run}: say where its weights should go (--out FILE)")
    checkpoint = find_weights(arguments.run)
    facts = _facts(checkpoint) | {"licence": arguments.licence, "note": arguments.note}
    save_weights(checkpoint, arguments.out, {name: fact for name, fact in facts.items() if fact})
    say(f"wrote {arguments.out} ({arguments.out.stat().st_size / 1e6:.1f} MB) from {checkpoint}")
    return 0


def _list(names: dict[str, Path]) -> int:
    from dotally.predict.terminal import say

    for name, path in names.items():
        say(f"{name}    {path}")
    if not names:
        say("no weights by name here: finished runs below ./runs have one")
    return 0


def _facts(checkpoint: Path) -> dict[str, Any]:
    """Say of a finished run what whoever counts with its weights should know; nothing of a file that is no run's."""
    record = checkpoint.absolute().parents[1] / "run.json"
    if not record.is_file():
        return {}
    done = json.loads(record.read_text(encoding="utf-8"))
    data, metrics, facts = done["spec"]["data"], done["metrics"], done["facts"]
    part = data["arguments"].get("part")
    return {
        "trained on": data["class"].rpartition(".")[2] + (f" {part}" if part else ""),
        "error there": f"test MAE {metrics['mae']:.1f}, RMSE {metrics['rmse']:.1f} on {facts['pictures']} pictures",
        "run": f"{done['table']}/{done['row']}.{done['column']}/seed{done['seed']}, key {done['key'][:8]}",
    }
