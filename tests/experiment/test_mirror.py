"""The mirror at Weights & Biases: it shows what the files say, and never costs a run anything."""

import json
import runpy
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

from dotally.data import SyntheticCrowd
from dotally.experiment import Run, Table, mirror, wandb_record, wandb_session
from dotally.experiment.execute import Job, Options, execute, plan
from dotally.experiment.identity import digest
from dotally.experiment.results import Result

HELPERS = runpy.run_path(str(Path(__file__).with_name("wandb_server.py")))
server, fabricate = HELPERS["server"], HELPERS["fabricate"]


def records(path: Path) -> Iterator[Any]:
    """Read a ``.wandb`` file, seven bytes and the blocks of a LevelDB log, as far as the client has written it."""
    content, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        if place + 7 + length > len(content):
            return
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the record is full, or this was its last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def items(record: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record}


def _wait_for_end(path: Path) -> None:
    """The client's own process may still be writing when a run is over for us."""
    deadline = time.monotonic() + 60
    while not any(record.WhichOneof("record_type") == "exit" for record in records(path)):
        assert time.monotonic() < deadline, f"{path.name} has no exit record after a minute"
        time.sleep(0.05)


class Offline:
    """What a run left for `wandb sync`."""

    def __init__(self, folder: Path) -> None:
        (path,) = folder.glob("*.wandb")
        _wait_for_end(path)
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.artifacts: list[str] = []
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self.config |= items(record.run.config.update)
            elif kind == "config":
                self.config |= items(record.config.update)
            elif kind == "summary":
                self.summary |= items(record.summary.update)
            elif kind == "history":
                self.history.append(items(record.history.item))
            elif kind == "artifact":
                self.artifacts.append(record.artifact.type)

    def curve(self) -> list[dict[str, float]]:
        """The rows that are epochs, named as in ``metrics.csv``."""
        rows = [row for row in self.history if "train/loss" in row]
        names = {wandb_session.STEP: "step"}
        return [{names.get(k, k): v for k, v in row.items() if not k.startswith("_")} for row in rows]


def fragments(job: Job) -> list[Offline]:
    return [Offline(path) for path in sorted((job.folder.path / "wandb").glob("offline-run-*"))]


def test_a_record_being_written_is_not_read_yet(tmp_path: Path) -> None:
    record = wandb_internal_pb2.Record(exit=wandb_internal_pb2.RunExitRecord(exit_code=3)).SerializeToString()
    chunk = struct.pack("<IHB", 0, len(record), 1) + record
    path = tmp_path / "run.wandb"
    for written in range(len(chunk) + 1):
        path.write_bytes(bytes(7) + chunk + chunk[:written])
        assert len(list(records(path))) == (2 if written == len(chunk) else 1)


def cell(table: Table, place: int = 1, **changes: Any) -> Any:
    return replace(table.cells[place], **changes) if changes else table.cells[place]


def test_an_offline_run_says_what_its_files_say(table: Table, options: Options, capsys: pytest.CaptureFixture) -> None:
    options = replace(options, wandb="offline")
    job = plan(table.id, cell(table), 0, options)
    result = execute(job, options)
    (record,) = fragments(job)
    assert record.run.run_id == wandb_record.run_id(result)
    assert (record.run.project, record.run.job_type) == ("dotally", "train")
    assert (record.run.run_group, record.run.display_name) == ("tiny/net.crowd", "net.crowd seed0")
    assert {"tiny", "csrnet", "SyntheticCrowd", "val", f"spec-{digest(result.spec)[:8]}"} <= set(record.run.tags)
    assert wandb_record.read_back(record.config, record.summary) == Result.read(job.folder.result)
    assert record.curve() == wandb_record.read_curve(job.folder.metrics)
    assert record.config["task/lr"] == 1e-3
    assert record.config["parameters"] == result.facts["parameters"]
    assert record.summary["best/val_mae"] == result.facts["best"]["val/mae"]
    assert record.summary["test/n"] == 4
    assert {"dataset", "model", "predictions"} <= set(record.artifacts)
    pictures = [row for row in record.history if row.get("pictures/val/count")]
    assert len(pictures) == 3
    assert "".join(capsys.readouterr()) == ""


def test_the_table_of_test_pictures_begins_with_the_largest_error(table: Table, options: Options) -> None:
    options = replace(options, wandb="offline")
    job = plan(table.id, cell(table, 0), 0, options)
    execute(job, options)
    (path,) = job.folder.path.glob("wandb/offline-run-*/files/media/table/pictures/*.json")
    content = json.loads(path.read_text())
    assert content["columns"] == ["name", "picture", "true", "predicted", "error"]
    errors = [row[-1] for row in content["data"]]
    assert errors == sorted(errors, reverse=True)


def test_the_mirror_changes_no_number_and_runs_stay_several(table: Table, options: Options, tmp_path: Path) -> None:
    without, seen = replace(options, runs=tmp_path / "without"), replace(options, wandb="offline")
    for place in (0, 1):
        plain, mirrored = (plan(table.id, cell(table, place), 0, choice) for choice in (without, seen))
        execute(plain, without)
        execute(mirrored, seen)
        assert plain.folder.predictions.read_bytes() == mirrored.folder.predictions.read_bytes()
        assert not (plain.folder.path / "wandb").exists()
        (record,) = fragments(mirrored)
        assert record.run.run_group == f"tiny/{mirrored.cell.cell}"


def test_a_resumed_run_continues_its_record(table: Table, options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    options = replace(options, wandb="offline")
    job = plan(table.id, cell(table), 0, options)

    def interrupt(logger: Any, row: dict[str, float], send: Callable[..., None] = wandb_session.send_row) -> None:
        if row["epoch"] == 1:
            raise KeyboardInterrupt
        send(logger, row)

    with monkeypatch.context() as patched:
        patched.setattr(wandb_session, "send_row", interrupt)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            execute(job, options)
    execute(job, options)
    first, second = fragments(job)
    assert first.run.run_id == second.run.run_id
    assert first.curve() + second.curve() == wandb_record.read_curve(job.folder.metrics)
    assert [row["epoch"] for row in second.curve()] == [1, 2]


def test_a_mirror_that_breaks_costs_one_line(
    table: Table, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def broken(*arguments: Any) -> None:
        raise BrokenPipeError("the pipe is broken")

    monkeypatch.setattr(wandb_session, "send_row", broken)
    options = replace(options, wandb="offline")
    job = plan(table.id, cell(table), 0, options)
    execute(job, options)
    assert job.folder.state() == "done"
    (line,) = capsys.readouterr().err.splitlines()
    assert "the pipe is broken; the run goes on without it" in line
    assert "the pipe is broken" in (job.folder.path / "log.txt").read_text()


def test_without_wandb_a_run_goes_on(
    table: Table, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    options = replace(options, wandb="offline")
    job = plan(table.id, cell(table, 0), 0, options)
    execute(job, options)
    assert job.folder.state() == "done"
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install wandb" in line


def test_without_a_key_a_run_is_recorded_offline(
    table: Table, options: Options, server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    options = replace(options, wandb="online")
    job = plan(table.id, cell(table, 0), 0, options)
    execute(job, options)
    assert len(fragments(job)) == 1
    assert server.runs == {}
    (line,) = capsys.readouterr().err.splitlines()
    assert "wandb login" in line
    assert "recorded offline instead" in line


def test_without_a_network_a_run_is_recorded_offline(
    table: Table, options: Options, server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(wandb_session, "BEGIN", 2.0)
    server.gone = True
    options = replace(options, wandb="online")
    job = plan(table.id, cell(table, 0), 0, options)
    result = execute(job, options)
    (record,) = fragments(job)
    assert wandb_record.read_back(record.config, record.summary) == result
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_online_run_has_its_lineage_and_names_no_machine(table: Table, options: Options, server: Any) -> None:
    options = replace(options, wandb="online")
    job = plan(table.id, cell(table, max_epochs=1), 0, options)
    result = execute(job, options)
    (run,) = server.runs.values()
    assert run["name"] == wandb_record.run_id(result)
    assert run["state"] == "finished"
    kinds = [artifact["artifactTypeName"] for artifact in server.artifacts]
    assert {"dataset", "model", "predictions"} <= set(kinds)
    assert server.used == [f"artifact{kinds.index('dataset') + 1}"]
    assert not run.get("host")
    assert not run.get("program")
    assert str(options.runs) not in json.dumps(run)


def test_a_network_that_goes_in_the_middle_costs_one_line(
    table: Table, options: Options, server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def cut(logger: Any, row: dict[str, float], send: Callable[..., None] = wandb_session.send_row) -> None:
        server.gone = True
        send(logger, row)

    monkeypatch.setattr(wandb_session, "send_row", cut)
    monkeypatch.setattr(mirror, "ANSWER", 2.0)
    monkeypatch.setattr(wandb_session, "END", 2.0)
    options = replace(options, wandb="online")
    job = plan(table.id, cell(table), 0, options)
    result = execute(job, options)
    assert Result.read(job.folder.result) == result
    assert len(wandb_record.read_curve(job.folder.metrics)) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "dotally wandb-push" in line


class PhotographsOfPeople(SyntheticCrowd):
    pictures_may_leave = False


def test_photographs_of_people_stay_where_they_are(table: Table, options: Options, crowd: Any) -> None:
    options = replace(options, wandb="offline")
    run = cell(table)
    assert isinstance(run, Run)
    job = plan(table.id, replace(run, data=lambda **o: PhotographsOfPeople(**crowd.keywords, **o)), 0, options)
    execute(job, options)
    assert not (job.folder.path / "pictures.png").exists()
    (path,) = job.folder.path.glob("wandb/offline-run-*/files/media/table/pictures/*.json")
    assert json.loads(path.read_text())["columns"] == ["name", "true", "predicted", "error"]
    assert not list(job.folder.path.glob("wandb/**/*.jpg"))
    (record,) = fragments(job)
    shown = [row for row in record.history if row.get("pictures/val/count")]
    assert shown[0]["pictures/val/width"] < 3 * 320  # two maps, no picture


def test_names_are_what_the_server_takes(tmp_path: Path) -> None:
    result = fabricate(tmp_path, row="long" * 30)
    names = wandb_record.names(result)
    assert names["id"].isalnum()
    assert names["id"] == names["id"].lower()
    assert len(names["id"]) == 12
    assert all(0 < len(tag) <= 64 for tag in names["tags"])
    assert wandb_record.run_id(replace(result, table="another")) != names["id"]


def test_a_config_is_flat(tmp_path: Path) -> None:
    config = wandb_record.config(fabricate(tmp_path))
    assert not any(isinstance(value, dict) for value in config.values())
    assert all(name.count("/") <= 1 for name in config)
    assert config["model_kwargs/width"] == 0.125
