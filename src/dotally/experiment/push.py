"""``dotally wandb-push``: rebuild the online records of finished runs from their local files."""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dotally.errors import DotallyError
from dotally.experiment import wandb_record, wandb_session
from dotally.experiment.results import Result
from dotally.files import write_json
from dotally.predict.terminal import say

MARKER = "wandb-pushed.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("folders", nargs="+", type=Path, metavar="RUNS", help="folders searched for finished runs (run.json)")
    add("--project", metavar="NAME", help="project to push to (default: WANDB_PROJECT, or dotally)")
    add("--entity", metavar="NAME", help="user or team to push to (default: yours)")


def run(flags: argparse.Namespace) -> int:
    """Push and return the exit code."""
    return push(flags.folders, project=flags.project, entity=flags.entity)


def push(folders: Sequence[Path], *, project: str | None = None, entity: str | None = None) -> int:
    """Push every finished run below some folders. What is there already stays as it is, so this can be repeated.

    Args:
        folders: Searched for ``run.json``: folders of runs, or of committed results.
        project: Name of the project; None takes WANDB_PROJECT, or "dotally".
        entity: User or team; None takes the one that the key belongs to.

    Returns:
        0, or 1 when a run could not be pushed; each such run is named.

    Raises:
        DotallyError: If there is no run, no wandb, no key, or WANDB_MODE forbids it.
    """
    paths = sorted({path for folder in folders for path in folder.rglob("run.json")})
    if not paths:
        raise DotallyError(f"no run.json below {', '.join(map(str, folders))}: only finished runs can be pushed")
    target = _Target(project or wandb_session.project(), entity)
    failed = 0
    for path in paths:
        try:
            say(f"{path.parent}: {target.push(path)}")
        except Exception as error:  # whatever wandb, the network or a file say, the other runs still go
            say(f"{path.parent}: failed: {wandb_session.reason(error)}", stderr=True)
            failed += 1
    return int(failed > 0)


class _Target:
    """Where runs are pushed to, over the network unless WANDB_MODE says otherwise."""

    def __init__(self, project: str, entity: str | None) -> None:
        self.mode = _mode()
        self.project, self.entity = project, entity
        self.api = _api() if self.mode == "online" else None

    def push(self, path: Path) -> str:
        """Push one run and say what was done; a marker beside it spares the next push the question."""
        result = Result.read(path)
        mark = {"key": result.key, "project": self.project, "entity": self.entity, "mode": self.mode}
        if result.confirmed:  # which the record may not know yet
            mark["confirmed"] = result.confirmed[-1].code
        marker = path.parent / MARKER
        if _read(marker) == mark:
            return "was pushed before"
        known = self._known(result)
        complete = known.get("state") == "finished" and _told(result, known["summary"])
        if not complete:
            self._send(result, path.parent, after=int(known.get("summary", {}).get(wandb_session.STEP, -1)))
        write_json(marker, mark)
        return "is there already" if complete else "pushed"

    def _known(self, result: Result) -> dict[str, Any]:
        """Return state and summary of the run's record, nothing where there is none."""
        if self.api is None:
            return {}
        entity = self.entity or self.api.default_entity
        try:
            found = self.api.run(f"{entity}/{self.project}/{wandb_record.run_id(result)}")
            return {"state": found.state, "summary": dict(found.summary_metrics)}
        except Exception as error:
            if "could not find" in str(error).lower():
                return {}
            raise

    def _send(self, result: Result, folder: Path, *, after: int) -> None:
        """Rebuild the record; of a curve that broke off there, only the steps after ``after``."""
        rows = [row for row in wandb_record.read_curve(folder / "metrics.csv") if row["step"] > after]
        with self._work_folder(folder) as work:
            logger = wandb_session.start(result, work, self.mode, into=self.project, entity=self.entity)
            try:
                for row in rows:
                    wandb_session.send_row(logger, row)
                wandb_session.answer(logger, result, folder)
            except BaseException:
                logger.experiment.finish(exit_code=1)
                raise
            logger.experiment.finish()

    @contextmanager
    def _work_folder(self, folder: Path) -> Iterator[Path]:
        """Keep an offline record beside its run, and an online one only until it is sent."""
        if self.mode == "offline":
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="dotally-", ignore_cleanup_errors=True) as name:
            yield Path(name)


def _mode() -> wandb_session.Mode:
    said = os.environ.get("WANDB_MODE", "")
    if said in ("disabled", "off"):
        raise DotallyError(f"WANDB_MODE={said} forbids pushing: unset it")
    return "offline" if said in ("offline", "dryrun") else "online"


def _api() -> Any:
    try:
        import wandb

        wandb.setup(wandb.Settings(silent=True))
        return wandb.Api()
    except ImportError as error:
        raise DotallyError("wandb is not installed: pip install wandb") from error
    except wandb.errors.UsageError as error:
        why = wandb_session.reason(error)
        remedy = "or" if "wandb login" in why else "`wandb login`, or"
        raise DotallyError(f"Weights & Biases: {why}, {remedy} set WANDB_API_KEY") from error


def _told(result: Result, summary: Mapping[str, Any]) -> bool:
    """Tell whether a record's summary is complete, and of the code that the result stands for now."""
    ours = wandb_record.summary(result)
    return "facts" in summary and all(summary.get(name) == ours.get(name) for name in ("code", "confirmed"))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
