"""The ready settings of ``dotally fit`` train what the tables train."""

import runpy
from pathlib import Path

import pytest

from dotally.experiment import Run
from dotally.experiment.identity import resolved_spec
from dotally.training.lightning_cli import TaskCLI

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.mark.parametrize(
    ("settings", "table", "name"),
    [
        ("csrnet_slim_synthetic", "synthetic_crowd", "csrnet-slim.synthetic"),
        ("csrnet_shanghaitech_b", "csrnet_table5_shanghaitech", "csrnet.B"),
    ],
)
def test_a_file_of_settings_is_the_run_of_the_table(settings: str, table: str, name: str) -> None:
    cells = runpy.run_path(str(EXPERIMENTS / f"{table}.py"))["TABLE"].runnable()
    (cell,) = [cell for cell in cells if cell.cell == name]
    cli = TaskCLI("fit", ["--config", str(EXPERIMENTS / "configs" / f"{settings}.yaml"), "--trainer.accelerator=cpu"])
    typed = Run(
        row="r", column="c", task=lambda: cli.model, data=lambda: cli.datamodule, max_epochs=cli.trainer.max_epochs
    )
    assert resolved_spec(typed) == resolved_spec(cell)
