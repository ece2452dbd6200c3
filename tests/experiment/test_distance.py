"""How far we are from each paper, over all tables."""

from dataclasses import replace

from dotally.experiment import Literature, Run, Table, Value
from dotally.experiment.distance import distance
from dotally.experiment.report import report


def told(table: Table, paper: dict[str, Value]) -> str:
    cell = table.cells[1]
    assert isinstance(cell, Run)
    quoted = Literature(row="theirs", column="crowd", paper=paper)
    shown = replace(table, cells=[quoted, replace(cell, paper=paper)])
    return distance({"tiny": (shown, report(shown, [], (0, 1)))})


def test_numbers_without_a_result_are_listed_with_their_sources(table: Table) -> None:
    other = Value(value=59.2, source="a list", certainty="claimed", sure="conflicting")
    paper = {
        "mae": Value(value=61.2, source="table 1", certainty="claimed", sure="medium", also=(other,)),
        "rmse": Value(value=None, source="papers and lists"),
    }
    text = told(table, paper)
    sources = "table 1, claimed, medium; a list, claimed, conflicting; papers and lists"
    assert f"| tiny | net.crowd | MAE 61.2 / 59.2, RMSE not found | {sources} | val |" in text
    assert "| tiny | test | 1 | 1 |" in text, "what was not found is no number to reach"
    assert "theirs" not in text


def test_a_table_of_which_nothing_is_printed_is_left_out(table: Table) -> None:
    assert "tiny" not in told(table, {})
