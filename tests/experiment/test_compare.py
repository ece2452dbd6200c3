"""Paired bootstrap: a known difference is recovered, chance is not taken for one."""

from pathlib import Path

import numpy as np
import pytest

from dotally.callbacks import Prediction
from dotally.errors import DataError
from dotally.experiment import Table, main
from dotally.experiment.compare import Floats, compare_cells, contrast_bootstrap, paired_bootstrap
from dotally.experiment.execute import Options
from dotally.experiment.results import write_predictions


def errors(generator: np.random.Generator, *, seeds: int, hard: Floats, shift: float) -> Floats:
    """Absolute errors of a method: some pictures are hard for everybody, seeds differ a little."""
    noise = generator.gamma(2.0, 2.0, (seeds, len(hard)))
    return hard + noise + shift + generator.normal(0, 0.1, (seeds, 1))


def test_a_known_difference_is_recovered_and_covered() -> None:
    generator = np.random.default_rng(0)
    hard = generator.gamma(2.0, 20.0, 200)
    found = paired_bootstrap(
        errors(generator, seeds=3, hard=hard, shift=0.0), errors(generator, seeds=3, hard=hard, shift=2.0)
    )
    assert found.difference == pytest.approx(-2.0, abs=0.5)
    assert found.interval[0] < -2.0 < found.interval[1] < 0
    assert found.probability > 0.999
    assert found.wins > 0.6


def test_pairing_sees_what_the_spread_between_pictures_hides() -> None:
    """Errors spread by 30 heads over pictures; a difference of 2 is found because both saw the same pictures."""
    generator = np.random.default_rng(1)
    hard = generator.gamma(2.0, 20.0, 200)
    found = paired_bootstrap(hard[None] + 2.0, hard[None])
    assert found.interval == pytest.approx((2.0, 2.0))
    assert found.probability == 0.0


def test_the_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for repeat in range(100):
        hard = generator.gamma(2.0, 20.0, 100)
        a, b = (errors(generator, seeds=1, hard=hard, shift=shift) for shift in (0.0, 1.0))
        # the truth of these two runs: their seeds' own shifts belong to them
        low, high = paired_bootstrap(a, b, seed=repeat, replicates=1000).interval
        covered += low < -1.0 < high
    assert covered >= 85


def test_equals_are_equal() -> None:
    a = np.random.default_rng(3).gamma(2.0, 5.0, (2, 50))
    found = paired_bootstrap(a[:1], a[:1])
    assert found.difference == 0
    assert found.interval == (0, 0)
    assert found.probability == 0.5
    assert found.wins == 0.5


def test_swapping_the_two_mirrors_everything() -> None:
    generator = np.random.default_rng(4)
    a, b = generator.gamma(2.0, 5.0, (2, 60)), generator.gamma(2.0, 6.0, (3, 60))
    one, other = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert one.difference == -other.difference
    assert one.wins == pytest.approx(1 - other.wins)
    assert one.seeds == (2, 3)


def test_the_same_seed_gives_the_same_interval() -> None:
    generator = np.random.default_rng(5)
    a, b = generator.gamma(2.0, 5.0, (2, 60)), generator.gamma(2.0, 6.0, (2, 60))
    assert paired_bootstrap(a, b, seed=1) == paired_bootstrap(a, b, seed=1)
    assert paired_bootstrap(a, b, seed=1).interval != paired_bootstrap(a, b, seed=2).interval


def test_pictures_are_matched_by_name_whatever_their_order(tmp_path: Path) -> None:
    a = [Prediction("x.jpg", 10, 12.0), Prediction("y.jpg", 5, 5.0)]
    write_predictions(tmp_path / "a.csv", a)
    write_predictions(tmp_path / "b.csv", [Prediction("y.jpg", 5, 4.0), Prediction("x.jpg", 10, 12.0)])
    found = compare_cells([tmp_path / "a.csv"], [tmp_path / "b.csv"])
    assert found.mae == (1.0, 1.5)
    assert found.wins == 0.75
    said = found.render("a", "b")
    assert "MAE 1.00 against 1.50: difference -0.50" in said
    assert "knows nothing of its spread over seeds" in said


def test_different_pictures_are_refused(tmp_path: Path) -> None:
    write_predictions(tmp_path / "a.csv", [Prediction("x.jpg", 10, 12.0)])
    write_predictions(tmp_path / "b.csv", [Prediction("x.jpg", 11, 12.0)])
    with pytest.raises(DataError, match=r"different pictures: 2 differ, such as x.jpg \(10\)"):
        compare_cells([tmp_path / "a.csv"], [tmp_path / "b.csv"])
    with pytest.raises(DataError, match="not the pictures of"):
        compare_cells([tmp_path / "a.csv", tmp_path / "b.csv"], [tmp_path / "a.csv"])


def test_slopes_are_divided_out_seed_by_seed(tmp_path: Path) -> None:
    truth = [10, 20, 60]
    for seed, scale in enumerate((0.5, 2.0)):
        rows = [Prediction(f"{true}.jpg", true, scale * true) for true in truth]
        write_predictions(tmp_path / f"{seed}.csv", rows)
    paths = [tmp_path / "0.csv", tmp_path / "1.csv"]
    plain, corrected = compare_cells(paths, paths), compare_cells(paths, paths, corrected=True)
    assert plain.mae[0] == pytest.approx(30 * (0.5 + 1.0) / 2)
    assert corrected.mae == pytest.approx((0.0, 0.0), abs=1e-12)


def test_what_does_not_follow_the_counts_has_no_slope_to_divide_by(tmp_path: Path) -> None:
    write_predictions(tmp_path / "a.csv", [Prediction("x.jpg", 10, 12.0), Prediction("y.jpg", 50, 12.0)])
    with pytest.raises(DataError, match=r"a\.csv: predictions hardly follow"):
        compare_cells([tmp_path / "a.csv"], [tmp_path / "a.csv"], corrected=True)


def test_a_difference_of_differences_is_recovered_and_covered() -> None:
    generator = np.random.default_rng(6)
    hard = generator.gamma(2.0, 20.0, 200)
    terms = [
        (sign, errors(generator, seeds=3, hard=hard, shift=shift))
        for sign, shift in ((1, 5.0), (-1, 6.0), (-1, 2.0), (1, 1.0))
    ]
    found = contrast_bootstrap(terms)
    assert found.difference == pytest.approx(5 - 6 - 2 + 1, abs=0.8)
    assert found.interval[0] < -2.0 < found.interval[1] < 0
    assert found.sign == -1
    assert contrast_bootstrap(terms[:2]).interval == paired_bootstrap(terms[0][1], terms[1][1]).interval


def test_three_seeds_that_differ_by_chance_are_seldom_told_apart() -> None:
    """Only seeds differ: what three of them show of their spread has to do."""
    generator = np.random.default_rng(7)
    hard, told = generator.gamma(2.0, 3.0, 50), 0
    for repeat in range(100):
        a, b = (hard + generator.normal(0, 1.0, (3, 1)) + np.zeros(50) for _ in range(2))
        told += paired_bootstrap(a, b, seed=repeat, replicates=500).sign != 0
    assert told <= 15


def test_compare_refuses_predictions_that_are_not_those_of_the_run(
    table: Table, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*flags: str) -> int:
        return main(table, arguments=[*flags, "--runs", str(options.runs), "--accelerator", "cpu", "--wandb", "off"])

    assert run("--seeds", "0", "--only", "mean") == 0
    (path,) = options.runs.rglob("predictions.csv")
    whole = path.read_text()
    for damaged, words in (
        (whole[:-3], "line 5: cut off"),
        (f"{whole[:-3]}\n", "predictions.csv, "),
        (whole[: whole.rindex("\n", 0, -1) + 1], "has 3 pictures, not 4"),
    ):
        path.write_text(damaged)
        capsys.readouterr()
        assert run("--compare", "mean", "mean") == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
        assert "restore" in line
