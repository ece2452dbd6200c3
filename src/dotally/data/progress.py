"""One progress bar for everything that walks through files."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def progress(items: Iterable[T], text: str, *, total: int | None = None) -> Iterable[T]:
    """Iterate over ``items`` with a bar on the error output, which is silent where that is no terminal."""
    console = Console(stderr=True)
    return track(items, text, total=total, console=console, transient=True, disable=not console.is_terminal)
