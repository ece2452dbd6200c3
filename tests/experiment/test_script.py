"""The command line of a table script: what it runs, what it prints, and how it leaves."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from dotally.errors import DataError
from dotally.experiment import Run, Table, main, publish
from dotally.experiment.execute import Options
from dotally.experiment.results import Result, find_results

Script = Callable[..., int]


@pytest.fixture
def run(table: Table, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Call the table's script as its user would; published results go to a checkout of their own."""
    monkeypatch.setattr(publish, "ROOT", tmp_path / "checkout")
    monkeypatch.delenv("DOTALLY_DATA_ROOT", raising=False)

    def script(*arguments: str, table: Table = table, wandb: str = "off") -> int:
        machine = ["--runs", str(options.runs), "--accelerator", "cpu", "--wandb", wandb]
        return main(table, arguments=[*arguments, *machine])

    return script


def network(table: Table) -> Run:
    cell = table.cells[1]
    assert isinstance(cell, Run)
    return cell


def missing(**_: object) -> None:
    raise DataError("no ShanghaiTech below nowhere: see `dotally data list`")


def without_data(table: Table) -> Table:
    """Give every cell a data module that knows its arguments and finds no files."""
    cells = []
    for cell in table.runnable():
        made = cell.data()

        def data(*, made: object = made, **options: object) -> object:
            if options:
                missing()
            return made

        cells.append(replace(cell, data=data))  # type: ignore[arg-type]
    return replace(table, cells=cells)


def broken(table: Table) -> Table:
    """Give the network a task that breaks when it is trained."""
    cell = network(table)
    return replace(table, cells=[table.cells[0], replace(cell, trainer={"gradient_clip_val": "no number"})])


def test_runs_what_has_no_result_and_nothing_twice(
    run: Script, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--seeds", "0") == 0
    first = capsys.readouterr()
    assert "net.crowd seed 0: started" in first.err
    assert "1 seed" in first.out
    assert {path.name for path in (options.runs / "tiny").glob("table.*")} == {
        "table.md",
        "table.tex",
        "table.csv",
        "table.json",
    }
    assert run("--seeds", "0") == 0
    assert "started" not in capsys.readouterr().err


def test_what_is_run_again_says_what_has_changed(run: Script, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--only", "mean") == 0
    median = replace(table, cells=[replace(table.cells[0], kind="median")])  # type: ignore[call-arg]
    capsys.readouterr()
    assert run("--only", "mean", table=median) == 0
    assert "mean.crowd seed 0: spec changed: kind: mean -> median" in capsys.readouterr().err


def test_two_cells_of_one_name_are_one_line(run: Script, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(table=replace(table, cells=[table.cells[0], table.cells[0]])) == 2
    assert capsys.readouterr().err == "error: tiny: two cells are named mean.crowd: give each a row of its own\n"


def test_a_script_may_start_with_some_of_its_rows(capsys: pytest.CaptureFixture[str], table: Table) -> None:
    def printed(*arguments: str) -> list[str]:
        assert main(table, seeds=(0,), only=("mean",), arguments=["--launch", "print", *arguments]) == 0
        out = capsys.readouterr().out
        return [cell for cell in ("mean.crowd", "net.crowd") if cell in out]

    assert printed() == ["mean.crowd"]
    assert printed("--only", "net") == ["net.crowd"]
    assert printed("--seeds", "1") == ["mean.crowd", "net.crowd"]


def test_a_failure_is_listed_with_its_log_and_costs_the_others_nothing(
    run: Script, table: Table, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--seeds", "0", table=broken(table)) == 1
    said = capsys.readouterr().err
    assert "failed: net.crowd seed 0: " in said
    assert said.count("\n    ") >= 2, "the last lines of the log"
    assert [result.cell for _, result in find_results(options.runs / "tiny")] == ["mean.crowd"]


def test_without_any_data_there_is_one_clear_line_and_no_table(
    run: Script, table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(table=without_data(table)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: no ShanghaiTech below nowhere: see `dotally data list`\n"


def test_the_plan_is_printed_without_data_too(run: Script, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--plan", table=without_data(table)) == 0
    said = capsys.readouterr().out
    assert "cannot run here: no ShanghaiTech below nowhere" in said
    assert said.count("no ShanghaiTech") == 1
    assert "30.0" in said
    assert "nowhere" in said


def test_one_batch_of_everything_goes_through_and_leaves_nothing(run: Script, options: Options) -> None:
    assert run("--fast-dev-run") == 0
    assert not options.runs.exists()


def test_fast_dev_run_tries_every_cell(run: Script, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [network(broken(table)), replace(network(table), row="sound")]
    assert run("--fast-dev-run", table=replace(table, cells=cells)) == 1
    said = capsys.readouterr().err
    assert "failed: net.crowd" in said
    assert "sound.crowd: one batch of everything went through" in said


def test_show_prints_the_resolved_specification(run: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--show", "net.crowd") == 0
    assert json.loads(capsys.readouterr().out)["task"]["arguments"]["lr"] == 1e-3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "nothing*"], "there are mean.crowd, net.crowd"),
        (["--show", "*"], "choose one of mean.crowd, net.crowd"),
        (["--compare", "mean", "net"], "mean.crowd has no result"),
        (["--from", "wandb:a/b"], "--from goes with --report"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, run: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--seeds", "-1"], ["--workers", "-1"], ["--accelerator", "abacus"], ["--jobs", "0"]]
)
def test_what_no_flag_takes_is_refused_before_anything_runs(
    arguments: list[str], table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(table, arguments=arguments)
    assert left.value.code == 2
    assert arguments[1] in capsys.readouterr().err.splitlines()[-1]


def test_a_seed_that_is_named_twice_counts_once(run: Script, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = replace(table, cells=[replace(network(table), max_epochs=1)])
    assert run("--seeds", "0", "0", table=drawn) == 0
    said = capsys.readouterr().out
    assert "1 seed" in said
    assert "±" not in said


@pytest.mark.parametrize("runs", ["file", "file/below"])
def test_runs_that_are_a_file_are_one_line(
    runs: str, table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(table, arguments=["--only", "mean", "--runs", str(tmp_path / runs)]) == 2
    assert capsys.readouterr().err.endswith(f"{tmp_path / 'file'} is a file, name a folder\n")


def test_a_disk_that_refuses_is_one_line(
    run: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("dotally.experiment.script.write_text", full)
    assert run("--report") == 1
    assert capsys.readouterr().err.endswith("table.md: No space left on device\n")


def test_a_folder_of_someone_else_is_one_line_with_a_remedy(
    run: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("dotally.experiment.script.write_text", refused)
    assert run("--report") == 1
    assert capsys.readouterr().err.endswith("table.md: Permission denied: name a folder of yours by --runs\n")


def test_a_replay_of_nothing_is_refused(run: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--replay") == 2
    assert "error: nothing to replay: no result of these cells and seeds in " in capsys.readouterr().err


def test_wandb_mode_is_taken_from_the_environment(
    table: Table, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    assert main(table, arguments=["--report", "--runs", str(options.runs)]) == 2
    assert "WANDB_MODE=sometimes: use online, offline or disabled" in capsys.readouterr().err
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert main(table, arguments=["--fast-dev-run", "--only", "mean", "--runs", str(options.runs)]) == 0


def test_a_report_of_nothing_says_so(run: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--report") == 1
    assert "error: no result of tiny yet: the same command without --report" in capsys.readouterr().err
    assert run("--report", "--seeds", "0", "99") == 1
    assert "error: no result of seed 99: the table's seeds are 0, 1\n" in capsys.readouterr().err


def test_every_pattern_has_to_match_a_cell(run: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--only", "mean", "nte", "--report") == 2
    assert capsys.readouterr().err == "error: no cell matches nte: there are mean.crowd, net.crowd\n"


def test_a_number_that_is_none_is_called_so(run: Script, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--seeds", "first")
    assert "argument --seeds: must be a whole number, got first" in capsys.readouterr().err


def test_check_runs_and_judges(run: Script, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--check", "--report", "--only", "net") == 1
    assert "check: net.crowd: mae is missing" in capsys.readouterr().err
    assert run("--check", "--only", "mean", "--seeds", "0") == 0, "nothing is printed for the mean"
    hopeless = replace(network(table), paper={"mae": replace(network(table).paper["mae"], value=0.001)})
    assert run("--check", "--seeds", "0", table=replace(table, cells=[hopeless])) == 1
    assert "mae is off" in capsys.readouterr().err


def test_results_that_cannot_be_read_are_named(
    run: Script, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--only", "mean") == 0
    ((path, result),) = find_results(options.runs / "tiny")
    path.write_text(path.read_text()[:100])
    capsys.readouterr()
    assert run("--report") == 1
    told = capsys.readouterr().err
    assert "left out: " in told
    assert "error: some results cannot be read, and the report is without them" in told
    assert run("--only", "mean", "--seeds", "0") == 2
    assert f"{path}: not a complete result" in capsys.readouterr().err
    replace(result, format=99).write(path)
    assert run("--report") == 1
    assert "written in format 99, this version reads 1: run again" in capsys.readouterr().err


def test_publishing_copies_what_a_reviewer_needs(run: Script, tmp_path: Path) -> None:
    assert run("--publish", "--seeds", "0") == 0
    folder = tmp_path / "checkout" / "experiments" / "results" / "tiny"
    assert {path.name for path in (folder / "net.crowd" / "seed0").iterdir()} == set(publish.FILES)
    assert {path.name for path in (folder / "mean.crowd" / "seed0").iterdir()} == {"run.json", "predictions.csv"}


def test_local_results_are_held_against_the_committed_ones(
    run: Script, table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--publish", "--only", "mean") == 0
    assert "committed values" not in capsys.readouterr().out, "they are what was just published"
    path = tmp_path / "checkout/experiments/results/tiny/mean.crowd/seed0/run.json"
    committed = Result.read(path)
    replace(committed, metrics=committed.metrics | {"mae": committed.metrics["mae"] * 1.01}).write(path)
    assert run("--check", "--only", "mean") == 0
    assert f"committed values: MAE {committed.metrics['mae'] * 1.01:.1f} -> match" in capsys.readouterr().out
    replace(committed, metrics=committed.metrics | {"mae": committed.metrics["mae"] / 2}).write(path)
    assert run("--check", "--only", "mean") == 1
    assert "mean.crowd: mae against the committed values is off" in capsys.readouterr().err


def test_committed_results_that_stand_in_say_so(
    run: Script, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--publish", "--only", "mean") == 0
    assert "not run here" not in capsys.readouterr().out
    shutil.rmtree(options.runs)
    assert run("--report", "--only", "mean") == 0
    assert "mean.crowd: not run here, committed results stand in: seed 0" in capsys.readouterr().out


@pytest.mark.parametrize("committed", [False, True])
def test_a_report_from_weights_and_biases_is_that_of_the_files(
    committed: bool, run: Script, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("--only", "mean", *(["--publish"] if committed else [])) == 0
    if committed:
        path = tmp_path / "checkout/experiments/results/tiny/mean.crowd/seed0/run.json"
        result = Result.read(path)
        replace(result, metrics=result.metrics | {"mae": result.metrics["mae"] * 1.01}).write(path)
    assert run("--report") == 0
    files = {path: path.read_bytes() for path in (options.runs / "tiny").glob("table.*")}
    assert (b"committed values" in files[options.runs / "tiny" / "table.md"]) is committed
    found = [result for _, result in find_results(options.runs / "tiny")]
    stub = ModuleType("wandb_results")
    stub.load = lambda source, name: found if (source, name) == ("wandb:me/mine", "tiny") else []  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "dotally.experiment.wandb_results", stub)
    assert run("--report", "--from", "wandb:me/mine") == 0
    assert {path: path.read_bytes() for path in files} == files


def test_compare_reads_the_results_at_hand(run: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--seeds", "0") == 0
    capsys.readouterr()
    assert run("--compare", "net", "mean") == 0
    said = capsys.readouterr().out
    assert "net.crowd against mean.crowd: 4 pictures, 1 and 1 seeds" in said
    assert "95 % interval" in said


def test_compare_warns_of_two_protocols(run: Script, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    evaluated = replace(network(table), max_epochs=0, protocol="unknown")
    mixed = replace(table, cells=[table.cells[0], evaluated])
    assert run("--seeds", "0", table=mixed) == 0
    assert run("--compare", "net", "mean", table=mixed) == 0
    assert "two protocols, so a difference may be that of the rule alone" in capsys.readouterr().err
