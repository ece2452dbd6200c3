"""Localization in a table: one training, a row for every method, all of it on a few shapes; real code, seconds."""

import json
import runpy
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dotally.data import SyntheticCrowd, SyntheticShapes
from dotally.errors import DataError
from dotally.experiment import (
    Cell,
    Localization,
    Method,
    Run,
    Table,
    Value,
    execute,
    publish,
    render,
    verify,
    wandb_record,
)
from dotally.experiment.execute import Options, plan
from dotally.experiment.identity import deciding_modules, resolved_spec
from dotally.experiment.latex import latex
from dotally.experiment.localization import is_row_of, results_of, rows_of
from dotally.experiment.localization_answers import Answer, overlaps, read_answers, recompute_answers, write_answers
from dotally.experiment.probe import PICTURES, probe
from dotally.experiment.push import push
from dotally.experiment.report import report
from dotally.experiment.results import Result, find_results
from dotally.experiment.script import main
from dotally.stnet import BoxRule
from dotally.tasks import CountingTask, LocalizationTask
from dotally.tasks.localization_scores import run_method

server = runpy.run_path(str(Path(__file__).with_name("wandb_server.py")))["server"]
METHODS = {
    "stnet": Method(kind="stnet", stop="features.7", rule=BoxRule()),
    "cam": Method(kind="cam"),
    "centre": Method(kind="centre"),
    "whole": Method(kind="whole"),
}
SIZES = {"pictures": 16, "val_pictures": 5, "test_pictures": 7}


@pytest.fixture(scope="module")
def run() -> Localization:
    return Localization(
        row="net",
        column="shapes",
        task=partial(LocalizationTask, model_kwargs={"width": 0.25}, schedule="one-cycle", pointing_tolerance=2.0),
        data=partial(SyntheticShapes, batch_size=8, eval_batch_size=4, **SIZES),
        max_epochs=2,
        methods=METHODS,
        paper={"whole/gt_known_25": Value(value=90.0, source="nowhere")},
    )


def table_of(*cells: Cell) -> Table:
    shown = ("label_accuracy", "gt_known_25", "gt_known_50", "max_box_acc_v2", "pointing", "threshold")
    return Table(id="tiny", title="A tiny table", source="test", cells=cells, metrics=shown, seeds=(0, 1))


@pytest.fixture(scope="module")
def runs(run: Localization, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds, run once for all tests."""
    folder = tmp_path_factory.mktemp("runs")
    assert main(table_of(run), arguments=["--runs", str(folder), "--accelerator", "cpu", "--wandb", "off"]) == 0
    return folder


def found(runs: Path) -> list[tuple[Path, Result]]:
    return list(find_results(runs / "tiny"))


def test_a_seed_is_trained_once_and_judges_every_method_on_the_same_boxes(run: Localization, runs: Path) -> None:
    results = found(runs)
    assert [result.seed for _, result in results] == [0, 1]
    for path, result in results:
        answers = read_answers(path.with_name("predictions.csv"))
        assert len(answers) == result.facts["pictures"] == 7
        assert all(list(answer.found) == list(METHODS) for answer in answers)
        assert all(answer.found["whole"] == (0, 0, 63, 63) for answer in answers)
        assert {name: result.metrics[name] for name in recompute_answers(answers)} == recompute_answers(answers)
        assert path.with_name("metrics.csv").read_text().count("\n") == 3


def test_thresholds_are_those_of_validation_and_stand_in_the_record(runs: Path) -> None:
    for _, result in found(runs):
        assert set(result.facts["thresholds"]) == {"cam", "centre"}
        for name, threshold in result.facts["thresholds"].items():
            assert result.metrics[f"{name}/threshold"] == pytest.approx(threshold, abs=1e-6)
        assert "nothing tuned" in result.facts["methods"]["stnet"]
        assert {"cam/pointing", "cam/max_box_acc_v2", "whole/max_box_acc_v2"} <= set(result.metrics)
        assert "whole/pointing" not in result.metrics


def test_pictures_with_boxes_stay_in_the_run_folder(runs: Path) -> None:
    for path, _ in found(runs):
        with Image.open(path.with_name("pictures.png")) as sheet:
            assert sheet.width > 300


def test_a_report_has_a_row_for_the_network_and_one_for_every_method(run: Localization, runs: Path) -> None:
    table, results = table_of(run), [result for _, result in found(runs)]
    cells = report(table, results, (0, 1))
    assert [cell.cell.row for cell in cells] == ["net", *(f"net/{name}" for name in METHODS)]
    network, cam = cells[0], cells[2]
    assert len(network.figures["label_accuracy"].values) == 2
    assert network.figures["gt_known_50"].mean is None
    expected = [result.metrics["cam/gt_known_50"] for result in results]
    assert list(cam.figures["gt_known_50"].values) == expected
    assert cells[-1].figures["gt_known_25"].verdict == "off"
    assert cells[-1].failings() == ["net/whole.shapes: gt_known_25 is off"]
    assert [result.key for result in cam.results] == [result.key for result in results]
    text = render.markdown(table, cells)
    assert "| net/cam |" in text
    assert "±" in text
    assert "net/stnet.shapes: STNet at features.7; box around sum over channels" in text
    assert "net/cam" in latex(table, cells)
    assert "net/cam" in render.long_csv(cells)


def test_done_is_done(run: Localization, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path, _ in found(runs)}
    flags = ["--runs", str(runs), "--accelerator", "cpu", "--wandb", "off", "--only", "net", "--check"]
    assert main(table_of(run), arguments=flags) == 1
    assert "net/whole.shapes: gt_known_25 is off" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path, _ in found(runs)} == before


def test_two_methods_are_compared_picture_by_picture(
    run: Localization, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--runs", str(runs), "--compare", "net/centre", "net/whole.shapes"]
    assert main(table_of(run), arguments=flags) == 0
    told = capsys.readouterr().out
    expected = [
        overlaps(read_answers(path.with_name("predictions.csv")), "centre").mean().item() for path, _ in found(runs)
    ]
    assert f"mean IoU {100 * sum(expected) / 2:.1f} % against" in told
    assert "7 pictures, 2 and 2 seeds" in told
    assert main(table_of(run), arguments=["--runs", str(runs), "--compare", "net", "net/cam"]) == 2
    assert "compare its methods, net/stnet, net/cam" in capsys.readouterr().err


def test_a_method_is_part_of_the_identity_and_a_row_is_not(run: Localization) -> None:
    other = replace(run, methods={**METHODS, "cam": Method(kind="cam", blur=0.1)})
    assert resolved_spec(other) != resolved_spec(run)
    for row in rows_of(run):
        assert not isinstance(row, Localization) or resolved_spec(row) == resolved_spec(run)
        assert is_row_of(row, run)
        assert not is_row_of(row, replace(run, row="other"))


def test_the_top_down_pass_decides_a_localization_and_nothing_else(run: Localization) -> None:
    assert {"dotally.stnet", "dotally.experiment.localization_methods"} <= set(deciding_modules(run))
    counting = Run(row="net", column="crowd", task=CountingTask, data=SyntheticCrowd, max_epochs=1)
    assert not any("stnet" in module or "localization" in module for module in deciding_modules(counting))
    assert "methods" not in resolved_spec(counting)


def test_other_results_are_their_own_only_row(runs: Path) -> None:
    result = found(runs)[0][1]
    counted = replace(result, spec={"kind": "mean"})
    assert results_of(counted) == [counted]


def test_what_is_published_can_be_verified(
    run: Localization, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    table = table_of(run)
    publish.publish("tiny", report(table, [result for _, result in found(runs)], (0, 1)), runs)
    folder = tmp_path / "experiments/results/tiny/net.shapes"
    assert sorted(path.name for path in (folder / "seed0").iterdir()) == ["metrics.csv", "predictions.csv", "run.json"]
    monkeypatch.setattr(verify, "load_tables", lambda *_: {"tiny": table})
    assert verify.verify(tmp_path).differences == []
    answers = read_answers(folder / "seed1" / "predictions.csv")
    moved = [replace(answer, found={**answer.found, "cam": answer.true[0]}) for answer in answers]
    write_answers(folder / "seed1" / "predictions.csv", moved)
    differences = verify.verify(tmp_path).differences
    assert differences
    assert all("seed1: cam/" in line and "by predictions.csv" in line for line in differences)


def test_a_pushed_run_is_the_record_of_its_files(server: Any, runs: Path, tmp_path: Path) -> None:
    path, result = found(runs)[0]
    shutil.copytree(path.parent, tmp_path / "seed0", ignore=shutil.ignore_patterns("checkpoints"))
    assert push([tmp_path], project="dotally") == 0
    (run,) = server.runs.values()
    assert run["state"] == "finished"
    assert len([row for row in run["history"] if "train/loss" in row]) == 2
    summary = json.loads(run["summary"])
    assert wandb_record.read_back(json.loads(run["config"]), summary) == result
    assert summary["test/cam/gt_known_50"] == result.metrics["cam/gt_known_50"]
    # name, label, predicted and annotated box, then a figure and a box for each method
    assert (summary["pictures/test"]["nrows"], summary["pictures/test"]["ncols"]) == (7, 4 + 2 * len(METHODS))
    assert "predictions" in [artifact["artifactTypeName"] for artifact in server.artifacts]


def test_an_interrupted_training_goes_on(run: Localization, runs: Path, tmp_path: Path) -> None:
    options = Options(runs=tmp_path, accelerator="cpu", progress=False)
    half = plan("tiny", replace(run, max_epochs=1), 0, options)
    whole = plan("tiny", run, 0, options)
    assert half.key != whole.key
    execute.execute(whole, options)
    # judged again from the checkpoints, without another epoch
    whole.folder.result.unlink()
    again = execute.execute(whole, options)
    first = next(result for _, result in found(runs) if result.seed == 0)
    assert again.metrics == pytest.approx(first.metrics, abs=1e-6)


def test_maps_need_validation_boxes(run: Localization, tmp_path: Path) -> None:
    class TestOnly(SyntheticShapes):
        def splits(self) -> Any:
            return ("test",)

    options = Options(runs=tmp_path, accelerator="cpu", progress=False)
    untuned = {name: method for name, method in METHODS.items() if not method.tuned}
    data = partial(TestOnly, **SIZES)
    cell = replace(run, data=data, max_epochs=0, methods=untuned)
    assert execute.execute(plan("tiny", cell, 0, options), options).facts["thresholds"] == {}
    cell = replace(run, data=data, max_epochs=0)
    with pytest.raises(DataError, match="cam, centre: thresholds are tuned on validation boxes"):
        execute.execute(plan("tiny", cell, 0, options), options)


def test_a_plan_times_the_methods_as_well(run: Localization) -> None:
    assert probe(run, Options(accelerator="cpu", progress=False)).seconds > 0


def test_a_plan_looks_at_a_few_pictures_whatever_the_batch(run: Localization, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def look(name: str, method: Any, model: Any, prepare: Any, batch: Any) -> Any:
        seen.append(len(batch["name"]) if name == "cam" else 0)
        return run_method(name, method, model, prepare, batch)

    monkeypatch.setattr("dotally.tasks.localization.run_method", look)
    large = partial(SyntheticShapes, eval_batch_size=32, **{**SIZES, "val_pictures": 32})
    probe(replace(run, data=large, max_epochs=0), Options(accelerator="cpu", progress=False))
    assert PICTURES <= sum(seen) < 2 * PICTURES


def test_a_plan_without_training_pictures_times_test_pictures(run: Localization) -> None:
    class TestOnly(SyntheticShapes):
        def splits(self) -> Any:
            return ("test",)

        def records(self, split: Any) -> Any:
            if split != "test":
                raise DataError(f"no {split} pictures")
            return super().records(split)

    untuned = {name: method for name, method in METHODS.items() if not method.tuned}
    options = Options(accelerator="cpu", progress=False)
    cell = replace(run, data=partial(TestOnly, batch_size=8, eval_batch_size=2, **SIZES), max_epochs=0, methods=untuned)
    assert probe(cell, options).seconds > 0
    with pytest.raises(DataError, match="cam, centre: thresholds are tuned on validation boxes"):
        probe(replace(cell, methods=METHODS), options)
    with pytest.raises(DataError, match="no train pictures"):
        probe(replace(cell, max_epochs=1), options)


def test_a_method_whose_requirement_is_missing_leaves_its_row_empty(
    run: Localization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dotally.experiment.localization_methods._has_captum", lambda: False)
    methods = {"whole": METHODS["whole"], "guided": Method(kind="guided_grad_cam")}
    cell = replace(run, max_epochs=1, methods=methods, paper={})
    options = Options(runs=tmp_path, accelerator="cpu", progress=False)
    result = execute.execute(plan("tiny", cell, 0, options), options)
    assert "pip install 'dotally[baselines]'" in result.facts["methods"]["guided"]
    assert result.facts["thresholds"] == {}
    assert not any(name.startswith("guided/") for name in result.metrics)
    table = table_of(cell)
    rows = report(table, [result], (0,))
    assert rows[-1].figures["gt_known_50"].mean is None
    assert "dotally[baselines]" in rows[-1].remarks[0]
    monkeypatch.undo()
    assert resolved_spec(cell) == result.spec, "what is installed is not part of who a run is"


def test_methods_look_at_validation_pictures_once_and_not_every_epoch(
    run: Localization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs of two steps of 30 s, each validated by 5 pictures in thirds of a step of 8; 5 to tune, 7 to test."""
    monkeypatch.setattr("dotally.experiment.probe._network_seconds", lambda *_: (30.0, 1.0))
    expected = 2 * 2 * 30 + 2 * 5 / 8 * 10 + 5 + 7
    assert probe(run, Options(accelerator="cpu")).seconds == pytest.approx(expected)


def test_boxes_read_back_exactly_and_a_damaged_line_is_named(tmp_path: Path) -> None:
    box = tuple(torch.tensor([1 / 3, 2.0, 100.123456, 223.0]).tolist())
    answers = [
        Answer(name="a, b.JPEG", label=3, predicted=1, true=(box, (0.0, 0.0, 5.0, 5.0)), found={"cam": box}),
        Answer(name="c", label=1, predicted=1, true=(box,), found={"cam": (0.0, 0.0, 1.0, 1.0)}),
    ]
    path = tmp_path / "predictions.csv"
    write_answers(path, answers)
    read = read_answers(path)
    assert torch.tensor([a.true[0] for a in read]).equal(torch.tensor([a.true[0] for a in answers]))
    assert [(a.name, a.label, a.predicted, len(a.true)) for a in read] == [("a, b.JPEG", 3, 1, 2), ("c", 1, 1, 1)]
    figures = recompute_answers(answers)
    assert (figures["label_accuracy"], figures["cam/gt_known_75"], figures["cam/top1_75"]) == (50, 50, 0)
    path.write_text(path.read_text().replace("0 0 1 1", "0 0 1"))
    with pytest.raises(DataError, match="line 3"):
        read_answers(path)


def test_a_mirrored_run_tells_its_boxes(run: Localization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb_boxes = pytest.importorskip("dotally.experiment.wandb_boxes")
    logged: dict[str, Any] = {}

    def keep(logger: Any, answers: Any, pictures: Any, log: Callable[..., None] = wandb_boxes.log_answers) -> None:
        logged.update(answers=len(answers), pictures=len(pictures), boxes=wandb_boxes._boxes(answers[0]))
        log(logger, answers, pictures)

    monkeypatch.setattr(wandb_boxes, "log_answers", keep)
    options = Options(runs=tmp_path, accelerator="cpu", progress=False, wandb="offline")
    job = plan("tiny", replace(run, max_epochs=1), 0, options)
    execute.execute(job, options)
    assert "Weights & Biases" not in (job.folder.path / "log.txt").read_text()
    assert (logged["answers"], logged["pictures"]) == (7, 7)
    assert set(logged["boxes"]) == {"annotated", *METHODS}
    json.dumps(logged["boxes"])
    (path,) = job.folder.path.glob("wandb/offline-run-*/files/media/table/pictures/*.json")
    columns = ["name", "picture", "label", "predicted", *METHODS, "annotated box"]
    table = json.loads(path.read_text())
    assert table["columns"] == [*columns, *(f"{name} box" for name in METHODS)]
    assert len(table["data"]) == 7
