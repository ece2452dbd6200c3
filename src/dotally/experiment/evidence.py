"""Do the figures of a result follow from its ``predictions.csv``? From one that was cut or swapped they do not."""

import math
from pathlib import Path

from dotally.experiment.localization_answers import recomputed
from dotally.experiment.results import LATER, Result

# relative, since both sides are float64 sums of the same numbers; absolute for a bias that all but cancels out
EXACT = 1e-9


def contradictions(path: Path, result: Result) -> list[str]:
    """Return what of a result does not follow from a ``predictions.csv``, one line each.

    GAME and what maps are worth follow from no predictions, and are not looked at.

    Raises:
        DataError: If the file is missing or damaged.
    """
    pictures, figures = recomputed(path, result)
    if not pictures:
        return [f"{path.name} is empty"]
    lines = [
        f"{name} is {value!r} by {path.name}, {result.metrics.get(name)!r} in run.json"
        for name, value in figures.items()
        if name not in LATER - set(result.metrics)
        and not math.isclose(value, result.metrics.get(name, math.nan), rel_tol=EXACT, abs_tol=EXACT)
    ]
    if result.facts.get("pictures", pictures) != pictures:
        lines.append(f"{path.name} has {pictures} pictures, not {result.facts['pictures']}")
    return lines
