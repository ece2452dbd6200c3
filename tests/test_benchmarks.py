"""The benchmarks' own parts: peers compute what they claim, gates turn red, and cases are cheap to list."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks import gaussian_conv, topdown
from benchmarks.registry import Case
from benchmarks.run import markdown, measure


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
    table = markdown([result])
    assert table.count("\n") == 4
    assert "| a sum | slow |" in table
    assert len({line.count("|") for line in table.splitlines()}) == 1
