"""The sentence below a table says what its numbers say, and nothing where they say nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dotally.callbacks import Prediction
from dotally.data import SyntheticCrowd
from dotally.errors import DotallyError
from dotally.experiment import Contest, Run, Table
from dotally.experiment.compare import Comparison, Contrast
from dotally.experiment.identity import resolved_spec
from dotally.experiment.render import markdown
from dotally.experiment.report import report
from dotally.experiment.results import Result, recompute, write_predictions
from dotally.experiment.statement import cost_of_noise, verdict, with_statements
from dotally.tasks import CountingTask

TRUTH = np.arange(5, 105)


def compared(low: float, high: float) -> Comparison:
    middle = (low + high) / 2
    return Comparison(
        mae=(6.0 + middle, 6.0),
        difference=middle,
        interval=(low, high),
        probability=0.5,
        wins=0.5,
        pictures=100,
        seeds=(3, 3),
    )


BETTER, WORSE, SAME = compared(-1.5, -0.5), compared(0.25, 0.75), compared(-0.5, 0.5)


@pytest.mark.parametrize(
    ("plain", "corrected", "words"),
    [
        (BETTER, BETTER, "better than net beyond seed noise: MAE 5.00 against 6.00, difference -1.00"),
        (WORSE, WORSE, "worse than net beyond seed noise: MAE 6.50 against 6.00, difference +0.50"),
        (SAME, SAME, "no difference from net beyond seed noise: MAE 6.00 against 6.00"),
        (BETTER, SAME, "no clear difference: better than net by MAE, no difference from net once both are divided by"),
        (SAME, WORSE, "no clear difference: no difference from net by MAE, worse than net once both are divided by"),
        (BETTER, WORSE, "no clear difference: better than net by MAE, worse than net once both are divided by"),
    ],
)
def test_every_outcome_has_its_words(plain: Comparison, corrected: Comparison, words: str) -> None:
    assert verdict("net", plain, corrected).startswith(words)


def test_a_verdict_gives_all_its_numbers() -> None:
    assert verdict("net", BETTER, SAME).endswith(
        ": MAE 5.00 against 6.00, difference -1.00 (95 %: -1.50 to -0.50); "
        "slope-corrected MAE 6.00 against 6.00, difference +0.00 (95 %: -0.50 to +0.50)"
    )


@pytest.mark.parametrize(
    ("plain", "corrected", "words"),
    [
        (
            BETTER,
            BETTER,
            "noise costs it less than net, beyond seed noise: from clean the difference in MAE moves by -1",
        ),
        (WORSE, WORSE, "noise costs it more than net, beyond seed noise"),
        (SAME, SAME, "noise costs it as much as net, within seed noise"),
        (
            BETTER,
            SAME,
            "what noise costs is not clear: less than net by MAE, as much as net once divided by the slopes",
        ),
    ],
)
def test_what_noise_costs_has_its_words(plain: Contrast, corrected: Contrast, words: str) -> None:
    assert cost_of_noise("net", "clean", plain, corrected).startswith(words)


@pytest.fixture
def contest(crowd: Callable[..., SyntheticCrowd], task: Callable[..., CountingTask]) -> Table:
    """Two rows in two columns."""
    cells = [
        Run(row=row, column=column, task=task, data=crowd, max_epochs=1)
        for column in ("clean", "noisy")
        for row in ("net", "new")
    ]
    words = Contest(challenger="new", baseline="net", since={"noisy": "clean"})
    return Table(id="tiny", title="A contest", source="test", cells=cells, contest=words)


Write = Callable[..., list[Result]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(cell, scale=..., offset=..., spread=..., seeds=...)``: results of made-up predictions."""

    def made(cell: Run, *, scale: float, spread: float, seeds: Sequence[int] = (0, 1, 2)) -> list[Result]:
        results = []
        for seed in seeds:
            generator = np.random.default_rng([seed, *cell.cell.encode()])
            counts = scale * (TRUTH + spread * generator.normal(size=len(TRUTH)))
            rows = [Prediction(f"{true}.jpg", int(true), float(c)) for true, c in zip(TRUTH, counts, strict=True)]
            result = Result(
                table="tiny",
                row=cell.row,
                column=cell.column,
                seed=seed,
                key=f"{cell.cell}{seed}",
                spec=resolved_spec(cell),
                data="",
                code="",
                metrics=recompute(rows),
            )
            folder = tmp_path / "tiny" / cell.cell / f"seed{seed}"
            result.write(folder / "run.json")
            write_predictions(folder / "predictions.csv", rows)
            results.append(result)
        return results

    return made


def said(table: Table, results: Sequence[Result], folder: Path) -> dict[str, tuple[str, ...]]:
    cells = report(table, results, table.seeds, age="ignored")
    return {cell.cell.cell: cell.remarks for cell in with_statements(table, cells, [folder / "tiny"])}


def runs(table: Table) -> dict[str, Run]:
    return {cell.cell: cell for cell in table.cells if isinstance(cell, Run)}


def test_a_smaller_error_that_is_one_of_scale_is_not_called_better(
    contest: Table, write: Write, tmp_path: Path
) -> None:
    """The trap of the claim: one counts too few, the other enough, and both see the crowd equally well."""
    cells = runs(contest)
    found = write(cells["net.clean"], scale=0.8, spread=6.0) + write(cells["new.clean"], scale=1.0, spread=6.0)
    (line,) = said(contest, found, tmp_path)["new.clean"]
    assert line.startswith("no clear difference: better than net by MAE, no difference from net once both are divided")


def test_a_better_row_is_called_better_and_equals_are_not(contest: Table, write: Write, tmp_path: Path) -> None:
    cells = runs(contest)
    found = write(cells["net.clean"], scale=1.0, spread=4.0) + write(cells["new.clean"], scale=1.0, spread=4.0)
    found += write(cells["net.noisy"], scale=1.0, spread=12.0) + write(cells["new.noisy"], scale=1.0, spread=4.0)
    lines = said(contest, found, tmp_path)
    assert lines["new.clean"][0].startswith("no difference from net beyond seed noise")
    assert len(lines["new.clean"]) == 1
    assert lines["new.noisy"][0].startswith("better than net beyond seed noise")
    assert lines["new.noisy"][1].startswith("noise costs it less than net, beyond seed noise: from clean")
    assert lines["net.clean"] == lines["net.noisy"] == ()


def test_who_is_better_everywhere_does_not_bear_noise_better(contest: Table, write: Write, tmp_path: Path) -> None:
    cells = runs(contest)
    found = [r for name in ("net.clean", "net.noisy") for r in write(cells[name], scale=1.0, spread=12.0)]
    found += [r for name in ("new.clean", "new.noisy") for r in write(cells[name], scale=1.0, spread=4.0)]
    lines = said(contest, found, tmp_path)["new.noisy"]
    assert lines[0].startswith("better than net beyond seed noise")
    assert lines[1].startswith("noise costs it as much as net, within seed noise")


def test_with_seeds_missing_there_is_no_statement(contest: Table, write: Write, tmp_path: Path) -> None:
    cells = runs(contest)
    found = write(cells["net.clean"], scale=1.0, spread=12.0) + write(
        cells["new.clean"], scale=1.0, spread=1.0, seeds=[1]
    )
    lines = said(contest, found, tmp_path)
    assert lines["new.clean"] == ("no statement against net: incomplete, new.clean has 1 of 3 seeds",)
    assert lines["new.noisy"] == ("no statement against net: incomplete, new.noisy has 0 of 3 seeds",)


def test_two_seeds_are_too_few_even_where_two_are_planned(contest: Table, write: Write, tmp_path: Path) -> None:
    cells = runs(contest)
    found = [r for name in ("net.clean", "new.clean") for r in write(cells[name], scale=1.0, spread=1.0, seeds=[0, 1])]
    (line,) = said(replace(contest, seeds=(0, 1)), found, tmp_path)["new.clean"]
    assert line == "no statement against net: incomplete, new.clean has 2 of 3 seeds"


def test_without_a_slope_there_is_no_statement(contest: Table, write: Write, tmp_path: Path) -> None:
    cells = runs(contest)
    found = write(cells["net.clean"], scale=1.0, spread=1.0) + write(cells["new.clean"], scale=0.0, spread=1.0)
    (line,) = said(contest, found, tmp_path)["new.clean"]
    assert line == "no statement against net: their predictions cannot be compared, see --compare"


def test_the_sentence_stands_below_the_table(contest: Table, write: Write, tmp_path: Path) -> None:
    cells = runs(contest)
    found = [r for name in ("net.clean", "new.clean") for r in write(cells[name], scale=1.0, spread=4.0)]
    table = replace(contest, metrics=("mae", "slope", "corrected_mae"))
    cells_reported = with_statements(table, report(table, found, table.seeds), [tmp_path / "tiny"])
    text = markdown(table, cells_reported)
    assert "| clean | MAE | slope | MAE / slope | seeds |" in text
    assert "\n- new.clean: no difference from net beyond seed noise: MAE " in text


def test_a_table_without_a_contest_says_nothing(table: Table) -> None:
    cells = report(table, [], (0,))
    assert with_statements(table, cells, []) == cells


def test_a_contest_of_rows_that_are_not_there_is_refused(table: Table) -> None:
    contested = replace(table, contest=Contest(challenger="nobody", baseline="net"))
    with pytest.raises(DotallyError, match="nobody or net is no row of it"):
        contested.check()
