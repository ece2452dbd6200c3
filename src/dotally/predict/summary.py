"""What a job found, for machines and for people."""

from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import torch

from dotally.metrics.count_errors import counting_error
from dotally.predict.counter import Counter
from dotally.version import __version__

_PACKAGES = ("torch", "pytorch-lightning", "numpy", "pillow")
_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Row:
    """One counted picture.

    Attributes:
        file: Its name in the job.
        size: (height, width) in pixels.
        count: Predicted heads.
        flags: See :class:`dotally.predict.counter.Counted`.
        seconds: Reading and counting.
        truth: Annotated heads inside the picture; None where nothing is known.
        outside: Annotated heads outside, which do not count.
    """

    file: str
    size: tuple[int, int]
    count: float
    flags: tuple[str, ...]
    seconds: float
    truth: int | None = None
    outside: int = 0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One picture that could not be counted or drawn, and why."""

    file: str
    message: str


def summarise(rows: Sequence[Row], failures: Sequence[Failure], counter: Counter) -> dict[str, Any]:
    """Return totals, quantiles, errors, failures, and what counted, as plain values."""
    counts = [row.count for row in rows]
    hparams, densest = counter.network.hparams, float(counter.network.densest)
    return {
        "pictures": len(rows),
        "failed": len(failures),
        "heads": sum(counts),
        "counts": _quantiles(counts) if rows else {},
        "flags": dict(Tally(flag for row in rows for flag in row.flags)),
        "truth": _errors(rows),
        "failures": [{"file": failure.file, "message": failure.message} for failure in failures],
        "weights": {
            "file": str(counter.path),
            "sha256": counter.sha256,
            "model": counter.model,
            "model_kwargs": hparams["model_kwargs"],
            "preprocessing": hparams["preprocessing"],
            "longest_side": counter.longest_side,
            "resized_unlike_training": counter.unlike,
            "heads_per_megapixel_in_blackness": counter.blank_level * 1e6 if rows else None,
            "heads_per_megapixel_in_training": densest if 0 < densest < float("inf") else None,
            "facts": counter.facts,
        },
        "device": str(counter.device),
        "versions": {"dotally": __version__, **{name: metadata.version(name) for name in _PACKAGES}},
    }


def describe(rows: Sequence[Row], failures: Sequence[Failure], summary: dict[str, Any]) -> Iterator[str]:
    """Yield the summary in a few lines for people."""
    if rows:
        yield f"{pictures(len(rows))}: {summary['heads']:,.1f} heads" + _spread(summary["counts"], len(rows))
    flagged = [f"{row.file} ({', '.join(row.flags)})" for row in rows if row.flags]
    if flagged:
        yield f"flagged {few(flagged)}"
    if failures:
        yield f"failed {few([f'{failure.file} ({failure.message})' for failure in failures])}"
    if truth := summary["truth"]:
        outside = f"; annotated outside: {truth['outside']}" if truth["outside"] else ""
        yield (
            f"truth of {pictures(truth['pictures'])}: MAE {truth['mae']:.2f}, RMSE {truth['rmse']:.2f}, "
            f"bias {truth['bias']:+.2f}{outside}"
        )


def _quantiles(counts: Sequence[float]) -> dict[str, float]:
    names = ("min", "quarter", "median", "three_quarters", "max")
    quantiles = np.quantile(counts, (0, 0.25, 0.5, 0.75, 1)).tolist()
    return {"mean": float(np.mean(counts)), **dict(zip(names, quantiles, strict=True))}


def _errors(rows: Sequence[Row]) -> dict[str, float] | None:
    known = [(row.count, row.truth) for row in rows if row.truth is not None]
    if not known:
        return None
    predicted, true = torch.tensor(known, dtype=torch.float64).unbind(dim=1)
    errors = {name: float(value) for name, value in counting_error(predicted, true).items()}
    return {"pictures": len(known), "outside": sum(row.outside for row in rows), **errors}


def _spread(counts: dict[str, float], pictures: int) -> str:
    if pictures == 1:
        return ""
    return f", {counts['min']:,.1f} to {counts['max']:,.1f} a picture, median {counts['median']:,.1f}"


def pictures(number: int) -> str:
    """Return "1 picture" or "N pictures"."""
    return f"{number} picture" if number == 1 else f"{number} pictures"


def few(texts: Sequence[str], *, counted: bool = True) -> str:
    """Return how many texts there are, and the first of them."""
    more = f", and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return f"{f'{len(texts)}: ' if counted else ''}{', '.join(texts[:_SHOWN])}{more}"
