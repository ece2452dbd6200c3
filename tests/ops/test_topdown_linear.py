"""The top-down rules of linear layers and of the bridge: equal to the rules written out in float64."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from dotally.ops import td_bridge, td_linear, topdown_threshold

ORACLE = runpy.run_path(str(Path(__file__).with_name("topdown_oracle.py")))
oracle_linear, oracle_unit = ORACLE["linear"], ORACLE["linear_unit"]
MODES = ["stat", "all", "top1"]


def layer(inputs: int, seed: int = 0, *, integers: bool = True, pictures: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Return (h, weight, g) of a layer with twelve outputs."""
    generator = torch.Generator().manual_seed(seed)
    if integers:
        h = torch.randint(-3, 6, (pictures, inputs), generator=generator).clamp(min=0).float()
        weight = torch.randint(-3, 4, (12, inputs), generator=generator).float()
    else:
        h = torch.randn(pictures, inputs, generator=generator).relu()
        weight = torch.randn(12, inputs, generator=generator)
    g = torch.rand(pictures, 12, generator=generator)
    return h, weight, g * (torch.rand(g.shape, generator=generator) < 0.6)


@pytest.mark.parametrize("compat", ["fixed", "release"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("inputs", [1, 2, 16, 63, 1024, 1025])
def test_integer_data_give_exactly_the_choices_of_the_written_out_rule(inputs: int, mode: Any, compat: Any) -> None:
    h, weight, g = layer(inputs)
    for offset, eps in [(0, 1e-4), (3, 1.5), (9, 1.0)]:
        out, selection = td_linear(
            h, weight, g, mode=mode, offset=offset, eps=eps, compat=compat, return_selection=True
        )
        expected, choices = oracle_linear(h, weight, g, mode=mode, offset=offset, eps=eps, release=compat == "release")
        assert_close(out.double(), expected, atol=1e-7, rtol=1e-6)
        assert selection.unit.tolist() == [list(unit) for unit, _ in choices]
        assert selection.alive.tolist() == [choice.alive for _, choice in choices]
        assert selection.theta.tolist() == [choice.theta for _, choice in choices]
        assert selection.survivors.tolist() == [len(choice.shares) for _, choice in choices]


@pytest.mark.parametrize("compat", ["fixed", "release"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("inputs", [50, 1500])
def test_float_data_agree_outside_the_rounding_band(inputs: int, mode: Any, compat: Any) -> None:
    h, weight, g = layer(inputs, seed=1, integers=False)
    _, choices = oracle_linear(h, weight, g, mode=mode, release=compat == "release")
    clear = [unit for unit, choice in choices if not choice.doubtful]
    assert len(clear) > len(choices) / 2
    kept = torch.zeros_like(g)
    for unit in clear:
        kept[unit] = g[unit]
    expected, _ = oracle_linear(h, weight, kept, mode=mode, release=compat == "release")
    assert_close(td_linear(h, weight, kept, mode=mode, compat=compat).double(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("inputs", [16, 1025])
@pytest.mark.parametrize("chunk", [1 << 19, 40])
def test_published_maps_lose_the_units_at_the_places_of_their_dropped_channels(
    inputs: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topdown_threshold, "CHUNK", chunk)
    generator = torch.Generator().manual_seed(3)
    h = torch.randint(-3, 6, (2, inputs, 2, 3), generator=generator).clamp(min=0).float()
    weight = torch.randint(-3, 4, (9, inputs, 1, 1), generator=generator).float()
    weight[0].abs_()  # its units live, but for the marks
    g = torch.rand(2, 9, 2, 3, generator=generator)
    g *= torch.rand(g.shape, generator=generator) < 0.7
    expected = ORACLE["published_linear_maps"](h, weight, g)
    out, selection = td_linear(h, weight, g, compat="release", return_selection=True)
    assert_close(out.double(), expected, atol=1e-7, rtol=1e-6)
    assert torch.equal(out, td_linear(h, weight, g, compat="release"))
    by_position = torch.stack(
        [td_linear(h[:, :, y, x], weight, g[:, :, y, x], compat="release") for y in range(2) for x in range(3)], dim=2
    ).view(h.shape)
    dropped = torch.nn.functional.conv2d(h.double(), weight.double()) <= 1e-5
    assert (dropped & (g != 0)).sum() < (~selection.alive).sum()
    assert (out < by_position).any()
    assert not (out > by_position).any()


@pytest.mark.parametrize(("offset", "count"), [(0, 1), (1, 1), (2, 1), (3, 4)])
def test_worked_example(offset: int, count: int) -> None:
    h, weight = torch.tensor([[6, 1, 1, 1, 1.5]]), torch.tensor([[1, 1, 1, 1, -1.0]])
    out, selection = td_linear(h, weight, torch.ones(1, 1), offset=offset, return_selection=True)
    kept = torch.tensor([[6, 1, 1, 1, 0.0]]) if count == 4 else torch.tensor([[6.0, 0, 0, 0, 0]])
    assert_close(out, kept / kept.sum())
    assert selection.theta.tolist() == [1]
    assert selection.survivors.tolist() == [count]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), mode=st.sampled_from(MODES), inputs=st.integers(1, 300))
def test_mass_is_that_of_the_living_units_and_stays_where_the_input_is_positive(
    seed: int, mode: Any, inputs: int
) -> None:
    h, weight, g = layer(inputs, seed, integers=False)
    out, selection = td_linear(h, weight, g, mode=mode, return_selection=True)
    units = selection.unit[selection.alive]
    assert_close(out.sum(), g[tuple(units.T)].sum(), atol=1e-5, rtol=1e-5)
    assert (out >= 0).all()
    assert not out[h <= 0].any()


def test_a_map_is_a_linear_layer_at_every_position() -> None:
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(2, 20, 3, 5, generator=generator).relu()
    weight = torch.randn(7, 20, 1, 1, generator=generator)
    g = torch.rand(2, 7, 3, 5, generator=generator) * (torch.rand(2, 7, 3, 5, generator=generator) < 0.5)
    out, selection = td_linear(h, weight, g, return_selection=True)
    rows = td_linear(h.permute(0, 2, 3, 1).reshape(30, 20), weight[:, :, 0, 0], g.permute(0, 2, 3, 1).reshape(30, 7))
    assert torch.equal(out, rows.view(2, 3, 5, 20).permute(0, 3, 1, 2))
    assert selection.unit.tolist() == g.nonzero().tolist()


def test_linear_in_the_gating_and_bitwise_independent_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    h, weight, g = layer(200, integers=False)
    out = td_linear(h, weight, g)
    assert torch.equal(out, torch.cat([td_linear(h[i : i + 1], weight, g[i : i + 1]) for i in range(3)]))
    assert_close(td_linear(h, weight, 3 * g), 3 * out)
    monkeypatch.setattr(topdown_threshold, "CHUNK", 1)
    assert torch.equal(td_linear(h, weight, g), out)


def test_moving_inputs_moves_the_result() -> None:
    h, weight, g = layer(200, integers=False)
    order = torch.randperm(200)
    assert_close(td_linear(h[:, order], weight[:, order], g), td_linear(h, weight, g)[:, order])


def test_more_winners_than_the_first_try_sums_are_found() -> None:
    h = torch.ones(1, 5000)
    weight = torch.cat([torch.full((1, 4000), 2.0), torch.full((1, 1000), -1.0)], dim=1)
    out, selection = td_linear(h, weight, torch.ones(1, 1), return_selection=True)
    assert selection.theta.tolist() == [2]
    assert selection.survivors.tolist() == [4000]
    assert_close(out.sum(), torch.tensor(1.0))


def test_top_one_has_a_single_winner_unless_as_published() -> None:
    h, weight, g = torch.ones(1, 4), torch.tensor([[1, 3, 3, -1.0]]), torch.ones(1, 1)
    assert td_linear(h, weight, g, mode="top1").tolist() == [[0, 1, 0, 0]]
    assert td_linear(h, weight, g, mode="top1", compat="release").tolist() == [[0, 1, 1, 0]]


def test_a_table_nobody_reaches_keeps_the_largest() -> None:
    h, weight, g = torch.tensor([[1.0, 2.0]]), torch.ones(1, 2), torch.ones(1, 1)
    assert td_linear(h, weight, g, table=[(9.0, 9.0)]).tolist() == [[0, 1]]


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e3, 1e18, 1e19, 1e38])
@pytest.mark.parametrize("mode", MODES)
def test_finite_input_never_gives_nan(mode: Any, scale: float) -> None:
    h, weight, g = layer(64, integers=False)
    out = td_linear(h * scale, weight * scale, g, mode=mode, lower_bound=0)
    assert torch.isfinite(out).all()
    assert (out >= 0).all()


def test_no_gating_and_no_pictures() -> None:
    h, weight, g = layer(8)
    out, selection = td_linear(h, weight, torch.zeros_like(g), return_selection=True)
    assert not out.any()
    assert (selection.unit.shape, selection.theta.shape) == ((0, 2), (0,))
    assert td_linear(h[:0], weight, g[:0]).shape == (0, 8)


def gating(inputs: int, active: int, seed: int = 0, pictures: int = 3) -> Tensor:
    """Return random gating values that sum to 1 per picture, as they come out of fc7."""
    generator = torch.Generator().manual_seed(seed)
    g = torch.rand(pictures, inputs, generator=generator) ** 3
    g = g * (torch.rand(g.shape, generator=generator).argsort(dim=1) < active)
    return g / g.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("count_zeros", [True, False])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("inputs", "active", "eps"), [(2048, 130, 1e-4), (2048, 130, 1e-12), (40, 40, 1e-4)])
def test_bridge_equals_the_rule_written_out(inputs: int, active: int, eps: float, mode: Any, count_zeros: bool) -> None:
    g, mass = gating(inputs, active), torch.tensor([1.0, 0.5, 0.0])
    out = td_bridge(g, mass, mode=mode, eps=eps, count_zeros=count_zeros)
    for b in range(3):
        choice = oracle_unit(g[b].tolist(), mode=mode, offset=1, eps=eps, count_zeros=count_zeros)
        expected = torch.zeros(inputs, dtype=torch.float64)
        for (i,), share in choice.shares.items():
            expected[i] = mass[b] * share
        assert_close(out[b].double(), expected, atol=1e-7, rtol=1e-5)


def test_bridge_statistics_change_abruptly_where_theta_passes_eps() -> None:
    g = gating(2048, 130).clamp(min=0)
    smallest = float(g[g > 0].min())
    lenient = (td_bridge(g, torch.ones(3), eps=smallest * 2) > 0).sum()
    assert lenient > 1.5 * (td_bridge(g, torch.ones(3), eps=smallest / 2) > 0).sum()
    assert torch.equal(
        td_bridge(g, torch.ones(3), eps=smallest / 2), td_bridge(g, torch.ones(3), eps=0.0, count_zeros=False)
    )


def test_bridge_in_mode_all_only_brings_the_sum_to_the_mass() -> None:
    g = gating(300, 50)
    assert_close(td_bridge(3 * g, torch.tensor([1.0, 2.0, 0.0]), mode="all"), g * torch.tensor([[1.0], [2.0], [0.0]]))


def test_bridge_modes_of_compat_agree_on_ordinary_gating() -> None:
    for inputs in (300, 2048):
        g = gating(inputs, 50)
        for mode in ("stat", "all"):
            rule: dict[str, Any] = {"mode": mode}
            assert torch.equal(
                td_bridge(g, torch.ones(3), **rule), td_bridge(g, torch.ones(3), **rule, compat="release")
            )


def test_bridge_without_gating_passes_nothing_on() -> None:
    assert not td_bridge(torch.zeros(2, 5), torch.ones(2)).any()
    assert td_bridge(torch.zeros(0, 5), torch.ones(0)).shape == (0, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"g": torch.zeros(3, 11)}, r"g has shape \[3, 11\].*h \[3, 8\].*gives \[3, 12\]"),
        ({"weight": torch.zeros(12, 9)}, r"weight \[12, 9\] does not fit h \[3, 8\]"),
        ({"weight": torch.zeros(12, 8, 3, 3)}, "does not fit"),
        ({"mode": "699"}, "'stat', 'all' or 'top1'"),
        ({"offset": -1}, "offset"),
        ({"table": []}, "table"),
        ({"table": [(1.0, float("inf"))]}, "table"),
        ({"compat": "exact"}, "'fixed' or 'release'"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    h, weight, g = layer(8)
    arguments = {"h": h, "weight": weight, "g": g, **change}
    with pytest.raises(ValueError, match=message):
        td_linear(arguments.pop("h"), arguments.pop("weight"), arguments.pop("g"), **arguments)


def test_bridge_refuses_a_mass_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"g \[2, 5\] and mass \[3\]"):
        td_bridge(torch.zeros(2, 5), torch.zeros(3))


def test_operators_are_registered_properly() -> None:
    h, weight, g = layer(8)
    table = [1.0, 3.0, 0.5, 0.0]
    torch.library.opcheck(torch.ops.dotally.td_linear.default, (h, weight, g, "stat", 1, table, 1e-5, 1e-4, False))
    torch.library.opcheck(
        torch.ops.dotally.td_linear_selection.default, (h, weight, g, "all", 1, table, 1e-5, 1e-4, False)
    )
    bridge = (h, torch.ones(3), "stat", 1, table, 1e-5, 1e-4, True, False)
    torch.library.opcheck(torch.ops.dotally.td_bridge.default, bridge)
