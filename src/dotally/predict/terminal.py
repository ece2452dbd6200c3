"""What a job says while it runs: progress on the error output, nothing but results on the other."""

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

T = TypeVar("T")


def progress(items: Sequence[T], what: str) -> Iterator[T]:
    """Iterate with a bar, pictures per second and the time left; silently where the error output is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield from bar.track(items, description=what)


def say(text: str, *, stderr: bool = False) -> None:
    """Print one line."""
    stream = sys.stderr if stderr else sys.stdout
    # backslashes instead of a crash where the terminal lacks a character of a file's name
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} pictures/s" if task.speed else "")
