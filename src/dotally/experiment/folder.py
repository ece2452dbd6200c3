"""The folder of one run: its files, its state, and who is working in it."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from dotally.files import write_json

State = Literal["planned", "running", "done", "failed", "interrupted"]
BEAT = 10.0  # seconds between heartbeats
DEAD_AFTER = 120.0  # seconds without one after which a run on another host counts as dead


@dataclass(frozen=True)
class RunFolder:
    """``runs/<table>/<row>.<column>/seed<k>-<key8>``: done means that ``run.json`` was renamed into place.

    Attributes:
        path: The folder, which need not exist.
    """

    path: Path

    @property
    def result(self) -> Path:
        """``run.json``: the whole result, written last."""
        return self.path / "run.json"

    @property
    def predictions(self) -> Path:
        """``predictions.csv``: one line per test picture."""
        return self.path / "predictions.csv"

    @property
    def metrics(self) -> Path:
        """``metrics.csv``: one line per epoch."""
        return self.path / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """Folder of ``best.ckpt`` and ``last.ckpt``."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint that is tested."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """The checkpoint that a training goes on from."""
        return self.checkpoints / "last.ckpt"

    def state(self) -> State:
        """Return what has become of the run; a run whose process is gone is interrupted."""
        if self.result.exists():
            return "done"
        if self._alive():
            return "running"
        state = _read(self.path / "state.json").get("state", "planned")
        return "interrupted" if state == "running" else state

    def note(self, state: State, reason: str = "") -> None:
        """Record a state that outlives the process."""
        write_json(self.path / "state.json", {"state": state, "reason": reason})

    def reason(self) -> str:
        """Return why the run failed, in its own last words."""
        return str(_read(self.path / "state.json").get("reason", ""))

    def sweep(self) -> None:
        """Remove what a killed process was writing when it was killed; for whoever has claimed the run."""
        for folder in (self.path, self.checkpoints):
            for path in folder.glob(".*-*.*"):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def claim(self) -> Iterator[bool]:
        """Yield True if this process now owns the run, False if a living one does; frees the run at the end.

        The kernel frees the lock of a killed process, so there is nothing to clean up after one.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as file:
            if self._alive_elsewhere() or not _try_lock(file):
                yield False
                return
            file.truncate(0)
            json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
            file.flush()
            try:
                yield True
            finally:  # so that no other host waits for our heartbeat to go stale
                file.truncate(0)

    def owner(self) -> str:
        """Name the process that is at the run, for people."""
        lock = _read(self._lock)
        return f"process {lock.get('pid', '?')} on {lock.get('host', 'this host')}"

    def beat(self) -> None:
        """Show that the run is alive."""
        with contextlib.suppress(OSError):
            os.utime(self._lock)

    @property
    def _lock(self) -> Path:
        return self.path / "running.lock"

    def _alive(self) -> bool:
        if not self._lock.exists():
            return False
        with self._lock.open("a+") as file:
            return self._alive_elsewhere() or not _try_lock(file)

    def _alive_elsewhere(self) -> bool:
        """Tell whether another host works here, where file locks may not reach: its heartbeat is fresh."""
        host = _read(self._lock).get("host")
        if host is None or host == socket.gethostname():
            return False
        return time.time() - self._lock.stat().st_mtime < DEAD_AFTER


def _try_lock(file: IO[str]) -> bool:
    """Lock an open file until it is closed; False if another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read(path: Path) -> dict[str, Any]:
    """Read a small JSON file; a missing or half-written one is empty."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
