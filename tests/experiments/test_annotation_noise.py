"""The test of GauNet's claim is a fair one: equal parameters, equal recipe, noise that leaves the counts alone."""

import runpy
from pathlib import Path

import pytest

from dotally.experiment import Run, Table
from dotally.experiment.identity import differences, resolved_spec

TABLE: Table = runpy.run_path(str(Path(__file__).parents[2] / "experiments" / "annotation_noise.py"), run_name="table")[
    "TABLE"
]
RUNS = {cell.cell: cell for cell in TABLE.cells if isinstance(cell, Run)}
COLUMNS = list(dict.fromkeys(run.column for run in RUNS.values()))


def parameters(run: Run) -> int:
    return sum(p.numel() for p in run.task().model.parameters() if p.requires_grad)  # type: ignore[union-attr]


def test_four_strengths_of_noise_on_either_data_set_and_three_seeds() -> None:
    for data in ("crowd", "B"):
        columns = [column for column in COLUMNS if column.startswith(f"{data}-")]
        assert len(columns) == 5  # one without noise
        spread = [
            (hparams["annotation_noise"], hparams["annotation_swaps"])
            for hparams in (RUNS[f"csrnet-slim.{column}"].data().hparams for column in columns)
        ]
        assert spread == sorted(set(spread))
        assert spread[0] == (0.0, 0.0)
    assert len(TABLE.seeds) == 3
    assert {"mae", "bias", "slope", "corrected_mae"} <= set(TABLE.metrics)


@pytest.mark.parametrize("column", ["crowd-clean", "B-strong"])
def test_both_networks_have_as_many_parameters(column: str) -> None:
    ours, theirs = (parameters(RUNS[f"{row}.{column}"]) for row in ("gaunet-csrnet-slim", "csrnet-slim"))
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize("column", COLUMNS)
def test_both_networks_learn_by_one_recipe(column: str) -> None:
    ours, theirs = (resolved_spec(RUNS[f"{row}.{column}"]) for row in ("gaunet-csrnet-slim", "csrnet-slim"))
    changed = {line.split(":")[0] for line in differences(theirs, ours)}
    assert changed == {"task.arguments.model", "task.arguments.model_kwargs.gaussians"}


@pytest.mark.parametrize("column", COLUMNS)
def test_columns_of_a_data_set_differ_in_their_noise_alone(column: str) -> None:
    clean = f"{column.split('-')[0]}-clean"
    assert TABLE.contest is not None
    assert TABLE.contest.since.get(column, clean) == clean
    for row in ("gaunet-csrnet-slim", "csrnet-slim"):
        one, other = (resolved_spec(RUNS[f"{row}.{name}"]) for name in (clean, column))
        changed = {line.split(":")[0] for line in differences(one, other)}
        assert changed <= {"data.arguments.annotation_noise", "data.arguments.annotation_swaps"}
