"""Two cells, picture by picture: whose errors are smaller, and could it be chance?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dotally.errors import DataError, DotallyError
from dotally.experiment.report import CellReport
from dotally.experiment.results import find_results, read_predictions

Floats = NDArray[np.float64]
REPLICATES = 10_000
BLOCK = 1_000  # replicates held in memory at once


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The errors of one cell against those of another.

    Attributes:
        mae: Of either.
        difference: Mean absolute error of the first minus that of the second, in heads; below 0 the first is better.
        interval: 95 % percentile interval of the difference over resampled pictures and seeds.
        probability: Share of replicates in which the first is better, ties counted half.
        wins: Share of pictures and pairs of seeds in which the first is nearer to the truth, ties counted half.
        pictures: How many.
        seeds: Of either.
    """

    mae: tuple[float, float]
    difference: float
    interval: tuple[float, float]
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
    """
    if not cell.results:
        raise DotallyError(f"{cell.cell.cell} has no result to compare: run --only {cell.cell.cell} first")
    found = {result.key: path for folder in folders for path, result in find_results(folder)}
    return [found[result.key].with_name("predictions.csv") for result in cell.results]


def read_errors(paths: Sequence[Path]) -> tuple[list[str], Floats]:
    """Read the ``predictions.csv`` of a cell's seeds.

    Returns:
        The pictures, each as ``name (true heads)``, sorted, and the absolute errors ``[S, N]`` in that order.

    Raises:
        DataError: If a file is damaged, or the seeds were tested on different pictures.
    """
    tables = []
    for path in paths:
        predictions = read_predictions(path)
        tables.append({f"{p.name} ({p.true})": abs(p.predicted - p.true) for p in predictions})
    pictures = sorted(tables[0])
    for path, table in zip(paths, tables, strict=True):
        if sorted(table) != pictures:
            raise DataError(f"{path}: not the pictures of {paths[0]}")
    return pictures, np.array([[table[picture] for picture in pictures] for table in tables], dtype=np.float64)


def compare_cells(a: Sequence[Path], b: Sequence[Path], *, seed: int = 0) -> Comparison:
    """Compare two cells by the ``predictions.csv`` of their seeds.

    Args:
        a: Those of the first cell.
        b: Those of the second.
        seed: Of the resampling.

    Raises:
        DataError: If the two were tested on different pictures.
    """
    pictures, first = read_errors(a)
    others, second = read_errors(b)
    if pictures != others:
        odd = sorted(set(pictures) ^ set(others))
        raise DataError(f"{a[0]} and {b[0]} were tested on different pictures: {len(odd)} differ, such as {odd[0]}")
    return paired_bootstrap(first, second, seed=seed)


def paired_bootstrap(a: Floats, b: Floats, *, seed: int = 0, replicates: int = REPLICATES) -> Comparison:
    """Compare absolute errors on the same pictures by resampling pictures, in pairs, and seeds, each cell's own.

    Args:
        a: ``[S, N]``, absolute error of the first method at each of its S seeds on each of N pictures.
        b: ``[T, N]``, likewise of the second.
        seed: Of the resampling.
        replicates: How often to resample.
    """
    generator = np.random.default_rng(seed)
    blocks = [min(BLOCK, replicates - start) for start in range(0, replicates, BLOCK)]
    differences = np.concatenate([_resampled(a, b, generator, block) for block in blocks])
    low, high = np.quantile(differences, [0.025, 0.975])
    closer = a[:, None] - b[None]  # [S, T, N]
    return Comparison(
        mae=(float(a.mean()), float(b.mean())),
        difference=float(a.mean() - b.mean()),
        interval=(float(low), float(high)),
        probability=_below_zero(differences),
        wins=_below_zero(closer),
        pictures=a.shape[1],
        seeds=(len(a), len(b)),
    )


def _resampled(a: Floats, b: Floats, generator: np.random.Generator, replicates: int) -> Floats:
    """Return ``[R]`` differences of the mean errors."""
    count = a.shape[1]
    pictures = generator.multinomial(count, np.full(count, 1 / count), size=replicates) / count  # [R, N]
    means = [_mean_over_seeds(errors, generator, replicates) for errors in (a, b)]  # [R, N] each
    return np.asarray((pictures * (means[0] - means[1])).sum(axis=1))


def _mean_over_seeds(errors: Floats, generator: np.random.Generator, replicates: int) -> Floats:
    """Return ``[R, N]``: the mean error over resampled seeds."""
    seeds = len(errors)
    return np.asarray(generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=replicates) / seeds @ errors)


def _below_zero(values: Floats) -> float:
    return float((values < 0).mean() + 0.5 * (values == 0).mean())
