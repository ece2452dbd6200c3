"""The record of a run: a JSON file that grows case by case, so that a killed run loses only the case it was in."""

import argparse
import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import torch

from benchmarks.ceilings import machine
from benchmarks.plot import plot, roofline
from benchmarks.registry import Skipped
from dotally.errors import DataError
from dotally.experiment.environment import environment, patch
from dotally.experiment.promises import measured_figures
from dotally.experiment.publish import ROOT, fill_blocks
from dotally.experiment.speed import BLOCKS, page
from dotally.files import write_json, write_text

RUNS = Path("runs") / "benchmarks"
SHOWN_IN = ("docs/speed.md", "README.md")
REASON = 300  # characters of it


class Record:
    """What a run has measured so far.

    Args:
        value: As it is written.
        path: Where it is written, None for nowhere.
    """

    def __init__(self, value: dict[str, Any], path: Path | None) -> None:
        self.value, self.path = value, path

    @classmethod
    def open(cls, flags: argparse.Namespace) -> Self:
        """Start a record, or go on with one of the same commit and options."""
        how = {key: getattr(flags, key) for key in ("only", "quick", "pair", "cold", "graph", "seconds")}
        part = any(value for key, value in how.items() if key != "seconds")
        path = flags.out or (None if part else RUNS / f"{name_of_machine()}.json")
        if changes := patch():  # a commit does not tell two changed trees apart
            how["changes"] = hashlib.sha256(changes.encode()).hexdigest()
        fresh: dict[str, Any] = {"environment": environment(), "machine": machine(), "how": how, "suites": {}}
        value: dict[str, Any] = {**fresh, "finished": None, "results": [], "skipped": [], "failed": []}
        if flags.resume and path and path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            if all(before.get(key) == fresh[key] for key in ("how", "environment")):
                value = {**before, "finished": None, "skipped": [], "failed": []}
            else:
                print(f"{path} was measured otherwise or from other code: everything again", file=sys.stderr)
        return cls(value, path)

    def has(self, case: str) -> bool:
        """Whether a case was measured before this run was resumed."""
        return any(result["case"] == case for result in self.value["results"])

    def add(self, result: dict[str, Any]) -> None:
        """Take down a case that was measured."""
        self.value["results"].append(result)
        self.save()

    def skip(self, case: Skipped) -> None:
        """Take down a case that cannot be measured here."""
        self.value["skipped"].append(case._asdict() | {"case": case.name})
        self.save()

    def fail(self, case: str, reason: str) -> None:
        """Take down, and say in one line, that a case failed."""
        line = " ".join(reason.split())[:REASON]
        print(f"{case}: {line}", file=sys.stderr)
        self.value["failed"].append({"case": case, "reason": line})
        self.save()

    def save(self) -> None:
        """Write the record, whole or not at all."""
        if self.path:
            write_json(self.path, self.value)

    def finish(self) -> None:
        """Date the record and write it once more, with Markdown and plots beside it."""
        self.value["finished"] = datetime.now(UTC).date().isoformat()
        self.save()
        if self.path:
            shown = page(measured_figures(self.value, ROOT), [{"name": self.path.stem, **self.value}], folder=".")
            write_text(self.path.with_suffix(".md"), shown)
            _draw(self.value, self.path)
            print(f"wrote {self.path}, and Markdown and plots beside it")


def name_of_machine(device: str | None = None) -> str:
    """Return "cpu", or the name of the GPU as a slug; of the machine at hand if no device is named."""
    if device is None:
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return "-".join(device.lower().split()).replace("/", "-")


def publish_file(path: Path, root: Path) -> list[str]:
    """Publish what another machine has measured, finished or not; return the files.

    Raises:
        DataError: It is no record of a whole run.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        part = sorted(key for key, chosen in value["how"].items() if chosen and key not in ("seconds", "changes"))
        whole = {"environment", "machine", "results"} <= value.keys() and not part
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no run of the benchmarks: {error}") from None
    if not whole:
        raise DataError(f"{path}: only a whole run is published; this one was narrowed by {', '.join(part) or 'hand'}")
    return publish(Record(value, path), root)


def publish(record: Record, root: Path) -> list[str]:
    """Write a finished record among the committed ones, and the blocks that are made from them; return the files."""
    place = root / "benchmarks" / "results" / f"{name_of_machine(record.value['environment']['device'])}.json"
    write_json(place, record.value)
    _draw(record.value, place)
    rendered = {name: render(root) for name, render in BLOCKS.items()}
    # all are made before the first is written
    texts = {name: fill_blocks((root / name).read_text(encoding="utf-8"), rendered.get, name) for name in SHOWN_IN}
    for name, text in texts.items():
        write_text(root / name, text)
    return [str(place.relative_to(root)), *SHOWN_IN]


def _draw(value: dict[str, Any], path: Path) -> None:
    try:
        plot(value["results"], path.with_suffix(".png"))
        roofline(value["results"], value.get("ceilings", {}), path.with_name(f"{path.stem}-roofline.png"))
    except Exception as error:  # the numbers are written already
        print(f"no plots: {error}", file=sys.stderr)
