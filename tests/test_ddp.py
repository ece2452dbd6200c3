"""Two processes train as one does."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from dotally.data import SyntheticCrowd
from dotally.errors import DataError
from dotally.training.lightning_cli import TaskCLI

# a script of its own, because a fork of a process whose OpenMP threads have run may hang
SCRIPT = """
import sys, torch
from pytorch_lightning import Trainer, seed_everything
from dotally.data import SyntheticCrowd
from dotally.tasks import CountingTask

folder, world = sys.argv[1], int(sys.argv[2])
seed_everything(0)
task = CountingTask(model_kwargs={"width": 1 / 64, "init": "he"}, loss="scaled_mean_square", lr=1e-5)
crowd = SyntheticCrowd(
    folder=f"{folder}/crowd", pictures=9, val_pictures=5, test_pictures=2, crop=32, batch_size=4 // world
)
trainer = Trainer(
    accelerator="cpu", devices=world, strategy="ddp_fork" if world > 1 else "auto", max_epochs=2, logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    num_sanity_val_steps=0,
)
start = {name: value.clone() for name, value in task.state_dict().items()}
before = trainer.validate(task, crowd, verbose=False)[0]
trainer.fit(task, crowd)
after = {name: float(value) for name, value in trainer.callback_metrics.items()}
facts = {"start": start, "before": before, "after": after, "weights": task.state_dict()}
torch.save(facts, f"{folder}/facts{world}.pt")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """What one process and two processes, each with half the batch size, make of the same steps.

    An epoch is two batches and one picture left over, so that another order or another remainder would show; the number
    of held-out pictures is odd, so that one counted twice would.
    """
    folder = tmp_path_factory.mktemp("ddp")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    for world in (1, 2):
        command = [sys.executable, "-c", SCRIPT, str(folder), str(world)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    one, two = (torch.load(folder / f"facts{world}.pt", weights_only=True) for world in (1, 2))
    return one, two


def test_the_weights_are_the_same(trained: tuple[dict[str, Any], dict[str, Any]]) -> None:
    one, two = trained
    moved = [(one["weights"][name] - one["start"][name]).abs().max() for name in one["start"] if name != "densest"]
    assert max(moved) > 1e-3
    for name in set(one["weights"]) - {"densest"}:
        assert_close(two["weights"][name], one["weights"][name], rtol=0, atol=1e-6)


def test_the_densest_picture_is_that_of_all_processes(trained: tuple[dict[str, Any], dict[str, Any]]) -> None:
    one, two = trained
    assert one["weights"]["densest"] > 0
    assert two["weights"]["densest"] == one["weights"]["densest"]


def test_the_training_loss_is_that_of_all_processes(trained: tuple[dict[str, Any], dict[str, Any]]) -> None:
    one, two = trained
    assert two["after"]["train/loss"] == pytest.approx(one["after"]["train/loss"], rel=1e-4)


def test_no_held_out_picture_is_counted_twice(trained: tuple[dict[str, Any], dict[str, Any]]) -> None:
    one, two = trained
    # the last bit depends on the order in which 64-bit numbers are added
    assert two["before"] == pytest.approx(one["before"], rel=1e-14)
    assert {"val/mae", "val/rmse", "val/bias"} <= set(one["before"])


def test_the_held_out_curve_is_that_of_all_processes(trained: tuple[dict[str, Any], dict[str, Any]]) -> None:
    one, two = trained
    held_out = [name for name in one["after"] if name.startswith("val/")]
    assert len(held_out) >= 3
    assert [two["after"][name] for name in held_out] == pytest.approx(
        [one["after"][name] for name in held_out], rel=1e-4
    )


def test_every_whole_picture_is_dealt_to_one_process(tmp_path: Path) -> None:
    crowd = SyntheticCrowd(folder=tmp_path / "crowd", pictures=1, val_pictures=3, test_pictures=2)
    crowd.prepare_data()
    crowd.setup()

    def shares(processes: int) -> list[list[str]]:
        names = []
        for rank in range(processes):
            share = {"num_replicas": processes, "rank": rank}
            crowd.trainer = SimpleNamespace(distributed_sampler_kwargs=share)  # type: ignore[assignment]
            names.append([name for batch in crowd.val_dataloader() for name in batch["name"]])
        return names

    ((first, second, third),) = shares(1)
    assert shares(2) == [[first, third], [second]]
    with pytest.raises(DataError, match="3 pictures to measure on 4 devices"):
        shares(4)


@pytest.mark.parametrize("subcommand", ["validate", "test"])
def test_measuring_uses_one_device_whatever_is_asked(subcommand: Any) -> None:
    asked = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp_spawn"]
    cli = TaskCLI(subcommand, ["--data", "SyntheticCrowd", *asked])
    assert (cli.trainer.num_devices, cli.trainer.world_size) == (1, 1)


def test_training_uses_the_devices_that_are_asked() -> None:
    asked = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp_spawn"]
    cli = TaskCLI("fit", ["--data", "SyntheticCrowd", *asked])
    assert cli.trainer.num_devices == 2
