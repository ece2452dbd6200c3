"""How long a run has taken, over all the processes that were at it."""

import contextlib
import json
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from dotally.files import write_json


class Stopwatch:
    """Seconds since the first process began, less those in which none was at work.

    What a killed process had not yet noted is lost.

    Args:
        path: File that keeps the seconds; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        earlier: dict[str, float] = {}
        with contextlib.suppress(OSError, ValueError):
            earlier = json.loads(path.read_text(encoding="utf-8"))
        self._begun = time.perf_counter() - earlier.get("seconds", 0.0)
        self._cpu_begun = time.process_time() - earlier.get("cpu_seconds", 0.0)

    def read(self) -> dict[str, float]:
        """Return ``seconds`` by the clock on the wall, and ``cpu_seconds`` of the processes' own threads."""
        return {
            "seconds": round(time.perf_counter() - self._begun, 1),
            "cpu_seconds": round(time.process_time() - self._cpu_begun, 1),
        }

    def note(self) -> None:
        """Keep the seconds for a process that goes on; no reason to lose a run."""
        with contextlib.suppress(OSError):
            write_json(self.path, self.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.note()
