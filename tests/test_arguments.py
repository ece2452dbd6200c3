"""What is typed as a number is one, or a line says which numbers fit."""

import argparse
from collections.abc import Callable

import pytest

from dotally.arguments import fraction, number, positive, share, whole
from dotally.cli import main


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (whole(0), "0", 0),
        (whole(1, 3), "3", 3),
        (positive, "0.5", 0.5),
        (share, "0", 0.0),
        (fraction, "0.2", 0.2),
        (number, "-1e3", -1000.0),
    ],
)
def test_numbers_in_range(parse: Callable[[str], float], text: str, value: float) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (whole(0), "a", "must be a whole number, got a"),
        (whole(0), "1.5", "must be a whole number, got 1.5"),
        (whole(1), "0", "must be at least 1, got 0"),
        (whole(0, 9), "10", "must be from 0 to 9, got 10"),
        (positive, "0", "must be a positive number, got 0"),
        (positive, "inf", "must be a positive number, got inf"),
        (positive, "nan", "must be a positive number, got nan"),
        (positive, "ten", "must be a number, got ten"),
        (share, "1", "must be a share, at least 0 and less than 1, got 1"),
        (fraction, "0", "must lie within 0 and 1, got 0"),
    ],
)
def test_others_are_told_which_fit(parse: Callable[[str], float], text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        parse(text)


def test_a_command_names_the_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "photos", "--max-megapixels", "ten"])
    assert "argument --max-megapixels: must be a number, got ten" in capsys.readouterr().err
