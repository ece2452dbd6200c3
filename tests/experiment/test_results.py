"""Results on disk: what is written reads back, what is damaged is named."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dotally.callbacks import Prediction
from dotally.errors import DataError
from dotally.experiment.results import (
    Result,
    find_results,
    read_predictions,
    recompute,
    unreadable,
    write_predictions,
)

RESULT = Result(
    table="tiny",
    row="net",
    column="crowd",
    seed=0,
    key="k",
    spec={"lr": 1e-5, "scale": [1.0, 1.0]},
    data="d",
    code="c",
    metrics={"mae": 0.1 + 0.2},
)


def test_a_result_reads_back_as_it_was(tmp_path: Path) -> None:
    RESULT.write(tmp_path / "run.json")
    assert Result.read(tmp_path / "run.json") == RESULT


def change(**changes: Any) -> Callable[[str], str]:
    return lambda text: json.dumps(json.loads(text) | changes)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "not a complete result"),
        (lambda text: "", "not a complete result"),
        (lambda text: "[1, 2]", "not a complete result"),
        (lambda text: "null", "not a complete result"),
        (change(format=2), "written in format 2, this version reads 1: run again"),
        (change(surprise=1), "not a complete result"),
        (change(metrics={"mae": "low"}), "not a complete result"),
        (change(metrics={"mae": math.nan}), "not a complete result"),
        (change(metrics=None), "not a complete result"),
    ],
)
def test_damage_is_one_clear_line(damage: Callable[[str], str], words: str, tmp_path: Path) -> None:
    path = tmp_path / "net.crowd" / "seed0" / "run.json"
    RESULT.write(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=words) as caught:
        Result.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert unreadable(tmp_path) == [str(caught.value)]
    assert list(find_results(tmp_path)) == []


def test_one_damaged_result_hides_no_other(tmp_path: Path) -> None:
    for seed in (0, 1):
        replace(RESULT, seed=seed).write(tmp_path / "net.crowd" / f"seed{seed}" / "run.json")
    (tmp_path / "net.crowd" / "seed0" / "run.json").write_text("{")
    assert [result.seed for _, result in find_results(tmp_path)] == [1]
    assert len(unreadable(tmp_path)) == 1


def test_predictions_read_back_to_the_last_bit(tmp_path: Path) -> None:
    predictions = [Prediction('odd, "name".jpg', 7, 0.1 + 0.2), Prediction("y.jpg", 0, -1e-17)]
    write_predictions(tmp_path / "p.csv", predictions)
    assert read_predictions(tmp_path / "p.csv") == predictions


@pytest.mark.parametrize("line", ["x.jpg,7", "x.jpg,seven,7.0", "x.jpg,7,much"])
def test_a_damaged_line_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(f"name,true,predicted\na.jpg,1,1.0\n{line}\n")
    with pytest.raises(DataError, match="line 3: not name,true,predicted"):
        read_predictions(tmp_path / "p.csv")


def test_what_was_cut_inside_its_last_number_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    write_predictions(path, [Prediction("a.jpg", 1, 1.25), Prediction("b.jpg", 10, 123.5)])
    path.write_text(path.read_text()[:-4])
    with pytest.raises(DataError, match=r"p\.csv, line 3: cut off: restore the file"):
        read_predictions(path)


def test_missing_predictions_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_predictions(tmp_path / "p.csv")


def test_figures_follow_from_predictions() -> None:
    figures = recompute([Prediction("a", 10, 12.0), Prediction("b", 20, 16.0)])
    assert figures["mae"] == 3.0
    assert figures["rmse"] == pytest.approx(math.sqrt(10))
    assert figures["bias"] == -1.0
    # a slope of 0.4 makes 30 of 12 and 40 of 16
    assert figures["corrected_mae"] == pytest.approx(20.0)


def test_without_a_slope_there_is_no_corrected_figure() -> None:
    assert "corrected_mae" not in recompute([Prediction("a", 10, 12.0), Prediction("b", 20, 12.0)])
