"""A tiny table on a tiny synthetic crowd: real code, real files, seconds."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dotally.data import SyntheticCrowd
from dotally.experiment import Run, Table, Trivial, Value
from dotally.experiment.execute import Options
from dotally.tasks import CountingTask


@pytest.fixture(scope="session")
def crowd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny crowd is rendered once for all tests."""
    return tmp_path_factory.mktemp("crowd") / "pictures"


@pytest.fixture
def crowd(crowd_folder: Path) -> Callable[..., SyntheticCrowd]:
    """Build the tiny data module; takes the operational arguments that a run passes."""
    return partial(
        SyntheticCrowd,
        folder=crowd_folder,
        pictures=8,
        val_pictures=2,
        test_pictures=4,
        crop=64,
        batch_size=4,
    )


@pytest.fixture
def task() -> Callable[..., CountingTask]:
    return partial(
        CountingTask,
        model_kwargs={"width": 1 / 64, "batch_norm": True},
        loss="scaled_mean_square",
        optimizer="adamw",
        lr=1e-3,
        schedule="one-cycle",
    )


@pytest.fixture
def table(crowd: Callable[..., SyntheticCrowd], task: Callable[..., CountingTask]) -> Table:
    return Table(
        id="tiny",
        title="A tiny table",
        source="test",
        cells=[
            Trivial(row="mean", column="crowd", kind="mean", data=crowd),
            Run(
                row="net",
                column="crowd",
                task=task,
                data=crowd,
                max_epochs=3,
                paper={"mae": Value(value=30.0, source="nowhere")},
            ),
        ],
        seeds=(0, 1),
    )


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(runs=tmp_path / "runs", accelerator="cpu", progress=False)
