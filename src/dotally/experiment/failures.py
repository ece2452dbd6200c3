"""What came to nothing: told with the last words of its log, and turned into an exit code."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dotally.errors import DotallyError
from dotally.experiment.folder import RunFolder
from dotally.experiment.terminal import notice

LINES = 3  # of a failed run's log that are shown


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A cell and seed that came to nothing.

    Attributes:
        name: ``row.column seed k``.
        error: What went wrong, in a line.
        log: The last lines of its log.
        exit_code: 2 where the input is at fault.
    """

    name: str
    error: str
    log: tuple[str, ...] = ()
    exit_code: int = 1

    @classmethod
    def of(cls, name: str, error: Exception, folder: RunFolder | None) -> "Failure":
        """Make one of an exception and, if the run got that far, its folder."""
        log = tail(folder.path / "log.txt") if folder and folder.state() == "failed" else ()
        if isinstance(error, DotallyError):
            return cls(name=name, error=str(error), log=log, exit_code=error.exit_code)
        return cls(name=name, error=f"{type(error).__name__}: {error}", log=log)


def tail(path: Path) -> tuple[str, ...]:
    """Return the last lines of a log that say anything; none of a missing one."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return tuple([line for line in lines if line.strip()][-LINES:])


def nothing_ran(failures: Sequence[Failure], attempted: int) -> bool:
    """Tell whether everything failed for want of input: there is nothing to show then."""
    return bool(failures) and len(failures) == attempted and all(failure.exit_code == 2 for failure in failures)


def conclude(failures: Sequence[Failure], attempted: int) -> int:
    """Print what failed and return the exit code; where nothing ran, each reason is given once."""
    if nothing_ran(failures, attempted):
        for error in dict.fromkeys(failure.error for failure in failures):
            notice(f"error: {error}", style="red")
        return 2
    for failure in failures:
        notice(f"failed: {failure.name}: {failure.error}", style="red")
        for line in failure.log:
            notice(f"    {line}", style="dim")
    return int(bool(failures))
