"""Numbers as arguments of commands: what is none, or out of range, is answered by one line that says what fits."""

import argparse
from collections.abc import Callable


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return an argument type: whole numbers from ``least`` to ``most``, both included; None is no limit."""
    fits = f"at least {least}" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"must be a whole number, got {text}") from error
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"must be {fits}, got {text}")
        return value

    return parse


def positive(text: str) -> float:
    """Parse a number above 0, an argument type."""
    if not 0 < (value := number(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return value


def share(text: str) -> float:
    """Parse a number from 0 to less than 1, an argument type."""
    if not 0 <= (value := number(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be a share, at least 0 and less than 1, got {text}")
    return value


def fraction(text: str) -> float:
    """Parse a number between 0 and 1, neither included, an argument type."""
    if not 0 < (value := number(text)) < 1:
        raise argparse.ArgumentTypeError(f"must lie within 0 and 1, got {text}")
    return value


def number(text: str) -> float:
    """Parse a number, an argument type."""
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a number, got {text}") from error
