"""``--replay``: what alters no bit is confirmed, what does is named, and nothing else changes."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from dotally.data import SyntheticCrowd, SyntheticShapes
from dotally.experiment import Localization, Method, Run, Table, Trivial, Value, main, publish, verify, wandb_record
from dotally.experiment.replay import HOW, first_difference
from dotally.experiment.report import is_stale
from dotally.experiment.results import Result, find_results
from dotally.stnet import BoxRule
from dotally.tasks import CountingTask, LocalizationTask

Script = Callable[..., int]
METHODS = {"stnet": Method(kind="stnet", stop="features.7", rule=BoxRule()), "centre": Method(kind="centre")}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("crowd") / "pictures"
    sizes = {"pictures": 4, "val_pictures": 2, "test_pictures": 2}
    crowd = partial(SyntheticCrowd, folder=folder, **sizes, crop=64, batch_size=4)
    task = partial(
        CountingTask,
        model_kwargs={"width": 1 / 64, "batch_norm": True},
        loss="scaled_mean_square",
        optimizer="adamw",
        lr=1e-3,
        schedule="one-cycle",
    )
    shapes = partial(SyntheticShapes, batch_size=8, **sizes)
    return Table(
        id="tiny",
        title="A tiny table",
        source="test",
        seeds=(0,),
        cells=[
            Trivial(row="mean", column="crowd", kind="mean", data=crowd),
            Run(
                row="net",
                column="crowd",
                task=task,
                data=crowd,
                max_epochs=2,
                paper={"mae": Value(value=9, source="x")},
            ),
            Localization(
                row="shapes",
                column="crowd",
                task=partial(LocalizationTask, model_kwargs={"width": 0.25}),
                data=shapes,
                max_epochs=2,
                methods=METHODS,
            ),
        ],
    )


@pytest.fixture(scope="module")
def trained(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every cell run once, as older code would have left it."""
    folder = tmp_path_factory.mktemp("runs")
    assert main(table, arguments=["--runs", str(folder), "--accelerator", "cpu", "--wandb", "off"]) == 0
    for path, result in find_results(folder / "tiny"):
        replace(result, code="older").write(path)
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs"))


@pytest.fixture
def script(table: Table, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setattr(publish, "ROOT", tmp_path / "checkout")
    monkeypatch.delenv("DOTALLY_DATA_ROOT", raising=False)
    machine = ["--runs", str(runs), "--accelerator", "cpu", "--wandb", "off"]
    return lambda *arguments: main(table, arguments=[*arguments, *machine])


def folder_of(runs: Path, row: str = "net") -> Path:
    (folder,) = (runs / "tiny").glob(f"{row}.crowd/seed0-*")
    return folder


def result_of(runs: Path, row: str = "net") -> Result:
    return Result.read(folder_of(runs, row) / "run.json")


def tamper(runs: Path) -> None:
    path = folder_of(runs) / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    *_, bias = checkpoint["state_dict"].values()
    bias += 1e-3
    torch.save(checkpoint, path)


@pytest.mark.parametrize("row", ["net", "shapes"])
def test_a_neutral_change_is_confirmed_and_nothing_else_changes(
    row: str, table: Table, script: Script, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder_of(runs, row).rglob("*") if path.is_file()}
    assert script("--replay", "--only", row) == 0
    assert f"{row}.crowd seed 0: confirmed: {HOW}" in capsys.readouterr().err
    result = result_of(runs, row)
    assert (result.code, len(result.confirmed), result.confirmed[0].how) == ("older", 1, HOW)
    cell = next(cell for cell in table.runnable() if cell.row == row)
    assert not is_stale(cell, [result])
    changed = [path.name for path, content in before.items() if path.read_bytes() != content]
    assert changed == ["run.json"]
    assert {path for path in folder_of(runs, row).rglob("*") if path.is_file()} == set(before)
    assert script("--replay", "--only", row) == 0
    assert "nothing to replay" in capsys.readouterr().err


def test_what_alters_numbers_in_training_names_the_column_that_differs_first(
    script: Script, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forward = CountingTask.forward
    monkeypatch.setattr(CountingTask, "forward", lambda *given: forward(*given) * 1.0001)
    assert script("--replay", "--only", "net") == 1
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("failed")]
    assert line.startswith("failed: net.crowd seed 0: not confirmed, stays stale: epoch 0, ")
    assert " then, " in line
    assert "stale" in said.out
    assert result_of(runs).confirmed == ()


def test_what_alters_only_the_test_names_the_picture(
    script: Script, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = CountingTask.test_step

    def other(self: CountingTask, *arguments: Any) -> Any:
        outputs: Any = step(self, *arguments)
        return {**outputs, "predicted": outputs["predicted"] + 1e-3}

    monkeypatch.setattr(CountingTask, "test_step", other)
    assert script("--replay", "--only", "net") == 1
    assert "stays stale: IMG_1.jpg, predicted: " in capsys.readouterr().err
    assert result_of(runs).confirmed == ()


def test_a_tampered_checkpoint_is_not_confirmed(script: Script, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tamper(runs)
    assert script("--replay", "--only", "net") == 1
    assert "stays stale: IMG_1.jpg, predicted: " in capsys.readouterr().err


def test_a_tampered_figure_is_not_confirmed(script: Script, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of(runs)
    mae = result.metrics["mae"]
    replace(result, metrics={**result.metrics, "mae": mae * (1 + 1e-15)}).write(folder_of(runs) / "run.json")
    assert script("--replay", "--only", "net") == 1
    assert f"stays stale: figures, mae: {mae * (1 + 1e-15)!r} then, {mae!r} now" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["absent", "half"])
def test_without_its_checkpoint_nothing_is_trained_and_one_line_says_why(
    damage: str, script: Script, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder_of(runs) / "checkpoints" / "best.ckpt"
    content = path.read_bytes()
    path.unlink()
    if damage == "half":
        path.write_bytes(content[: len(content) // 2])
    assert script("--replay", "--only", "net") == 1
    said = capsys.readouterr().err
    words = "not there" if damage == "absent" else "damaged"
    assert f"failed: net.crowd seed 0: {path} is {words}, so there is nothing to test: run it again" in said
    assert "replaying" not in said


def test_a_run_of_mixed_code_or_of_several_devices_is_not_replayed(
    script: Script, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, result = folder_of(runs) / "run.json", result_of(runs)
    replace(result, environment={**result.environment, "resumed_with_other_code": True}).write(path)
    assert script("--replay", "--only", "net") == 1
    assert "resumed with other code" in capsys.readouterr().err
    replace(result, facts={**result.facts, "devices": 2}).write(path)
    assert script("--replay", "--only", "net") == 1
    assert "trained on 2 devices" in capsys.readouterr().err


def test_another_machine_is_named_beside_the_difference(
    script: Script, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(runs)
    result = result_of(runs)
    replace(result, environment={**result.environment, "threads": 99}).write(folder_of(runs) / "run.json")
    assert script("--replay", "--only", "net") == 1
    assert f"(threads 99 then, {torch.get_num_threads()} now: this alone may be why)" in capsys.readouterr().err


def test_what_learns_nothing_is_run_again(
    table: Table, script: Script, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = result_of(runs, "mean")
    assert script("--replay", "--only", "mean") == 0
    assert "mean.crowd seed 0: run again: MAE " in capsys.readouterr().err
    new = result_of(runs, "mean")
    assert new == replace(old, code=new.code, facts=new.facts)
    assert not is_stale(table.runnable()[0], [new])


def test_committed_results_alone(script: Script, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script("--report", "--publish") == 0
    shutil.rmtree(runs)
    assert script("--replay", "--only", "net", "mean") == 1
    said = capsys.readouterr().err
    assert "mean.crowd seed 0: run again" in said
    assert "net.crowd seed 0: only the committed result is here, and no checkpoint to test: name the folder" in said
    assert (runs / "tiny").exists()


def test_a_report_and_what_is_published_tell_of_it(
    table: Table, script: Script, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    root = tmp_path / "checkout"
    monkeypatch.setattr(verify, "load_tables", lambda *_: {"tiny": table})
    assert script("--report", "--publish", "--only", "net") == 0
    place = "experiments/results/tiny/net.crowd/seed0"
    assert any(line.startswith(f"{place}: stale") for line in verify.verify(root).warnings)
    assert script("--replay", "--only", "net") == 0
    capsys.readouterr()
    assert script("--report", "--publish", "--only", "net") == 0
    date = result_of(runs).confirmed[0].date
    out = capsys.readouterr().out
    assert f"net.crowd: seed 0 confirmed by replay on {date}: {HOW}" in out
    assert "committed values" not in out, "a confirmation makes no result another"
    found = verify.verify(root)
    assert (found.warnings[1:], found.differences) == ([], [])
    assert found.confirmed == [f"{place}: by replay on {date}, not trained again: {HOW}"]


def test_a_confirmation_goes_to_weights_and_biases_and_back(script: Script, runs: Path) -> None:
    assert script("--replay", "--only", "net") == 0
    result = result_of(runs)
    back = wandb_record.read_back(wandb_record.config(result), wandb_record.summary(result))
    assert (back, back.confirmed) == (result, result.confirmed)


def test_a_confirmation_that_is_none_is_no_result(script: Script, runs: Path) -> None:
    path = folder_of(runs) / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"confirmed": [{"code": "mine"}]}))
    assert [found.row for _, found in find_results(runs / "tiny")] == ["mean", "shapes"]


@pytest.mark.parametrize("other", [["--jobs", "2"], ["--report"], ["--launch", "print"], ["--plan"]])
def test_a_replay_goes_alone(other: list[str], script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert script("--replay", *other) == 2
    assert capsys.readouterr().err.startswith(f"error: --replay goes without {other[0]}")


def test_the_first_difference_of_two_tables() -> None:
    then = [{"epoch": "0", "a": "1", "later": ""}]
    assert first_difference(then, [{"epoch": "0", "a": "1"}]) == ""
    assert first_difference(then, [{"epoch": "0", "a": "1", "b": "2"}]) == "epoch 0, b: nothing then, 2 now"
    assert first_difference(then, []) == "epoch 0 is not there now"
    assert first_difference([{"name": "x"}], [{"name": "x"}, {"name": "y"}]) == "y was not there then"
