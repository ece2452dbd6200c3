import argparse
import json
from pathlib import Path

import pytest

from dotally.errors import WeightsError
from dotally.predict import command, weights_command, weights_file
from dotally.predict.weights_file import load_weights

RUN = {
    "table": "table",
    "row": "slim",
    "column": "B",
    "seed": 0,
    "key": "0123456789abcdef",
    "spec": {"data": {"class": "dotally.data.shanghaitech.ShanghaiTech", "arguments": {"part": "B"}}},
    "metrics": {"mae": 19.44, "rmse": 29.56},
    "facts": {"pictures": 316},
}


def arguments(*words: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    weights_command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> str:
    """A finished run in the working directory, by its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights_file, "SHIPPED", tmp_path / "shipped")
    folder = tmp_path / "runs" / "table" / "slim.B" / "seed0-01234567"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best.ckpt").symlink_to(checkpoint)
    (folder / "run.json").write_text(json.dumps(RUN))
    return "table/slim"


def test_a_file_of_a_run_says_where_its_weights_are_from(run: str, tmp_path: Path) -> None:
    assert weights_command.run(arguments(run, "--out", tmp_path / "slim.pt", "--licence", "research only")) == 0
    assert load_weights(tmp_path / "slim.pt").facts == {
        "trained on": "ShanghaiTech B",
        "error there": "test MAE 19.4, RMSE 29.6 on 316 pictures",
        "run": "table/slim.B/seed0, key 01234567",
        "licence": "research only",
    }


def test_a_checkpoint_that_is_no_runs_says_what_it_is_told(tmp_path: Path, checkpoint: Path) -> None:
    weights_command.run(arguments(checkpoint, "--out", tmp_path / "slim.pt", "--note", "drawn crowds only"))
    assert load_weights(tmp_path / "slim.pt").facts == {"note": "drawn crowds only"}


def test_names_are_listed(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights_command.run(arguments(run, "--out", tmp_path / "shipped" / "mine.pt"))
    capsys.readouterr()
    assert weights_command.run(arguments()) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["mine", "table/slim.B"]


def test_no_names_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights_file, "SHIPPED", tmp_path / "shipped")
    assert weights_command.run(arguments()) == 0
    assert capsys.readouterr().out.startswith("no weights by name here")


def test_where_to_write_has_to_be_said(run: str) -> None:
    with pytest.raises(WeightsError, match=r"say where its weights should go \(--out FILE\)"):
        weights_command.run(arguments(run))


def test_predict_counts_with_the_shipped_weights_when_none_are_named(
    run: str, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights_command.run(arguments(run, "--out", tmp_path / "shipped" / f"{weights_file.DEFAULT}.pt"))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args([str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"])) == 0
    assert "trained on: ShanghaiTech B" in capsys.readouterr().err
