"""From results to statements: means, spreads, distances and verdicts."""

from dataclasses import replace

import pytest

from dotally.errors import DotallyError
from dotally.experiment import Literature, Mean, Run, Table, Tolerance, Trivial, Value
from dotally.experiment.figure import Figure, compare, judge
from dotally.experiment.identity import deciding_modules, resolved_spec, run_key
from dotally.experiment.report import CellReport, report
from dotally.experiment.results import Result
from dotally.experiment.source import code_hash


def network(table: Table) -> Run:
    cell = table.cells[1]
    assert isinstance(cell, Run)
    return cell


def found(cell: Run | Trivial, seed: int, *, data: str = "data", **metrics: float) -> Result:
    """Make up a result of a cell as it stands."""
    spec = resolved_spec(cell)
    return Result(
        table="tiny",
        row=cell.row,
        column=cell.column,
        seed=seed,
        key=run_key(spec, data, seed),
        spec=spec,
        data=data,
        code=code_hash(deciding_modules(cell)),
        metrics=metrics,
    )


def one(table: Table, cell: Run, results: list[Result], seeds: tuple[int, ...] = (0, 1), **more: object) -> CellReport:
    (only,) = report(replace(table, cells=[cell]), results, seeds, **more)  # type: ignore[arg-type]
    return only


def test_mean_and_spread_over_seeds() -> None:
    figure = Figure(metric="mae", paper=Value(value=10.0, source="s"), values=(9.0, 11.0, 13.0))
    assert (figure.mean, figure.sd) == (11.0, 2.0)
    assert figure.delta == pytest.approx(0.1)


def test_one_seed_has_no_spread_and_nothing_has_no_mean() -> None:
    assert Figure(metric="mae", paper=None, values=(9.0,)).sd is None
    assert Figure(metric="mae", paper=None, values=()).mean is None
    assert Figure(metric="mae", paper=Value(value=0.0, source="s"), values=(1.0,)).delta is None


@pytest.mark.parametrize(
    ("delta", "verdict"),
    [
        (0.0, "match"),
        (0.05, "match"),
        (-0.05, "match"),
        (0.051, "near"),
        (0.1, "near"),
        (0.11, "off"),
        (-0.06, "better"),
    ],
)
def test_verdicts_follow_the_tolerance(delta: float, verdict: str) -> None:
    assert compare(delta, Tolerance()) == verdict


def test_more_is_better_for_some_figures() -> None:
    paper = Value(value=20.0, source="s")
    assert judge(Figure(metric="psnr", paper=paper, values=(30.0,)), Tolerance()) == "better"
    assert judge(Figure(metric="psnr", paper=paper, values=(10.0,)), Tolerance()) == "off"


@pytest.mark.parametrize(
    ("mae", "verdict"),
    [((30.0, 31.0), "match"), ((32.0, 32.4), "near"), ((40.0, 41.0), "off"), ((20.0, 21.0), "better")],
)
def test_a_complete_cell_is_judged(mae: tuple[float, float], verdict: str, table: Table) -> None:
    cell = one(table, network(table), [found(network(table), seed, mae=value) for seed, value in enumerate(mae)])
    assert cell.figures["mae"].verdict == verdict
    assert cell.figures["rmse"].verdict == ""


def test_nothing_is_missing_and_too_little_incomplete(table: Table) -> None:
    assert one(table, network(table), []).figures["mae"].verdict == "missing"
    cell = one(table, network(table), [found(network(table), 1, mae=30.0)])
    assert cell.figures["mae"].verdict == "incomplete"
    assert cell.figures["mae"].single
    assert (len(cell.results), cell.planned) == (1, 2)


def test_one_seed_is_judged_where_one_was_asked_for_and_marked(table: Table) -> None:
    cell = one(table, network(table), [found(network(table), 0, mae=30.0)], (0,))
    assert cell.figures["mae"].verdict == "match"
    assert cell.figures["mae"].single


def test_what_draws_nothing_needs_one_seed_and_no_mark(table: Table) -> None:
    cell = replace(network(table), max_epochs=0)
    assert not one(table, cell, [found(cell, 0, mae=30.0)]).figures["mae"].single
    assert one(table, cell, [found(cell, 0, mae=30.0)]).figures["mae"].verdict == "match"


def test_older_code_is_stale_unless_age_is_ignored(table: Table) -> None:
    results = [replace(found(network(table), seed, mae=30.0), code="older") for seed in (0, 1)]
    cell = one(table, network(table), results)
    assert cell.figures["mae"].verdict == "stale"
    assert any("code that decides it has changed" in remark for remark in cell.remarks)
    assert one(table, network(table), results, age="ignored").figures["mae"].verdict == "match"


def test_the_rule_of_the_papers_codes_is_never_a_match(table: Table) -> None:
    cell = replace(network(table), protocol="test-best")
    assert one(table, cell, [found(cell, seed, mae=30.0) for seed in (0, 1)]).figures["mae"].verdict == "protocol"


def test_a_check_never_judges_the_rule_of_the_papers_codes(table: Table) -> None:
    cell = replace(network(table), protocol="test-best")
    for seeds in ((0,), (0, 1)):
        assert not one(table, cell, [found(cell, seed, mae=90.0) for seed in seeds]).failings()


def test_a_changed_specification_is_named(table: Table) -> None:
    old = found(network(table), 0, mae=30.0)
    cell = one(table, replace(network(table), max_epochs=4), [old])
    assert cell.results == ()
    assert cell.remarks == ("spec changed: max_epochs: 3 -> 4",)


def test_of_two_results_of_one_name_the_later_counts(table: Table) -> None:
    results = [found(network(table), 0, data=data, mae=mae) for data, mae in (("old", 50.0), ("new", 30.0))]
    cell = one(table, network(table), results, (0,))
    assert cell.figures["mae"].values == (30.0,)
    assert cell.remarks == ("seed 0: 2 results on different data, the newest is shown",)


def test_literature_is_given_never_judged(table: Table) -> None:
    cell = Literature(row="theirs", column="crowd", paper={"mae": Value(value=5.0, source="s")})
    (shown,) = report(replace(table, cells=[cell]), [], (0,))
    assert shown.figures["mae"].verdict == ""
    assert shown.failings() == []


class TestMean:
    """A cell that is the mean of others in its row."""

    @pytest.fixture
    def folds(self, table: Table) -> Table:
        cells = [replace(network(table), column=f"fold{number}", paper={}) for number in (1, 2)]
        paper = {"mae": Value(value=30.0, source="s")}
        return replace(table, cells=[Mean(row="net", column="mean", over=("fold1", "fold2"), paper=paper), *cells])

    def reported(self, folds: Table, *mae: tuple[int, int, float]) -> CellReport:
        cells = {number: cell for number, cell in enumerate(folds.runnable(), 1)}
        return report(folds, [found(cells[fold], seed, mae=value) for fold, seed, value in mae], (0, 1))[0]

    def test_it_averages_seed_by_seed(self, folds: Table) -> None:
        shown = self.reported(folds, (1, 0, 20.0), (2, 0, 40.0), (1, 1, 21.0), (2, 1, 43.0))
        assert shown.figures["mae"].values == (30.0, 32.0)
        assert shown.figures["mae"].verdict == "match"
        assert (shown.planned, [result.seed for result in shown.results]) == (2, [0, 1])

    def test_a_fold_that_is_missing_makes_it_incomplete(self, folds: Table) -> None:
        assert self.reported(folds).figures["mae"].verdict == "missing"
        assert self.reported(folds, (1, 0, 20.0)).figures["mae"].verdict == "incomplete"
        shown = self.reported(folds, (1, 0, 20.0), (2, 0, 40.0), (1, 1, 20.0))
        assert shown.figures["mae"].values == (30.0,)
        assert shown.figures["mae"].verdict == "incomplete"

    def test_a_fold_chosen_on_test_can_never_match(self, folds: Table) -> None:
        mean, first, second = folds.cells
        assert isinstance(first, Run)
        folds = replace(folds, cells=[mean, replace(first, protocol="test-best"), second])
        shown = self.reported(folds, *((fold, seed, 30.0) for fold in (1, 2) for seed in (0, 1)))
        assert shown.figures["mae"].verdict == "protocol"
        assert shown.protocol == "test-best"

    def test_a_mean_over_what_is_not_there_is_refused(self, folds: Table) -> None:
        with pytest.raises(DotallyError, match=r"net\.fold2"):
            replace(folds, cells=folds.cells[:2]).check()


def test_only_shown_numbers_are_not_judged(table: Table) -> None:
    cell = network(table)
    (shown,) = report(replace(table, cells=[cell], unjudged=("mae",)), [found(cell, 0, mae=30.0)], (0,))
    assert shown.figures["mae"].verdict == ""


class TestCommitted:
    """Local results beside the committed ones."""

    def reported(self, table: Table, local: float, *committed: float) -> CellReport:
        published = [found(network(table), seed, mae=mae) for seed, mae in enumerate(committed)]
        mine = [found(network(table), 0, mae=local)]
        return one(table, network(table), [*published, *mine], (0,), committed=published)

    def test_equal_ones_need_no_mention(self, table: Table) -> None:
        assert self.reported(table, 6.4, 6.4, 6.7).committed is None

    def test_near_ones_match(self, table: Table) -> None:
        shown = self.reported(table, 6.5, 6.1, 6.4, 6.7).committed
        assert shown is not None
        assert shown.mean == pytest.approx(6.4)
        assert shown.verdict == "match"

    def test_seeds_that_stray_widen_what_matches(self, table: Table) -> None:
        narrow, wide = self.reported(table, 7.0, 6.3, 6.4, 6.5), self.reported(table, 7.0, 5.9, 6.4, 6.9)
        assert narrow.committed is not None
        assert wide.committed is not None
        assert (narrow.committed.verdict, wide.committed.verdict) == ("near", "match")

    @pytest.mark.parametrize(("local", "verdict"), [(7.88, "match"), (7.90, "near"), (9.83, "near"), (9.85, "off")])
    def test_one_run_may_stray_as_far_as_95_and_99_percent_of_single_seeds(
        self, table: Table, local: float, verdict: str
    ) -> None:
        # Student's t of 2 degrees, 4.303 and 9.925, times 0.3 * sqrt(1 + 1 / 3)
        shown = self.reported(table, local, 6.1, 6.4, 6.7).committed
        assert shown is not None
        assert shown.verdict == verdict

    def test_far_ones_fail_a_check(self, table: Table) -> None:
        cell = self.reported(table, 12.0, 6.1, 6.4, 6.7)
        assert any("against the committed values is off" in line for line in cell.failings())


@pytest.mark.parametrize(("mae", "fails"), [((30.0,), False), ((30.0, 30.5), False), ((90.0,), True), ((), True)])
def test_a_check_fails_on_what_is_off_so_far_not_on_seeds_to_come(
    mae: tuple[float, ...], fails: bool, table: Table
) -> None:
    cell = one(table, network(table), [found(network(table), seed, mae=value) for seed, value in enumerate(mae)])
    assert bool(cell.failings()) is fails
