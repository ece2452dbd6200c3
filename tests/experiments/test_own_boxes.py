"""Pictures of one's own from the folder to boxes: checked, learnt by labels, judged, drawn, and localized again."""

import csv
import json
import runpy
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dotally import cli
from dotally.data import BoxFolder
from dotally.experiment import Localization, Table, main
from dotally.experiment.localization_answers import read_answers

HERE = Path(__file__).parent
SCRIPT = runpy.run_path(str(HERE.parents[1] / "experiments" / "own_boxes.py"))
BOXES = runpy.run_path(str(HERE / "fabricated_boxes.py"))


@pytest.fixture
def fabricated(tmp_path: Path) -> Path:
    return BOXES["own_boxes_tree"](tmp_path / "mine")


@pytest.fixture
def photographs(data_root: list[Path], tmp_path: Path) -> Path:
    """32 raccoons beside three photographs of Pascal VOC 2011."""
    for name in ("raccoon", "voc2011_labelme"):
        found = [root / name for root in data_root if (root / name).is_dir()]
        if not found:
            pytest.skip(f"no {name} below DOTALLY_DATA_ROOT")
        shutil.copytree(found[0], tmp_path / "mine" / name)
    return tmp_path / "mine"


def table_of(folder: Path) -> Table:
    """The script's, for another folder: one epoch and four methods."""
    table: Table = SCRIPT["TABLE"]
    (cell,) = table.cells
    assert isinstance(cell, Localization)
    names = BoxFolder(folder).class_names()
    task = partial(cell.task, model_kwargs={"num_classes": len(names), "width": 1 / 16})
    chosen = {name: cell.methods[name] for name in ("stnet", "cam", "centre", "whole")}
    data = partial(cell.data.func, folder, **{**cell.data.keywords, "classes": names})  # type: ignore[attr-defined]
    return replace(table, cells=[replace(cell, task=task, data=data, max_epochs=1, methods=chosen)], seeds=(0,))


@pytest.mark.parametrize("tree", ["fabricated", pytest.param("photographs", marks=pytest.mark.real)])
def test_a_folder_of_ones_own_goes_all_the_way(tree: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder: Path = request.getfixturevalue(tree)
    assert cli.main(["data", "verify", str(folder)]) == 0
    table = table_of(folder)
    assert main(table, arguments=["--runs", str(tmp_path / "runs"), "--accelerator", "cpu", "--wandb", "off"]) == 0
    (result,) = (tmp_path / "runs").rglob("run.json")
    metrics = json.loads(result.read_text())["metrics"]
    assert {"label_accuracy", "stnet/gt_known_50", "cam/max_box_acc_v2", "cam/pointing"} <= set(metrics)
    answers = read_answers(result.with_name("predictions.csv"))
    held_out = BoxFolder(folder, framing="warp", side=64).records("test")
    assert [(one.name, len(one.true)) for one in answers] == [(one.name, len(one.boxes)) for one in held_out]
    with Image.open(result.with_name("pictures.png")) as sheet:
        assert sheet.width > 300
    judge(folder, result.parent / "checkpoints" / "best.ckpt", tmp_path)


def judge(folder: Path, checkpoint: Path, out: Path) -> None:
    """What was learnt is taken to the pictures at their own size, beside the annotated boxes."""
    (out / "names.txt").write_text("\n".join(BoxFolder(folder).class_names()))
    words: list[Any] = [folder, "--weights", checkpoint, "--truth", folder, "--classes", out / "names.txt"]
    words += ["--target", "annotated", "--method", "cam", "--overlay", "none", "--out", out / "found"]
    assert cli.main(["localize", *map(str, words)]) == 0
    with (out / "found" / "boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [row["annotated"] for row in rows]
    truth = json.loads((out / "found" / "summary.json").read_text())["truth"]
    assert truth["pictures"] == len(rows)
    assert truth["share_at_0.5"] == pytest.approx(sum(float(row["iou"]) >= 0.5 for row in rows) / len(rows), abs=1e-3)


def test_one_class_is_refused_before_anything_is_trained(
    fabricated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in fabricated.glob("*.xml"):
        path.write_text(path.read_text().replace("<name>dog", "<name>cat"))
    words = ["--runs", str(tmp_path / "runs"), "--accelerator", "cpu", "--wandb", "off"]
    assert main(table_of(fabricated), arguments=words) != 0
    printed = capsys.readouterr()
    assert "labels teach nothing where there is nothing to tell apart" in printed.err + printed.out
    assert not list((tmp_path / "runs").rglob("*.ckpt"))
