"""Results out of Weights & Biases: the same report, byte for byte, as from the files they were made of."""

import json
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dotally.errors import DataError, DotallyError
from dotally.experiment import Contest, Run, Table, main, publish, render, wandb_record
from dotally.experiment.identity import resolved_spec
from dotally.experiment.latex import latex
from dotally.experiment.push import push
from dotally.experiment.report import report
from dotally.experiment.results import Result, find_results
from dotally.experiment.wandb_results import load

HELPERS = runpy.run_path(str(Path(__file__).with_name("wandb_server.py")))
server, fabricate = HELPERS["server"], HELPERS["fabricate"]


def rendered(table: Table, results: list[Result]) -> list[str]:
    cells = report(table, results, (0, 1))
    return [
        render.markdown(table, cells),
        latex(table, cells),
        render.long_csv(cells),
        render.records(table, cells),
    ]


def test_the_report_is_byte_identical_through_the_real_client(server: Any, table: Table, tmp_path: Path) -> None:
    cell = table.cells[1]
    assert isinstance(cell, Run)
    for seed in (0, 1):
        fabricate(tmp_path / f"net.crowd/seed{seed}", seed=seed, spec=resolved_spec(cell))
    fabricate(tmp_path / "mean.crowd/seed0", row="mean")  # of a specification that has changed since
    local = [result for _, result in find_results(tmp_path)]
    assert push([tmp_path], project="dotally", entity="me") == 0
    remote = load("wandb:me/dotally", table.id)
    assert sorted(remote, key=lambda r: r.key) == sorted(local, key=lambda r: r.key)
    assert rendered(table, remote) == rendered(table, local)


class StandIn:
    """``wandb.Api``: runs whose config may be wrapped, whose numbers have lost their types, and whose summary hides."""

    def __init__(self, *runs: Any) -> None:
        self.found = runs

    def runs(self, path: str, filters: dict[str, Any], order: str) -> list[Any]:
        assert (path, order) == ("me/dotally", "+created_at")
        assert {"config.table": "tiny"} in filters["$and"]
        return list(self.found)


def run_of(result: Result, *, created: str = "2026-01-01T00:00:00Z", state: str = "finished", **summary: Any) -> Any:
    config = {name: {"value": float(v) if type(v) is int else v} for name, v in wandb_record.config(result).items()}
    answers = wandb_record.summary(result) | {"pictures/test": {"_type": "table-file"}, "_runtime": 3, **summary}
    numbers = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in answers.items()}
    hidden = SimpleNamespace(_json_dict=json.loads(json.dumps(numbers)))
    return SimpleNamespace(id="abc", state=state, created_at=created, config=config, summary=hidden)


def test_lost_types_and_wrapped_values_are_restored(tmp_path: Path) -> None:
    result = fabricate(tmp_path)
    (found,) = load("wandb:me/dotally", "tiny", StandIn(run_of(result)))
    assert found == result
    assert isinstance(found.seed, int)
    assert all(isinstance(value, float) for value in found.metrics.values())


def test_the_newest_finished_run_counts(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    old = fabricate(tmp_path)
    new = replace(old, data="another", key="another")
    running = replace(old, key="running")
    runs = [run_of(new, created="2026-02-01"), run_of(old), run_of(running, created="2026-03-01", state="running")]
    assert load("wandb:me/dotally", "tiny", StandIn(*runs)) == [new]
    assert "an older run of net.crowd seed 0 ignored" in capsys.readouterr().err


def test_foreign_runs_are_named_and_ignored(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    foreign = SimpleNamespace(id="x", state="finished", created_at="", config={"table": "tiny"}, summary={})
    result = fabricate(tmp_path)
    assert load("wandb:me/dotally", "tiny", StandIn(foreign, run_of(result))) == [result]
    assert "run x ignored" in capsys.readouterr().err


def test_a_record_of_another_format_is_refused(tmp_path: Path) -> None:
    result = fabricate(tmp_path)
    config = wandb_record.config(result) | {"format": 99}
    with pytest.raises(DataError, match="format 99"):
        wandb_record.read_back(config, wandb_record.summary(result))


@pytest.mark.parametrize("source", ["wandb:me", "wandb:", "me/dotally", "wandb:a/b/c"])
def test_a_source_that_names_no_project_is_wrong_use(source: str) -> None:
    with pytest.raises(DotallyError, match="wandb:ENTITY/PROJECT"):
        load(source, "tiny", StandIn())


def test_a_server_that_refuses_is_one_line() -> None:
    class Refusing(StandIn):
        def runs(self, path: str, filters: dict[str, Any], order: str) -> list[Any]:
            raise ValueError("Could not find project dotally")

    with pytest.raises(DotallyError, match=r"wandb:me/dotally: Could not find project dotally"):
        load("wandb:me/dotally", "tiny", Refusing())


def test_words_about_two_rows_need_no_local_files(
    server: Any, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    net = table.cells[1]
    assert isinstance(net, Run)
    rows = [replace(net, row=row) for row in ("net", "other")]
    table = replace(table, cells=rows, contest=Contest(challenger="other", baseline="net"), seeds=(0, 1, 2))
    monkeypatch.setattr(publish, "ROOT", tmp_path / "checkout")
    local, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    for cell in rows:
        for seed in (0, 1, 2):
            fabricate(local / f"tiny/{cell.cell}/seed{seed}", row=cell.row, seed=seed, spec=resolved_spec(cell))
    assert push([local], project="dotally", entity="me") == 0
    assert main(table, arguments=["--report", "--runs", str(local)]) == 0
    assert main(table, arguments=["--report", "--from", "wandb:me/dotally", "--runs", str(elsewhere)]) == 0
    written = [
        {path.name: path.read_bytes() for path in (runs / "tiny").glob("table.*")} for runs in (local, elsewhere)
    ]
    assert written[0] == written[1]
    assert b"no difference from net beyond seed noise" in written[0]["table.md"]
    capsys.readouterr()
    server.files.clear()
    assert main(table, arguments=["--report", "--from", "wandb:me/dotally", "--runs", str(elsewhere)]) == 0
    said = capsys.readouterr()
    assert said.err.count("wandb:me/dotally: no predictions of ") == 6
    assert "no statement against net" in said.out
