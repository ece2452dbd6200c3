"""The record of a training at Weights & Biases: one record however often it is resumed, and no training lost to it."""

from pathlib import Path

import pytest
import wandb

from dotally.errors import DotallyError
from dotally.training import record
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


def test_unless_somebody_says_otherwise_a_training_is_recorded_offline_and_in_silence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_SILENT")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert run("fit", [*QUIET, "--trainer.max_epochs=1"]) == 0
    assert len(ids()) == 1
    said = capfd.readouterr()
    assert "wandb" not in said.out + said.err


def test_who_brings_a_logger_gets_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    own = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=logs"]
    assert run("fit", [*QUIET, *own, "--trainer.max_epochs=1"]) == 0
    assert ids() == []
    assert list(Path("logs").rglob("metrics.csv"))


def test_where_wandb_is_not_installed_a_training_goes_on_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(**_: object) -> None:
        raise ModuleNotFoundError("wandb")

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(record, "WandbLogger", absent)
    assert run("fit", [*QUIET, "--trainer.max_epochs=1"]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "Weights" in line]
    assert line.startswith("Weights & Biases: not installed; the training goes on without a record")
    assert Path("runs/fit/first/checkpoints/best.ckpt").exists()
    with pytest.raises(DotallyError, match="pip install wandb, or --wandb off"):
        run("fit", [*QUIET[:-1], "--name=second", "--trainer.max_epochs=1", "--wandb=online"])
    assert not Path("runs/fit/second").exists()


def test_a_record_that_nobody_asked_for_costs_no_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("the service did not start\nat all")

    monkeypatch.setattr(wandb, "init", broken)
    assert run("fit", [*QUIET, "--trainer.max_epochs=1"]) == 0
    assert "Weights & Biases: the service did not start; the training goes on" in capsys.readouterr().err


def test_a_training_that_cannot_begin_leaves_nothing() -> None:
    with pytest.raises(DotallyError):
        run("fit", ["--data=PointFolder", "--data.folder=nowhere", *QUIET[4:], "--trainer.max_epochs=1"])
    assert not Path("runs").exists() or not list(Path("runs/fit").iterdir())


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
