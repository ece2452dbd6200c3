"""A report on the terminal: the same facts as in the files, in a hundred columns."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dotally.experiment import Literature, Run, Table, Value
from dotally.experiment.figure import Figure
from dotally.experiment.report import CellReport
from dotally.experiment.results import Result
from dotally.experiment.terminal import show

Shown = Callable[..., list[str]]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    def printed(table: Table, *cells: CellReport) -> list[str]:
        show(replace(table, cells=[cell.cell for cell in cells]), cells)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return printed


@pytest.fixture
def net(table: Table) -> CellReport:
    """A row with two seeds and two figures that are held against a paper's, each as wide as such figures get."""
    cell = table.cells[1]
    assert isinstance(cell, Run)
    cell = replace(cell, row="csrnet-quarter")
    mae, rmse = (Value(value=value, source="table 5") for value in (26.4, 41.3))
    figures = {
        "mae": Figure(metric="mae", paper=mae, values=(24.5, 25.9), verdict="better", drawn=True),
        "rmse": Figure(metric="rmse", paper=rmse, values=(43.0, 44.6), verdict="stale", drawn=True),
        "bias": Figure(metric="bias", paper=None, values=(-2.8, -4.8), drawn=True),
        "slope": Figure(metric="slope", paper=None, values=(0.91, 0.92), drawn=True),
    }
    result = Result(
        table="tiny", row=cell.row, column=cell.column, seed=0, key="", spec={}, data="", code="", metrics={}
    )
    rules = {"protocol": "val", "checkpoint": "best of 9 epochs on validation", "release": "v2", "resize": "none"}
    return CellReport(cell=cell, results=(result, replace(result, seed=1)), figures=figures, planned=3, **rules)  # type: ignore[arg-type]


@pytest.fixture
def literature(net: CellReport) -> CellReport:
    cell = Literature(row="MCNN", column="crowd", paper={"mae": Value(value=110.2, source="table 5")})
    figures = {name: replace(figure, values=(), verdict="", drawn=False) for name, figure in net.figures.items()}
    return CellReport(cell=cell, results=(), figures=figures, protocol="unknown")


def test_rules_that_all_rows_share_are_told_in_one_line(table: Table, net: CellReport, shown: Shown) -> None:
    lines = shown(table, net, net)
    (told,) = [line for line in lines if "The same for all rows of ours" in line]
    assert told.endswith("protocol: val; checkpoint: best of 9 epochs on validation; release: v2; resize: none")
    assert not [line for line in lines if "rules" in line]


def test_rules_that_differ_have_a_letter_and_each_letter_a_line(
    table: Table, net: CellReport, literature: CellReport, shown: Shown
) -> None:
    lines = shown(table, literature, net, replace(net, resize="longest side 512"), net)
    rows = [line.rsplit(maxsplit=1)[-1] for line in lines if line.startswith(("MCNN", "csrnet"))]
    assert rows == ["a", "b", "c", "b"]
    assert [line for line in lines if line.startswith("rules ")] == [
        "rules a: protocol: unknown",
        "rules b: protocol: val; resize: none",
        "rules c: protocol: val; resize: longest side 512",
    ]
    assert "The same for all rows of ours: checkpoint: best of 9 epochs on validation; release: v2" in lines


def test_a_letter_means_the_same_in_every_column(table: Table, net: CellReport, shown: Shown) -> None:
    other = replace(net, resize="c3")
    there = replace(other, cell=replace(net.cell, column="hall"))
    lines = shown(table, net, other, there, replace(there, resize="none"))
    assert [line[-1] for line in lines if line.startswith("csrnet")] == ["a", "b", "b", "a"]
    assert len([line for line in lines if line.startswith("rules ")]) == 2


def test_two_judged_figures_with_spreads_go_into_a_hundred_columns(
    table: Table, net: CellReport, literature: CellReport, shown: Shown
) -> None:
    grid = [line for line in shown(table, literature, net) if line.startswith(("crowd", "MCNN", "csrnet", "─"))]
    assert len(grid) == 4
    assert max(map(len, grid)) <= 100
    told = "26.4 25.2±1.0 better -4.5% 41.3 43.8±1.1 stale +6.1% -3.8±1.4 0.92±0.01 2/3 b"
    assert " ".join(grid[-1].split()[1:]) == told
