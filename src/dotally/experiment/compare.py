"""Two cells, picture by picture: whose errors are smaller, and could it be chance?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dotally.callbacks import Prediction
from dotally.errors import DataError, DotallyError
from dotally.experiment.evidence import contradictions
from dotally.experiment.report import CellReport
from dotally.experiment.results import Result, find_results, read_predictions
from dotally.metrics.slope_corrected import slope_corrected

Floats = NDArray[np.float64]
REPLICATES = 10_000
BLOCK = 1_000  # replicates held in memory at once


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A difference of errors.

    Attributes:
        difference: In heads; below 0 the first is better.
        interval: 95 % percentile interval of the difference over resampled pictures and seeds.
    """

    difference: float
    interval: tuple[float, float]

    @property
    def sign(self) -> Literal[-1, 0, 1]:
        """-1 or 1 where the interval lies on one side of 0, 0 where it holds it."""
        low, high = self.interval
        return -1 if high < 0 else 1 if low > 0 else 0


@dataclass(frozen=True, kw_only=True)
class Comparison(Contrast):
    """The mean absolute error of one cell minus that of another.

    Attributes:
        mae: Of either.
        probability: Share of replicates in which the first is better, ties counted half.
        wins: Share of pictures and pairs of seeds in which the first is nearer to the truth, ties counted half.
        pictures: How many.
        seeds: Of either.
    """

    mae: tuple[float, float]
    probability: float
    wins: float
    pictures: int
    seeds: tuple[int, int]

    def render(self, a: str, b: str) -> str:
        """Return the comparison in three or four lines."""
        low, high = self.interval
        lines = [
            f"{a} against {b}: {self.pictures} pictures, {self.seeds[0]} and {self.seeds[1]} seeds",
            f"MAE {self.mae[0]:.2f} against {self.mae[1]:.2f}: "
            f"difference {self.difference:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}",
            f"{a} is better with probability {self.probability:.3f}, and nearer on {self.wins:.0%} of the pictures",
        ]
        if min(self.seeds) == 1:
            lines.append("one seed of a cell: the interval knows nothing of its spread over seeds")
        return "\n".join(lines)


def predictions_of(cell: CellReport, folders: Sequence[Path]) -> list[Path]:
    """Return the ``predictions.csv`` of a reported cell's seeds.

    Args:
        cell: What is compared.
        folders: Of the table's results; the later one counts where both hold a run.

    Raises:
        DotallyError: If the cell has no result.
        DataError: If one came from elsewhere, without its predictions, or its figures do not follow from them.
    """
    if not cell.results:
        raise DotallyError(f"{cell.cell.cell} has no result to compare: run --only {cell.cell.cell} first")
    found = {result.key: (path, result) for folder in folders for path, result in find_results(folder)}
    if any(result.key not in found for result in cell.results):
        raise DataError(f"{cell.cell.cell}: its predictions are not on this machine")
    return [_whole(*found[result.key]) for result in cell.results]


def _whole(path: Path, result: Result) -> Path:
    """Return the predictions of a ``run.json``, once its figures were seen to follow from them."""
    predictions = path.with_name("predictions.csv")
    if odd := contradictions(predictions, result):
        raise DataError(f"{predictions}: not what was run: {odd[-1]}; restore it, or delete its folder and run again")
    return predictions


def read_errors(paths: Sequence[Path], *, corrected: bool = False) -> tuple[list[str], Floats]:
    """Read the ``predictions.csv`` of a cell's seeds.

    Args:
        paths: One for each seed.
        corrected: Whether each seed's predictions are divided by their slope (``slope_corrected``).

    Returns:
        The pictures, each as ``name (true heads)``, sorted, and the absolute errors ``[S, N]`` in that order.

    Raises:
        DataError: If a file is damaged, the seeds were tested on different pictures, or there is no slope to divide by.
    """
    tables = []
    for path in paths:
        predictions = read_predictions(path)
        counts = _corrected(predictions, path) if corrected else [p.predicted for p in predictions]
        rows = zip(predictions, counts, strict=True)
        tables.append({f"{p.name} ({p.true})": abs(count - p.true) for p, count in rows})
    pictures = sorted(tables[0])
    for path, table in zip(paths, tables, strict=True):
        if sorted(table) != pictures:
            raise DataError(f"{path}: not the pictures of {paths[0]}")
    return pictures, np.array([[table[picture] for picture in pictures] for table in tables], dtype=np.float64)


def _corrected(predictions: Sequence[Prediction], path: Path) -> list[float]:
    predicted = torch.tensor([p.predicted for p in predictions], dtype=torch.float64)
    counts = slope_corrected(predicted, torch.tensor([p.true for p in predictions]))
    if counts is None:
        raise DataError(f"{path}: predictions hardly follow the true counts: there is no slope to divide by")
    return counts.tolist()


def compare_cells(a: Sequence[Path], b: Sequence[Path], *, corrected: bool = False, seed: int = 0) -> Comparison:
    """Compare two cells by the ``predictions.csv`` of their seeds.

    Args:
        a: Those of the first cell.
        b: Those of the second.
        corrected: See :func:`read_errors`.
        seed: Of the resampling.

    Raises:
        DataError: If the two were tested on different pictures, or there is no slope to divide by.
    """
    first, second = paired_errors(a, b, corrected=corrected)
    return paired_bootstrap(first, second, seed=seed)


def paired_errors(*cells: Sequence[Path], corrected: bool = False) -> list[Floats]:
    """Return the absolute errors ``[S, N]`` of several cells on the same pictures; see :func:`read_errors`.

    Raises:
        DataError: If they were tested on different pictures, or there is no slope to divide by.
    """
    found = [read_errors(paths, corrected=corrected) for paths in cells]
    for paths, (pictures, _) in zip(cells, found, strict=True):
        odd = sorted(set(pictures) ^ set(found[0][0]))
        if odd:
            both = f"{cells[0][0]} and {paths[0]}"
            raise DataError(f"{both} were tested on different pictures: {len(odd)} differ, such as {odd[0]}")
    return [errors for _, errors in found]


def paired_bootstrap(a: Floats, b: Floats, *, seed: int = 0, replicates: int = REPLICATES) -> Comparison:
    """Compare absolute errors on the same pictures by resampling pictures, in pairs, and seeds, each cell's own.

    Args:
        a: ``[S, N]``, absolute error of the first method at each of its S seeds on each of N pictures.
        b: ``[T, N]``, likewise of the second.
        seed: Of the resampling.
        replicates: How often to resample.
    """
    differences = _resampled([(1, a), (-1, b)], seed=seed, replicates=replicates)
    closer = a[:, None] - b[None]  # [S, T, N]
    return Comparison(
        mae=(float(a.mean()), float(b.mean())),
        difference=float(a.mean() - b.mean()),
        interval=_interval(differences),
        probability=_below_zero(differences),
        wins=_below_zero(closer),
        pictures=a.shape[1],
        seeds=(len(a), len(b)),
    )


def contrast_bootstrap(terms: Sequence[tuple[int, Floats]], *, seed: int = 0, replicates: int = REPLICATES) -> Contrast:
    """Estimate a signed sum of mean errors on the same pictures, such as the difference of two differences.

    Args:
        terms: Sign and errors ``[S, N]`` of each cell; pictures are resampled for all cells together, seeds for each.
        seed: Of the resampling.
        replicates: How often to resample.
    """
    value = sum(sign * float(errors.mean()) for sign, errors in terms)
    return Contrast(difference=value, interval=_interval(_resampled(terms, seed=seed, replicates=replicates)))


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _resampled(terms: Sequence[tuple[int, Floats]], *, seed: int, replicates: int) -> Floats:
    """Return ``[R]`` signed sums of the mean errors."""
    generator, count = np.random.default_rng(seed), terms[0][1].shape[1]
    sums = []
    for start in range(0, replicates, BLOCK):
        block = min(BLOCK, replicates - start)
        pictures = generator.multinomial(count, np.full(count, 1 / count), size=block) / count  # [R, N]
        means = [sign * _resampled_mean(errors, pictures, generator) for sign, errors in terms]  # [R] each
        sums.append(np.sum(means, axis=0))
    return np.concatenate(sums)


def _resampled_mean(errors: Floats, pictures: Floats, generator: np.random.Generator) -> Floats:
    """Return ``[R]``: the mean of errors ``[S, N]`` over shares of pictures ``[R, N]`` and over resampled seeds."""
    seeds = len(errors)
    shares = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(pictures)) / seeds  # [R, S]
    # means of resampled seeds spread by (n - 1) / n of the variance they stand for: a third is missing of three
    widened = 1 / seeds + (shares - 1 / seeds) * math.sqrt(seeds / max(1, seeds - 1))
    return np.asarray((widened * (pictures @ errors.T)).sum(axis=1))


def _below_zero(values: Floats) -> float:
    return float((values < 0).mean() + 0.5 * (values == 0).mean())
