"""The record of a training at Weights & Biases: one record however often it is resumed, and no training lost to it."""

from pathlib import Path

import pytest
import wandb

from dotally.errors import DotallyError
from dotally.training.command import run

CROWD = ["--data=SyntheticCrowd", "--data.pictures=4", "--data.val_pictures=2", "--data.test_pictures=2"]
TINY = [*CROWD, "--data.crop=32", "--model.model_kwargs.width=0.015625", "--trainer.accelerator=cpu"]
QUIET = [*TINY, "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--name=first"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")


def ids() -> list[str]:
    found = Path().glob("runs/fit/first/wandb/offline-run-*/run-*.wandb")
    return [path.name.removeprefix("run-").removesuffix(".wandb") for path in found]


def test_a_resumed_training_continues_its_record() -> None:
    assert run("fit", [*QUIET, "--trainer.max_epochs=1", "--wandb=offline"]) == 0
    assert run("fit", ["--resume", "--name=first", "--trainer.max_epochs=2", "--wandb=offline"]) == 0
    assert len(ids()) == 2, "a fragment for each process, which `wandb sync` joins"
    assert set(ids()) == {Path("runs/fit/first/wandb-id").read_text()}


def test_a_network_that_is_gone_in_the_end_costs_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finish = wandb.finish

    def gone(exit_code: int) -> None:
        finish(exit_code)
        raise TimeoutError("timed out waiting for the run to finish")

    monkeypatch.setattr(wandb, "finish", gone)
    assert run("fit", [*QUIET, "--trainer.max_epochs=1", "--wandb=offline"]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Weights & Biases")]
    assert "timed out waiting for the run to finish; `wandb sync runs/fit/first/wandb/" in line


def test_without_a_key_nothing_is_trained_and_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")  # which the flag overrules
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", "nowhere")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(DotallyError, match=r"^Weights & Biases: .*\(or --wandb offline\)$"):
        run("fit", [*QUIET, "--trainer.max_epochs=1", "--wandb=online"])
    assert not list(Path().glob("runs/fit/first/checkpoints/*"))


def test_a_mode_that_is_none_is_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(DotallyError, match="WANDB_MODE=sometimes"):
        run("fit", [*QUIET, "--trainer.max_epochs=1"])
