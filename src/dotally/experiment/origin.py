"""What a run is made with: its code, its environment and what was not committed."""

import json
import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

from dotally.experiment import identity
from dotally.experiment.environment import environment, patch
from dotally.experiment.job import Job
from dotally.experiment.source import code_hash
from dotally.files import write_json, write_text
from dotally.predict.terminal import say

# in the environment of a run that was resumed with other code than it was begun with
MIXED = "resumed_with_other_code"
LOG = logging.getLogger("dotally")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a result tells of how it came about.

    Attributes:
        code: Hash of the code that decides it; of a run that was resumed with other code, a hash that no code has.
        environment: Versions, device and commit.
    """

    code: str
    environment: dict[str, Any]


def begin(job: Job) -> Origin:
    """Write ``spec.json``, ``environment.json`` and ``patch.diff``, and return what the result will tell of them."""
    folder, code = job.folder.path, _code(job)
    found, changes = _program()
    if code != code_hash(identity.deciding_modules(job.cell)):
        found = {**found, MIXED: True}
    write_json(folder / "spec.json", job.spec)
    write_json(folder / "environment.json", {**found, "code": code})
    if changes:
        write_text(folder / "patch.diff", changes + "\n")
    else:
        (folder / "patch.diff").unlink(missing_ok=True)
    return Origin(code=code, environment=found)


@cache
def _program() -> tuple[dict[str, Any], str]:
    """Return environment and patch of this process: what was committed since it began is not what it runs."""
    return environment(), patch()


def _code(job: Job) -> str:
    now = code_hash(identity.deciding_modules(job.cell))
    begun = _begun_with(job) or now
    if begun == now:
        return now
    text = (
        f"{job.name}: the code that decides it has changed since it was begun, so its result will be called stale: "
        f"delete {job.folder.path} to begin again"
    )
    LOG.warning(text)
    say(text, stderr=True)
    return identity.digest([begun, now])


def _begun_with(job: Job) -> str | None:
    """Return the code that a resumed run was begun with; None for one that begins."""
    if not job.folder.last.exists():
        return None
    try:
        known = json.loads((job.folder.path / "environment.json").read_text(encoding="utf-8"))
        return str(known["code"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
