"""A report as Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from dotally.experiment import Literature, Run, Table, Value
from dotally.experiment.figure import Figure
from dotally.experiment.identity import resolved_spec
from dotally.experiment.latex import latex
from dotally.experiment.render import label, long_csv, markdown, number, percent, printed, records, remarks
from dotally.experiment.report import CellReport
from dotally.experiment.results import Result


def figure(metric: str, *values: float, paper: float | None = None, verdict: str = "", drawn: bool = True) -> Figure:
    reference = None if paper is None else Value(value=paper, source="table 5")
    return Figure(metric=metric, paper=reference, values=values, verdict=verdict, drawn=drawn)  # type: ignore[arg-type]


def result(cell: Run, seed: int, **metrics: float) -> Result:
    return Result(
        table="tiny",
        row=cell.row,
        column=cell.column,
        seed=seed,
        key=f"{seed}" * 64,
        spec=resolved_spec(cell),
        data="",
        code="",
        metrics=metrics,
    )


@pytest.fixture
def shown(table: Table) -> Table:
    cell = table.cells[1]
    assert isinstance(cell, Run)
    given = Literature(row="MCNN_100%", column="crowd", paper={"mae": Value(value=110.2, source="table 5")})
    return replace(table, cells=[given, cell], notes=["RMSE is what the paper calls MSE."])


@pytest.fixture
def cells(shown: Table) -> list[CellReport]:
    given, net = shown.cells
    assert isinstance(net, Run)
    none = {name: figure(name, drawn=False) for name in ("rmse", "bias", "slope")}
    literature = {"mae": figure("mae", paper=110.2, drawn=False), **none}
    ours = {
        "mae": figure("mae", 69.0, 71.0, paper=68.2, verdict="match"),
        "rmse": figure("rmse", 110.0, 112.0),
        "bias": figure("bias", -0.01, 0.0),
        "slope": figure("slope", 0.9, 0.92),
    }
    results = tuple(result(net, seed, mae=69.0 + 2 * seed) for seed in (0, 1))
    return [
        CellReport(cell=given, results=(), figures=literature, protocol="unknown"),
        CellReport(cell=net, results=results, figures=ours, planned=3, remarks=("an eighth of the width",)),
    ]


def test_markdown_golden(shown: Table, cells: list[CellReport]) -> None:
    assert markdown(shown, cells) == (
        "**A tiny table** (test)\n"
        "\n"
        "| crowd | MAE printed | MAE ours | delta | verdict | RMSE | bias | slope | seeds | protocol |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| *MCNN_100%* | 110.2 | - |  |  | - | - | - | - | unknown |\n"
        "| net | 68.2 | 70.0 ± 1.4 | +2.6 % | match | 111.0 ± 1.4 | 0.0 ± 0.0 | 0.91 ± 0.01 | 2 of 3 | val |\n"
        "\n"
        "- RMSE is what the paper calls MSE.\n"
        "- net.crowd: an eighth of the width\n"
    )


def test_one_seed_is_called_so(shown: Table, cells: list[CellReport]) -> None:
    net = replace(
        cells[1],
        results=cells[1].results[:1],
        planned=1,
        figures=dict(cells[1].figures) | {"mae": figure("mae", 69.0, paper=68.2, verdict="match")},
    )
    line = markdown(shown, [net]).splitlines()[4]
    assert line.startswith("| net | 68.2 | 69.0 | +1.2 % | match (1 seed) |")
    assert line.endswith("| 1 seed | val |")


def test_numbers_that_contradict_each_other_are_both_shown_with_their_sources(
    shown: Table, cells: list[CellReport]
) -> None:
    other = Value(value=59.2, source="a list", certainty="claimed", sure="conflicting")
    paper = Value(value=61.2, source="PET, table 1", certainty="claimed", sure="medium-high", also=(other,))
    net = replace(cells[1], figures=dict(cells[1].figures) | {"mae": replace(figure("mae", 70.0), paper=paper)})
    text = markdown(shown, [net])
    assert "| net | 61.2 / 59.2 | 70.0 |" in text
    assert "net.crowd: MAE 61.2 (PET, table 1, claimed, medium-high); MAE 59.2 (a list, claimed, conflicting)" in text


def test_what_was_not_found_says_so_and_is_not_judged(shown: Table, cells: list[CellReport]) -> None:
    sought = Value(value=None, source="leaderboards", certainty="claimed")
    net = replace(cells[1], figures=dict(cells[1].figures) | {"mae": replace(figure("mae", 70.0), paper=sought)})
    assert "| net | not found | 70.0 |  |  |" in markdown(shown, [net])
    assert "net.crowd: MAE not found (leaderboards)" in markdown(shown, [net])
    assert " & not found & " in latex(shown, [net])
    assert ",not found," not in long_csv([net])
    assert json.loads(records(shown, [net]))["cells"][0]["figures"]["mae"]["printed"] is None


def test_numbers_that_are_only_shown_have_no_verdict_beside_them(shown: Table, cells: list[CellReport]) -> None:
    text = markdown(replace(shown, unjudged=("mae",)), cells)
    assert "| crowd | MAE printed | MAE ours | RMSE |" in text


def test_a_rule_has_a_column_where_not_all_rows_share_it_else_a_note(shown: Table, cells: list[CellReport]) -> None:
    ruled = replace(cells[1], resize="c3", release="v2.0", checkpoint="best of 3 epochs on validation")
    other = replace(ruled, resize="none", checkpoint="")
    text = markdown(shown, [cells[0], ruled, other])
    assert "| seeds | protocol | resize |" in text
    assert "| - | unknown | - |" in text
    assert "| 2 of 3 | val | c3 |" in text
    assert "| 2 of 3 | val | none |" in text
    assert "- The same for all rows of ours: checkpoint: best of 3 epochs on validation; release: v2.0\n" in text


def test_a_rule_that_only_some_columns_share_says_which(shown: Table, cells: list[CellReport]) -> None:
    elsewhere = replace(cells[1], cell=replace(cells[1].cell, column="hall"), resize="none", release="v2.0")
    both = replace(shown, cells=[cells[1].cell, elsewhere.cell])
    text = markdown(both, [replace(cells[1], resize="c3", release="v2.0"), elsewhere])
    assert "- The same for all rows of ours: release: v2.0; resize (crowd): c3; resize (hall): none\n" in text
    assert "| seeds | protocol |\n" in text
    table = latex(both, [replace(cells[1], resize="c3", release="v2.0"), elsewhere])
    assert r"seeds & protocol & resize \\" in table, "data sets stand in one table there"
    assert "% The same for all rows of ours: release: v2.0\n" in table


def test_latex_is_a_whole_booktabs_table(shown: Table, cells: list[CellReport]) -> None:
    text = latex(shown, cells)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    (columns,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    assert {len(line.removesuffix(r" \\").split(" & ")) for line in body} == {len(columns)}
    for command in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"):
        assert text.count(command) == 1
    grey = ("crowd", r"MCNN\_100\%", "110.2", "--", "--", "--", "--", "unknown")
    assert " & ".join(rf"\textcolor{{gray}}{{{field}}}" for field in grey) + r" \\" in text
    assert r"crowd & net & 68.2 & $70.0 \pm 1.4$ & -- & $111.0 \pm 1.4$ & 2 of 3 & val \\" in text
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0


def test_latex_sets_the_best_of_ours_in_bold(shown: Table, cells: list[CellReport]) -> None:
    worse = replace(cells[1], figures=dict(cells[1].figures) | {"mae": figure("mae", 80.0, 82.0)})
    text = latex(shown, [cells[1], worse])
    assert text.count(r"\mathbf{70.0}") == 1
    assert r"\mathbf{81" not in text
    assert r"\underline" not in text, "there is no second of two"


def test_latex_underlines_the_second_of_ours(shown: Table, cells: list[CellReport]) -> None:
    others = [replace(cells[1], figures=dict(cells[1].figures) | {"mae": figure("mae", mae)}) for mae in (80.0, 75.0)]
    text = latex(shown, [cells[1], *others])
    assert r"$\underline{75.0}$" in text
    assert text.count(r"\underline") == 1


def test_latex_sets_nothing_in_bold_that_was_chosen_on_the_test_split(shown: Table, cells: list[CellReport]) -> None:
    flattered = {"mae": figure("mae", 40.0, 42.0), "rmse": figure("rmse", 60.0, 62.0)}
    worse = replace(cells[1], figures=dict(cells[1].figures) | {"mae": figure("mae", 80.0, 82.0)})
    on_test = replace(cells[1], figures=dict(cells[1].figures) | flattered, protocol="test-best")
    text = latex(shown, [cells[1], worse, on_test])
    assert r"$41.0 \pm 1.4$" in text
    assert r"\mathbf{70.0}" in text


def test_csv_has_a_line_for_every_figure_and_seed(cells: list[CellReport]) -> None:
    rows = list(csv.DictReader(io.StringIO(long_csv(cells))))
    mae = [row for row in rows if row["metric"] == "mae"]
    assert [(row["row"], row["seed"], row["value"], row["printed"], row["key"]) for row in mae] == [
        ("MCNN_100%", "", "", "110.2", ""),
        ("net", "0", "69.0", "68.2", "00000000"),
        ("net", "1", "71.0", "68.2", "11111111"),
    ]
    assert {(row["row"], row["protocol"]) for row in rows} == {("MCNN_100%", "unknown"), ("net", "val")}
    assert list(rows[0])[-4:] == ["protocol", "checkpoint", "release", "resize"]


def test_json_carries_the_identity_of_every_run(shown: Table, cells: list[CellReport]) -> None:
    value = json.loads(records(shown, cells))
    assert value["cells"][1]["runs"] == [{"seed": 0, "key": "0" * 64}, {"seed": 1, "key": "1" * 64}]
    assert value["cells"][1]["resize"] is None
    assert value["cells"][1]["seeds"] == {"done": 2, "planned": 3}
    assert value["cells"][1]["tolerance"]["match"] == 0.05
    assert "spread of published re-runs" in value["cells"][1]["tolerance"]["reason"]
    assert value["cells"][1]["figures"]["mae"]["mean"] == 70.0
    assert value["cells"][0]["figures"]["mae"]["verdict"] == ""


def test_the_same_report_gives_the_same_bytes(shown: Table, cells: list[CellReport]) -> None:
    for render in (markdown, latex, records):
        assert render(shown, cells) == render(shown, list(cells))


def test_what_is_said_of_several_cells_is_said_once(cells: list[CellReport]) -> None:
    same = [replace(cell, remarks=("quick",)) for cell in cells[:2]]
    assert remarks(same)[0] == "MCNN_100%.crowd, net.crowd: quick"


def test_committed_values_stand_below_the_table(cells: list[CellReport]) -> None:
    committed = figure("mae", 6.1, 6.4, 6.7, verdict="match")
    assert remarks([replace(cells[1], committed=committed)])[-1] == (
        "net.crowd: committed values: MAE 6.4 ± 0.3 (3 seeds) -> match"
    )


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [(68.25, "mae", "68.2"), (-0.04, "bias", "0.0"), (0.987, "slope", "0.99"), (None, "mae", "-"), (1.5, "odd", "1.5")],
)
def test_numbers(value: float | None, metric: str, text: str) -> None:
    assert number(value, metric) == text


@pytest.mark.parametrize(
    ("paper", "text"), [(116.0, "116.0"), (71.91, "71.91"), (69.7, "69.7"), (69, "69"), (0.76, "0.76"), (None, "-")]
)
def test_printed_numbers_keep_their_digits_and_get_no_others(paper: float | None, text: str) -> None:
    assert printed(figure("mae", paper=paper)) == printed(figure("ssim", paper=paper)) == text


def test_a_group_of_pictures_has_a_heading() -> None:
    assert label("mae_scene1") == "MAE scene1"


@pytest.mark.parametrize(
    ("delta", "text"), [(0.025, "+2.5 %"), (-0.0001, "0.0 %"), (0.0, "0.0 %"), (-0.1, "-10.0 %"), (None, "")]
)
def test_distances(delta: float | None, text: str) -> None:
    assert percent(delta) == text
