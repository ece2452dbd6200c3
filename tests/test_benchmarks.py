"""The benchmarks' own parts: peers compute what they claim, gates turn red, and cases are cheap to list."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from benchmarks import density, figures, gaussian_conv, loading, topdown
from benchmarks.plot import plot
from benchmarks.registry import Case, Skipped
from benchmarks.run import PUBLISHED, markdown, measure, quick


@pytest.mark.parametrize("size", [(9, 40), (18, 18), (37, 5)])
def test_convolution_by_tiles_in_the_frequency_domain(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *size, generator=generator)
    kernel = torch.randn(4, 3, 15, 15, generator=generator)
    expected = F.conv2d(x.double(), kernel.double(), padding=7)
    error = (
        gaussian_conv.fft_convolution(x, gaussian_conv.spectra_of(kernel)).double() - expected
    ).norm() / expected.norm()
    assert error < 1e-6


def test_gaussian_peers_pass_their_gate_and_a_wrong_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    gaussian_conv.gate(3, 2, "cpu", torch.float32)
    right = gaussian_conv.fft_convolution
    monkeypatch.setattr(gaussian_conv, "fft_convolution", lambda x, filters: 1.001 * right(x, filters))
    with pytest.raises(AssertionError, match=r"FFT 15x15, y: relative L2 error 1\.00e-03 above 1e-06"):
        gaussian_conv.gate.__wrapped__(3, 2, "cpu", torch.float32)


def test_cases_are_listed_without_building_anything_and_say_where_they_ran() -> None:
    cases = [*gaussian_conv.cases(), *topdown.cases()]
    assert len({case.name for case in cases}) == len(cases) == 11
    for case in cases:
        assert case.implementations.keys() == case.repeats.keys()
        assert case.ours in case.implementations
        assert case.work.keys() <= case.implementations.keys()
        assert case.name.endswith("_cpu") == (case.device == "cpu")


def test_operations_of_alexnet_are_those_of_its_layers() -> None:
    assert topdown._multiplications("alexnet") == pytest.approx(714e6, rel=1e-3)  # torchvision's table: 0.71 GFLOPS


def test_a_measurement_has_a_row_for_each_peer() -> None:
    case = Case(
        name="sum",
        about="a sum",
        ours="fast",
        implementations={"fast": lambda: sum(range(1000)), "slow": lambda: sum(range(100_000))},
        gate=lambda: None,
        repeats={"fast": 3, "slow": 1},
        facts={},
        work={"slow": (1e5, 0.0)},
    )
    result = measure(case)
    assert [row["implementation"] for row in result["rows"]] == ["fast", "slow"]
    assert result["rows"][0]["times_ours"] == 1
    assert result["rows"][1]["gflop"] == 0
    table = markdown([result]).split("\n\n")[1]
    assert table.count("\n") == 4
    assert "| a sum | slow |" in table
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_every_figure_reads_rows_that_exist_and_a_quick_run_keeps_only_these() -> None:
    if torch.cuda.is_available():
        pytest.skip("the figures are those of a CPU")
    cases = {case.name: case for case in (*gaussian_conv.cases(), *topdown.cases(), density._one_picture(3))}
    cases["loading_workers"] = loading.two_workers()
    for case in {figure.case for figure in figures.FIGURES} - {"density_shanghaitech_a"} - {"density_500_heads"}:
        short = quick(cases[case])
        assert short is not None
        assert short.implementations.keys() == figures.needed(case)
        assert short.ours in short.implementations
        assert max(short.repeats.values()) <= 3
    assert figures.needed("density_500_heads") <= cases["density_3_heads"].implementations.keys()
    assert quick(cases["topdown_layer_cpu"]) is None


def test_a_figure_is_a_ratio_of_two_rows_beside_what_was_wanted(tmp_path: Path) -> None:
    def result(case: str, **seconds: float) -> dict[str, object]:
        rows = [
            {"implementation": name.replace("_", " "), "cpu_seconds": value, "times_ours": 1 + value}
            for name, value in seconds.items()
        ]
        return {"case": case, "about": case, "rows": rows}

    results = [
        result("density_500_heads", dotally=0.01, one_filter_per_head=16.0),
        result("density_shanghaitech_a", dotally=21.0),
    ]
    assert [found["reached"] for found in figures.reached(results)] == [True, False]
    table = figures.markdown(results)
    assert "| at least 1,500 | 1,600 | reached |" in table
    assert "| at most 20 | 21 | **missed** |" in table
    text = f"before\n{figures.BLOCK[0]}\nold\n{figures.BLOCK[1]}\nafter\n"
    assert figures.filled(text, results) == text.replace("old\n", table)
    with pytest.raises(ValueError, match="needs one block"):
        figures.filled("no block", results)
    plot(results, tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").stat().st_size > 1000


def test_the_readme_shows_the_committed_figures() -> None:
    text = figures.README.read_text(encoding="utf-8")
    assert figures.filled(text, json.loads(PUBLISHED.read_text())["results"]) == text


def test_data_that_are_not_at_hand_are_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOTALLY_DATA_ROOT", str(tmp_path))
    skipped = [case for case in (*density.cases(), *loading.cases()) if isinstance(case, Skipped)]
    names = ["density_shanghaitech_a", "loading_cpu", "loading_workers", "packed_access_cpu"]
    assert [case.name for case in skipped] == names
    assert "because" in markdown([], [{"case": skipped[0].name, "reason": skipped[0].reason}])


@pytest.fixture
def street(shanghaitech_tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small pictures in place of ShanghaiTech B, and crops to match."""
    monkeypatch.setenv("DOTALLY_DATA_ROOT", str(shanghaitech_tree(tmp_path, parts=("B",), train=18, test=1)))
    for name, value in (("PICTURES", 16), ("CROP", 48), ("_material", cache(loading._Material))):
        monkeypatch.setattr(loading, name, value)
    loading.gate.cache_clear()
    yield
    loading.gate.cache_clear()


def test_loading_compares_the_same_crops(street: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = [case for case in loading.cases() if case.name == "loading_cpu"]
    result = measure(replace(case, repeats=dict.fromkeys(case.implementations, 1)))
    assert all(row["pictures_per_second"] > 0 for row in result["rows"])
    assert "pictures/s)" in markdown([result])
    loading.gate.cache_clear()
    monkeypatch.setattr(loading, "preprocess", lambda image, size, preset: image.float())
    with pytest.raises(AssertionError, match="not close"):
        case.gate()
