"""The page of speed follows from committed files, and says what is slower and what waits as plainly as the rest."""

import json
from pathlib import Path
from typing import Any

import pytest

from dotally.errors import DataError
from dotally.experiment.promises import Figure, Promise, figures, read_promises, read_records
from dotally.experiment.speed import BLOCKS

ENVIRONMENT = {"device": "cpu", "cores": 2, "threads": 1, "python": "3.11", "packages": {}, "commit": "c0ffee00"}


def row(name: str, seconds: float, ours: float, **more: Any) -> dict[str, Any]:
    times = {"cpu_seconds": seconds, "spread": [seconds, seconds], "repeats": 5, "times_ours": seconds / ours}
    return {"implementation": name, **times, **more}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with two promises for a CPU, one for a GPU, and a committed run of two cases."""
    promises = [
        {"about": "a / ours", "case": "one", "over": "a", "under": "dotally", "wanted": 3, "at_least": True},
        {"about": "ours / b", "case": "one", "over": "dotally", "under": "b", "wanted": 1, "at_least": False},
        {
            "about": "share",
            "case": "gpu",
            "over": "dotally",
            "read": "ceiling",
            "wanted": 30,
            "at_least": True,
            "on": "gpu",
        },
        {"about": "noted", "case": "one", "over": "busy", "read": "fact", "wanted": 0.9, "at_least": True},
        {"about": "later", "case": "two", "over": "dotally", "wanted": 180, "at_least": False},
    ]
    rows = [row("dotally", 0.1, 0.1), row("a", 0.4, 0.1, interval=[3.5, 4.5]), row("b", 0.05, 0.1, interval=[0.4, 0.8])]
    case = {
        "case": "one",
        "about": "one case",
        "facts": {"busy": 0.95},
        "suite": "s",
        "ours": "dotally",
        "device": "cpu",
        "rows": rows,
    }
    record = {"environment": ENVIRONMENT | {"dirty": False, "platform": "Linux"}, "results": [case]}
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "promises.json").write_text(json.dumps(promises))
    (tmp_path / "benchmarks" / "results" / "cpu.json").write_text(json.dumps(record))
    return tmp_path


def test_a_promise_stands_beside_what_was_measured_or_says_what_it_waits_for(checkout: Path) -> None:
    found = figures(read_promises(checkout), read_records(checkout))
    assert [figure.verdict for figure in found] == [
        "reached",
        "**missed**",
        "waits for a GPU",
        "reached",
        "not measured yet",
    ]
    assert [figure.value for figure in found[:2]] == pytest.approx([4, 2])
    assert found[1].interval == pytest.approx((1.25, 2.5))  # of ours beside b, turned round
    assert "| share | at least 30 |  |  | waits for a GPU |" in BLOCKS["speed"](checkout)
    assert "share" not in BLOCKS["speed-promised"](checkout)


@pytest.mark.parametrize(
    ("value", "interval", "verdict"),
    [
        (2.0, None, "reached"),
        (2.0, (1.8, 2.2), "reached"),
        (2.0, (1.6, 2.2), "reached, not surely"),
        (1.6, (1.5, 2.2), "**missed**"),
    ],
)
def test_a_promise_is_surely_reached_where_its_whole_interval_is(
    value: float, interval: tuple[float, float] | None, verdict: str
) -> None:
    promise = Promise(about="", case="", wanted=1.7, at_least=True)
    assert Figure(promise, value, interval).verdict == verdict


def test_where_a_peer_is_faster_is_a_table_of_its_own(checkout: Path) -> None:
    page = BLOCKS["speed"](checkout)
    faster = page.split("### Where a peer is faster")[1].split("###")[0]
    assert "| one case | b | 50 ms | 100 ms | 0.5 | 0.4 to 0.8 |" in faster
    assert "| a |" not in faster
    assert "**0.5**" in page


def test_a_gpu_s_run_answers_the_promises_of_gpus_only(checkout: Path) -> None:
    results = checkout / "benchmarks" / "results"
    record = json.loads((results / "cpu.json").read_text())
    record["environment"]["device"] = "NVIDIA H200"
    ours = row("dotally", 0.1, 0.1, ceiling=0.41, bound="bf16")
    record["results"] = [
        {"case": "gpu", "about": "gpu", "suite": "s", "ours": "dotally", "device": "cuda", "rows": [ours]}
    ]
    (results / "a-gpu.json").write_text(json.dumps(record))
    records = read_records(checkout)
    assert [record["name"] for record in records] == ["cpu", "a-gpu"]
    found = figures(read_promises(checkout), records)
    assert found[2].value == pytest.approx(41)
    assert "## NVIDIA H200, 2 cores" in BLOCKS["speed"](checkout)


def test_a_damaged_file_is_named(checkout: Path) -> None:
    (checkout / "benchmarks" / "results" / "cpu.json").write_text("{}")
    with pytest.raises(DataError, match=r"cpu\.json: no run of the benchmarks"):
        BLOCKS["speed"](checkout)
    (checkout / "benchmarks" / "promises.json").write_text('[{"about": "x"}]')
    with pytest.raises(DataError, match=r"promises\.json"):
        read_promises(checkout)


def test_a_checkout_without_benchmarks_has_an_empty_page(tmp_path: Path) -> None:
    assert BLOCKS["speed"](tmp_path).strip() == ""
