"""The sweep's file: W&B takes it, ``dotally fit`` takes every trial of it, and what it optimises is logged."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from dotally.training.command import run
from dotally.training.lightning_cli import TaskCLI

ROOT = Path(__file__).parents[1]
SWEEP: dict[str, Any] = yaml.safe_load((ROOT / "experiments/configs/sweep.yaml").read_text())
# docs.wandb.ai, "Sweep configuration options"
METHODS = {"grid", "random", "bayes"}
TOP = {"program", "command", "method", "metric", "early_terminate", "parameters", "name", "description", "run_cap"}
RANGES = {"uniform", "log_uniform_values", "int_uniform", "q_uniform", "inv_log_uniform_values"}


def extremes(parameter: dict[str, Any]) -> list[Any]:
    return parameter["values"] if "values" in parameter else [parameter["min"], parameter["max"]]


def test_it_has_the_documented_form() -> None:
    assert set(SWEEP) <= TOP
    assert SWEEP["method"] in METHODS
    assert set(SWEEP["metric"]) == {"name", "goal"}
    assert SWEEP["metric"]["goal"] in ("minimize", "maximize")
    assert SWEEP["early_terminate"]["type"] == "hyperband"
    assert "${args}" in SWEEP["command"]
    for parameter in SWEEP["parameters"].values():
        range_ = set(parameter) == {"distribution", "min", "max"} and parameter["distribution"] in RANGES
        assert range_ or set(parameter) == {"values"}
        # YAML reads 1e-4 as text, which W&B would refuse or sort as such
        assert all(isinstance(value, int | float) for value in extremes(parameter))


def test_it_fits_the_published_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    spec = find_spec("sweeps")
    if spec is None or spec.origin is None:
        pytest.skip("the schema comes with W&B's package `sweeps`, which is not installed: `make install-dev` does it")
    schema = json.loads((Path(spec.origin).parent / "config" / "schema.json").read_text())
    jsonschema.validate(SWEEP, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**SWEEP, "method": "guess"}, schema)


@pytest.mark.parametrize("pick", [0, -1])
def test_every_trial_is_a_command_that_fit_understands(pick: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    trial = {name: extremes(parameter)[pick] for name, parameter in SWEEP["parameters"].items()}
    start = SWEEP["command"].index("fit") + 1
    words = [word for word in SWEEP["command"][start:] if word != "${args}"]
    # as the agent writes ${args}
    cli = TaskCLI("fit", [*words, *(f"--{name}={value}" for name, value in trial.items())])
    for name, value in trial.items():
        owner, key = name.split(".")
        assert {"model": cli.model, "data": cli.datamodule}[owner].hparams[key] == value


def test_a_trial_logs_what_the_sweep_optimises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_RUN_ID", "trial7")
    monkeypatch.setenv("WANDB_SILENT", "true")
    crowd = ["--data.pictures=4", "--data.val_pictures=2", "--data.test_pictures=2", "--data.crop=32"]
    quiet = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=1"]
    model = ["--model.model_kwargs.width=0.015625", "--trainer.enable_model_summary=false"]
    assert run("fit", ["--data=SyntheticCrowd", *crowd, *model, *quiet]) == 0
    wandb.teardown()  # its service writes on after a run has finished
    (recorded,) = Path("runs/fit/trial7").glob("wandb/offline-run-*/run-*.wandb")
    assert SWEEP["metric"]["name"].encode() in recorded.read_bytes()
