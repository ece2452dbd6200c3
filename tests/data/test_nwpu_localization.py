"""The lists of NWPU-Crowd's evaluation of localized heads."""

from pathlib import Path

import pytest

from dotally.data.nwpu_localization import read_head_predictions, read_head_truth
from dotally.errors import AnnotationError


def test_truth_and_predictions_are_read_by_picture(tmp_path: Path) -> None:
    truth, predictions = tmp_path / "gt.txt", tmp_path / "pred.txt"
    truth.write_text("3110 2 10 20 4 8 1 30 40 5 9 3\n3111 0\n")
    predictions.write_text("3110 1 11.5 20 \n3111 0\n")
    heads = read_head_truth(truth)
    assert heads[3110].points.tolist() == [[10, 20], [30, 40]]
    assert heads[3110].sigma_small.tolist() == [4, 5]
    assert heads[3110].sigma_large.tolist() == [8, 9]
    assert heads[3110].level.tolist() == [1, 3]
    assert heads[3111].points.shape == (0, 2)
    found = read_head_predictions(predictions)
    assert found[3110].tolist() == [[11.5, 20]]
    assert found[3111].shape == (0, 2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3111 2 1 2", "2 heads take 4 numbers, got 2"),
        ("3111", "an id and a count first"),
        ("3111 1 a b", "should be numbers"),
        ("3111 1 nan 2", "finite"),
        ("3111.5 0", "whole id"),
        ("3110 0", "picture 3110 was on a line before"),
        ("3111 -1", "-1 heads take -2 numbers"),
        ("inf 0", "whole id"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "pred.txt"
    path.write_text(f"3110 0\n{line}\n")
    with pytest.raises(AnnotationError, match=rf"pred\.txt: line 2: .*{message}"):
        read_head_predictions(path)
