"""Pushing finished runs: the record is rebuilt from local files, once."""

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dotally.errors import DotallyError
from dotally.experiment import wandb_record
from dotally.experiment.push import MARKER, push
from dotally.experiment.results import Confirmation

HELPERS = runpy.run_path(str(Path(__file__).with_name("wandb_server.py")))
server, fabricate = HELPERS["server"], HELPERS["fabricate"]


def test_a_pushed_run_is_the_record_of_its_files(server: Any, tmp_path: Path) -> None:
    result = fabricate(tmp_path / "net.crowd/seed0")
    assert push([tmp_path], project="dotally") == 0
    (run,) = server.runs.values()
    assert run["name"] == wandb_record.run_id(result)
    assert run["state"] == "finished"
    assert [row["val/mae"] for row in run["history"] if "val/mae" in row] == [3.0, 2.0]
    assert wandb_record.read_back(json.loads(run["config"]), json.loads(run["summary"])) == result
    assert "predictions" in [artifact["artifactTypeName"] for artifact in server.artifacts]
    assert not (tmp_path / "net.crowd/seed0/wandb").exists()


@pytest.mark.parametrize("forgotten", [False, True], ids=["marked", "marker lost"])
def test_a_second_push_changes_nothing(server: Any, tmp_path: Path, forgotten: bool) -> None:
    fabricate(tmp_path / "net.crowd/seed0")
    push([tmp_path], project="dotally")
    before = json.dumps(server.runs)
    if forgotten:
        (tmp_path / "net.crowd/seed0" / MARKER).unlink()
    assert push([tmp_path], project="dotally") == 0
    assert json.dumps(server.runs) == before


def test_a_confirmation_by_replay_reaches_a_finished_record(server: Any, tmp_path: Path) -> None:
    folder = tmp_path / "net.crowd/seed0"
    result = fabricate(folder)
    push([tmp_path], project="dotally")
    (run,) = server.runs.values()
    curve = [row["val/mae"] for row in run["history"] if "val/mae" in row]
    told = Confirmation(code="n" * 64, version="1", commit=None, date="2026-01-01", how="all equal")
    replace(result, confirmed=(told,)).write(folder / "run.json")
    assert push([tmp_path], project="dotally") == 0
    assert run["state"] == "finished"
    assert wandb_record.read_back(json.loads(run["config"]), json.loads(run["summary"])).confirmed == (told,)
    assert [row["val/mae"] for row in run["history"] if "val/mae" in row] == curve


def test_a_record_that_broke_off_is_completed(server: Any, tmp_path: Path) -> None:
    fabricate(tmp_path / "net.crowd/seed0")
    push([tmp_path], project="dotally")
    (run,) = server.runs.values()
    whole = [row["val/mae"] for row in run["history"] if "val/mae" in row]
    run |= {"state": "crashed", "history": run["history"][:1], "summary": json.dumps({"trainer/global_step": 2})}
    (tmp_path / "net.crowd/seed0" / MARKER).unlink()
    assert push([tmp_path], project="dotally") == 0
    assert run["state"] == "finished"
    assert [row["val/mae"] for row in run["history"] if "val/mae" in row] == whole


def test_offline_a_push_leaves_a_record_to_sync(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    fabricate(tmp_path)
    assert push([tmp_path]) == 0
    assert push([tmp_path]) == 0
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1
    assert [line.rsplit(": ")[-1] for line in capsys.readouterr().out.splitlines()] == ["pushed", "was pushed before"]


def test_a_damaged_run_is_named_and_the_others_go(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    fabricate(tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/run.json").write_text("{")
    assert push([tmp_path]) == 1
    said = capsys.readouterr()
    assert "a: failed: " in said.err
    assert "b: pushed" in said.out


def test_no_runs_no_key_and_a_forbidding_mode_are_wrong_use(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DotallyError, match=r"no run.json below"):
        push([tmp_path])
    fabricate(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(DotallyError, match="WANDB_API_KEY") as told:
        push([tmp_path])
    assert str(told.value).count("wandb login") == 1
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(DotallyError, match="WANDB_MODE"):
        push([tmp_path])
