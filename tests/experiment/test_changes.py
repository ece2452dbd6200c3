"""The page "what changes this number": counts of altered choices in, rows with differences out."""

import json
from pathlib import Path

import pytest

from dotally.errors import DataError
from dotally.experiment.changes import CURVES, RESULTS, Change, Study, changes, read_studies, write_studies


@pytest.fixture
def study() -> Study:
    """Three pictures: errors of 10, 20 and 30 heads."""
    return Study(
        name="slim-B",
        network="a network",
        pictures="three pictures",
        names=["1.jpg", "2.jpg", "3.jpg"],
        true=[100.0, 100.0, 100.0],
        predicted=[110.0, 80.0, 130.0],
        changes=[
            Change(name="half", group="sum", what="halved", predicted=[55.0, 40.0, 65.0]),
            Change(name="more", group="truth", what="ten heads more", true=[110.0, 110.0, 110.0]),
            Change(name="fewer", group="pictures", what="without the last", true=[100.0, 100.0, None]),
        ],
    )


@pytest.fixture
def checkout(tmp_path: Path, study: Study) -> Path:
    write_studies(tmp_path / RESULTS, [study], {"python": "3"})
    curve = tmp_path / CURVES / "seed0" / "metrics.csv"
    curve.parent.mkdir(parents=True)
    errors = [*[30.0, 50.0] * 5, *[20.0, 22.0] * 5]
    curve.write_text("epoch,val/mae\n" + "".join(f"{epoch},{error}\n" for epoch, error in enumerate(errors)))
    return tmp_path


def test_what_is_written_is_read_again(study: Study, tmp_path: Path) -> None:
    study.predicted[0] = 110.123456
    write_studies(tmp_path / "s.json", [study, study], {"python": "3"})
    studies, environment = read_studies(tmp_path / "s.json")
    assert studies[0].predicted[0] == 110.1235
    study.predicted[0] = 110.1235
    assert studies == [study, study]
    assert environment == {"python": "3"}


def test_every_choice_is_told_by_what_it_adds(checkout: Path) -> None:
    lines = changes(checkout).splitlines()
    assert "| nothing |  | 20.00 |  | 21.60 |  | 3 |" in lines
    assert "| sum | halved | 46.67 | +26.67 | 47.78 | +26.18 | 3 |" in lines
    assert "| truth | ten heads more | 16.67 | -3.33 | 20.82 | -0.79 | 3 |" in lines
    assert "| pictures | without the last | 15.00 | -5.00 | 15.81 | -5.79 | 2 |" in lines


def test_the_spread_over_pictures_is_that_of_the_bootstrap(checkout: Path) -> None:
    line = next(line for line in changes(checkout).splitlines() if "drawn again" in line)
    sd = float(line.split("± ")[1].split()[0])
    assert sd == pytest.approx((200 / 3) ** 0.5 / 3**0.5, rel=0.1)  # of errors 10, 20 and 30, by sqrt(n)


def test_a_curve_tells_how_far_epochs_lie_apart(checkout: Path) -> None:
    row = "| 0 | 11 of 20 | 20.00 | 22.00 | 10.54 | 21.00 | 1.05 | 20.00 to 22.00 | 1.10 |"
    assert row in changes(checkout).splitlines()


def test_lists_of_different_lengths_are_refused(checkout: Path) -> None:
    path = checkout / RESULTS
    found = json.loads(path.read_text())
    found["studies"][0]["changes"][0]["predicted"].pop()
    path.write_text(json.dumps(found))
    with pytest.raises(DataError, match="slim-B has lists of different lengths"):
        changes(checkout)
    path.write_text("{}")
    with pytest.raises(DataError, match="no complete measurement"):
        changes(checkout)
