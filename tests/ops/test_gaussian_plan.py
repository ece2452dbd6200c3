"""The cost model: its counts and floors are those worked out by hand for an H200."""

from typing import Any

import pytest

from dotally.ops.gaussian_plan import (
    GPU,
    Layer,
    bank_work,
    convolution_work,
    dense_work,
    fused_work,
    plan,
    seconds,
    separable_work,
    why_not,
)
from dotally.ops.gaussian_setting import Setting

LAYER = Layer(batch=1, inputs=512, outputs=512, units=4, height=96, width=128)  # CSRNet's back end at 768 x 1024
FLOOR = GPU._replace(vector=float("inf"), call=0.0)


def setting(shift: str, *, max_offset: float = 4.0, max_sigma: float = 0.75, grad_mode: str = "exact") -> Setting:
    return Setting(max_offset, max_sigma, shift, "sum", (1, 1), (1, 1), "auto", grad_mode)


@pytest.mark.parametrize(("taps", "gflop"), [(3, 58), (5, 161), (9, 522), (13, 1089)])
def test_operations_of_dense_convolutions(taps: int, gflop: float) -> None:
    assert convolution_work(LAYER, setting("exact"), taps).matmul / 1e9 == pytest.approx(gflop, abs=0.5)


@pytest.mark.parametrize(("units", "gflop"), [(2, 12.9), (4, 25.8), (8, 51.5), (16, 103)])
def test_operations_of_the_mixing_product(units: int, gflop: float) -> None:
    layer = LAYER._replace(units=units)
    for work in (separable_work(layer, setting("exact")), bank_work(layer, setting("bilinear"))):
        assert work.matmul / 1e9 == pytest.approx(gflop, rel=0.01)


@pytest.mark.parametrize(("units", "separable", "bank"), [(4, 0.7, 0.38), (8, 1.4, 0.58)])
def test_operations_of_passes_with_seven_taps(units: int, separable: float, bank: float) -> None:
    layer = LAYER._replace(units=units)
    seven = setting("exact", max_offset=0.0)
    assert separable_work(layer, seven).vector / 1e9 == pytest.approx(separable, abs=0.02)
    assert bank_work(layer, seven._replace(shift="bilinear")).vector / 1e9 == pytest.approx(bank, abs=0.01)


def test_bytes_of_the_fused_form() -> None:
    work = fused_work(LAYER, setting("bilinear"))
    assert work.bytes / 1e6 == pytest.approx(27, abs=0.5)
    assert (separable_work(LAYER, setting("exact")).bytes - work.bytes) / 1e6 == pytest.approx(50.3, abs=0.1)


@pytest.mark.parametrize(
    ("inputs", "outputs", "batch", "fused", "dense9", "dense15"),
    [
        (512, 512, 1, 39, 661, 1835),
        (512, 512, 8, 308, 5284, 14679),
        (512, 256, 8, 177, 2642, 7340),
        (256, 128, 8, 56, 661, 1835),
        (128, 64, 8, 21, 165, 459),
    ],
)
def test_roofline_floors(inputs: int, outputs: int, batch: int, fused: float, dense9: float, dense15: float) -> None:
    layer = LAYER._replace(inputs=inputs, outputs=outputs, batch=batch)
    assert seconds(fused_work(layer, setting("bilinear")), FLOOR) * 1e6 == pytest.approx(fused, abs=0.6)
    for taps, expected in ((9, dense9), (15, dense15)):
        work = convolution_work(layer, setting("exact"), taps)._replace(before=0.0)
        assert seconds(work, FLOOR) * 1e6 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("shift", "chosen", "max_sigma"), [("exact", "separable", 0.75), ("bilinear", "bank", 0.5)])
def test_on_the_cpu_the_choice_is_far_ahead_of_the_dense_15_by_15(shift: str, chosen: str, max_sigma: float) -> None:
    layer = LAYER._replace(height=48, width=64, device="cpu", itemsize=4)
    choice = plan(layer, setting(shift, max_sigma=max_sigma))
    assert choice.execution == chosen
    assert dense_work(layer, setting(shift, max_sigma=max_sigma)).matmul == 2 * 48 * 64 * 512 * 512 * 15**2
    assert choice.seconds["dense"] > 25 * choice.seconds[chosen]


def test_fused_only_where_it_can_run_and_never_for_another_function() -> None:
    assert plan(LAYER, setting("bilinear"), fused=True).execution == "fused"
    assert "fused" not in plan(LAYER, setting("bilinear")).seconds
    assert set(plan(LAYER, setting("exact"), fused=True).seconds) == {"dense", "separable"}
    for other in (LAYER._replace(sharing="in"), LAYER._replace(one_sigma=False)):
        assert "fused" not in plan(other, setting("bilinear"), fused=True).seconds


def test_a_displacement_for_every_pair_leaves_only_the_dense_form() -> None:
    for shift in ("exact", "bilinear"):
        assert list(plan(LAYER._replace(sharing="pair"), setting(shift)).seconds) == ["dense"]


def test_many_gaussians_on_few_channels_are_left_to_the_dense_form() -> None:
    layer = Layer(batch=8, inputs=64, outputs=1, units=64, height=96, width=128, device="cpu", itemsize=4)
    assert plan(layer, setting("exact", max_offset=1.0, max_sigma=0.5)).execution == "dense"


def test_published_gradients_with_a_width_for_every_pair_are_refused() -> None:
    layer, dau = LAYER._replace(sharing="pair", one_sigma=False), setting("bilinear", grad_mode="dau")
    with pytest.raises(ValueError, match="needs a scalar sigma"):
        plan(layer, dau)


@pytest.mark.parametrize(
    ("execution", "change", "shift", "reason"),
    [
        ("separable", {}, "bilinear", "computes shift='exact'"),
        ("bank", {}, "exact", "computes shift='bilinear'"),
        ("bank", {"sharing": "pair"}, "bilinear", "shared by the output channels"),
        ("fused", {"sharing": "in"}, "bilinear", "shared by all channels"),
        ("fused", {"one_sigma": False}, "bilinear", "one scalar sigma"),
    ],
)
def test_reasons(execution: str, change: dict[str, Any], shift: str, reason: str) -> None:
    assert reason in str(why_not(execution, LAYER._replace(**change), setting(shift)))
