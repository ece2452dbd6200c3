"""The top-down rule of convolutions: equal to the rule written out in float64, and what follows from the rule."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from dotally.errors import DotallyError
from dotally.ops import td_conv2d, topdown_scatter, topdown_threshold

ORACLE = runpy.run_path(str(Path(__file__).with_name("topdown_oracle.py")))
oracle_conv = ORACLE["conv"]

GEOMETRIES: dict[str, dict[str, Any]] = {
    "plain": {"kernel": (3, 3)},
    "one by one": {"kernel": (1, 1)},
    "padded and strided": {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)},
    "rectangular": {"kernel": (2, 5), "stride": (1, 2), "padding": (0, 2)},
    "dilated": {"kernel": (3, 2), "padding": (2, 1), "dilation": (2, 3)},
    "grouped": {"kernel": (3, 3), "padding": (1, 1), "groups": 2},
    "depthwise": {"kernel": (3, 3), "padding": (1, 1), "groups": 4},
    "eleven": {"kernel": (11, 11), "stride": (4, 4), "padding": (5, 5)},
}


def layer(
    name: str, seed: int = 0, *, integers: bool = True, density: float = 0.2, size: tuple[int, int] = (7, 9)
) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    """Return (h, weight, g, geometry): two pictures of four channels, six to eight outputs."""
    generator = torch.Generator().manual_seed(seed)
    geometry = dict(GEOMETRIES[name])
    kernel, groups = geometry.pop("kernel"), geometry.get("groups", 1)
    shapes = (2, 4, *size), (8, 4 // groups, *kernel)
    if integers:
        h, weight = (torch.randint(-3, 5, shape, generator=generator).float() for shape in shapes)
        h = h.clamp(min=0)
    else:
        h, weight = torch.randn(shapes[0], generator=generator).relu(), torch.randn(shapes[1], generator=generator)
    top = torch.nn.functional.conv2d(h, weight, **geometry)
    g = torch.rand(top.shape, generator=generator) * (torch.rand(top.shape, generator=generator) < density)
    return h, weight, g, geometry


def check_selection(selection: Any, choices: list[Any], channels: int, groups: int, outputs: int) -> None:
    assert selection.unit.tolist() == [list(unit) for unit, _ in choices]
    for i, (unit, choice) in enumerate(choices):
        assert bool(selection.alive[i]) == choice.alive
        if not choice.alive:
            assert (int(selection.channel[i]), float(selection.theta[i])) == (-1, 0)
            assert not selection.component[i].any()
            continue
        source, cells = choice.groups[0]
        assert float(selection.theta[i]) == np.float32(choice.theta)
        assert int(selection.channel[i]) == unit[1] * groups // outputs * channels + source
        assert [tuple(cell) for cell in selection.component[i].nonzero().tolist()] == cells


# alpha = 1/4 and dyadic eps keep every comparison of integer data exact; 1.5 and 1 let theta fall below eps
@pytest.mark.parametrize("compat", ["fixed", "release"])
@pytest.mark.parametrize("eps", [2e-4, 1.0, 1.5])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_integer_data_give_exactly_the_choices_of_the_written_out_rule(name: str, eps: float, compat: Any) -> None:
    h, weight, g, geometry = layer(name)
    out, selection = td_conv2d(h, weight, g, **geometry, alpha=0.25, eps=eps, compat=compat, return_selection=True)
    expected, choices = oracle_conv(h, weight, g, **geometry, alpha=0.25, eps=eps, release=compat == "release")
    assert any(choice.alive for _, choice in choices)
    assert_close(out.double(), expected, atol=1e-7, rtol=1e-6, equal_nan=True)
    check_selection(selection, choices, weight.shape[1], geometry.get("groups", 1), len(weight))


@pytest.mark.parametrize("compat", ["fixed", "release"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_float_data_agree_outside_the_rounding_band(name: str, compat: Any) -> None:
    h, weight, g, geometry = layer(name, seed=1, integers=False)
    _, choices = oracle_conv(h, weight, g, **geometry, release=compat == "release")
    clear = [unit for unit, choice in choices if not choice.doubtful]
    assert len(clear) > 0.8 * len(choices)
    kept = torch.zeros_like(g)
    for unit in clear:
        kept[unit] = g[unit]
    expected, _ = oracle_conv(h, weight, kept, **geometry, release=compat == "release")
    assert_close(
        td_conv2d(h, weight, kept, **geometry, compat=compat).double(), expected, atol=1e-6, rtol=1e-5, equal_nan=True
    )


def test_worked_example() -> None:
    h = torch.tensor([[[[0.5, 2, -1], [0, 0.7, 3], [0, 0, 0]]]])
    out, selection = td_conv2d(h, torch.ones(1, 1, 3, 3), torch.ones(1, 1, 1, 1), return_selection=True)
    assert_close(out[0, 0], torch.tensor([[0, 2, 0], [0, 0.7, 3], [0, 0, 0]]) / 5.7)
    assert_close(selection.theta, torch.tensor([0.7]))
    assert_close(selection.component_sum, torch.tensor([5.7]))
    assert_close(selection.share[0], out[0, 0])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), name=st.sampled_from(list(GEOMETRIES)))
def test_mass_is_that_of_the_living_units_and_stays_where_the_input_is_positive(seed: int, name: str) -> None:
    h, weight, g, geometry = layer(name, seed, integers=False)
    out, selection = td_conv2d(h, weight, g, **geometry, return_selection=True)
    units = selection.unit[selection.alive]
    assert_close(out.sum(), g[tuple(units.T)].sum(), atol=1e-5, rtol=1e-5)
    assert (out >= 0).all()
    assert not out[h <= 0].any()
    assert_close(selection.share.sum(dim=(1, 2)), selection.alive.float())


def test_whole_numbers_tie_exactly_at_the_default_alpha() -> None:
    # 0.2 * 10 + 0.8 * 1 and 0.2 * 6 + 0.8 * 2 differ in their last bit; 10 + 4 * 1 and 6 + 4 * 2 do not
    h = torch.zeros(1, 2, 3, 3)
    h[0, 0, 1, 1] = 10
    h[0, 1, 2, :2] = 3
    _, selection = td_conv2d(h, torch.ones(1, 2, 3, 3), torch.ones(1, 1, 1, 1), return_selection=True)
    assert selection.channel.tolist() == [0]


def test_linear_in_the_gating() -> None:
    h, weight, g, _ = layer("plain", integers=False)
    other = torch.rand(g.shape) * (torch.rand(g.shape) < 0.1)
    together = td_conv2d(h, weight, 2 * g + other)
    assert_close(together, 2 * td_conv2d(h, weight, g) + td_conv2d(h, weight, other), atol=1e-6, rtol=1e-5)


def test_each_unit_reaches_one_channel() -> None:
    h, weight, g, _ = layer("plain", integers=False)
    for unit in g.nonzero()[:40]:
        one = torch.zeros_like(g)
        one[tuple(unit)] = 1
        assert td_conv2d(h, weight, one).sum(dim=(2, 3)).count_nonzero() <= 1


def test_moving_channels_or_pictures_moves_the_result() -> None:
    h, weight, g, _ = layer("plain", integers=False)
    out = td_conv2d(h, weight, g)
    inputs, outputs = torch.tensor([2, 0, 3, 1]), torch.randperm(len(weight))
    assert_close(td_conv2d(h[:, inputs], weight[:, inputs], g), out[:, inputs])
    assert_close(td_conv2d(h, weight[outputs], g[:, outputs]), out)
    assert torch.equal(td_conv2d(h.flip(0), weight, g.flip(0)), out.flip(0))


def test_a_batch_is_bitwise_its_pictures_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    h, weight, g, geometry = layer("padded and strided", integers=False)
    out = td_conv2d(h, weight, g, **geometry)
    alone = [td_conv2d(h[i : i + 1], weight, g[i : i + 1], **geometry) for i in (0, 1)]
    assert torch.equal(out, torch.cat(alone))
    monkeypatch.setattr(topdown_threshold, "CHUNK", 100)
    monkeypatch.setattr(topdown_scatter, "FOLD", 1)
    assert_close(td_conv2d(h, weight, g, **geometry), out, atol=0, rtol=2e-7)


def test_groups_are_separate_convolutions() -> None:
    h, weight, g, geometry = layer("grouped", integers=False)
    halves = [
        td_conv2d(h[:, i * 2 : i * 2 + 2], weight[i * 4 : i * 4 + 4], g[:, i * 4 : i * 4 + 4], padding=1)
        for i in (0, 1)
    ]
    assert torch.equal(td_conv2d(h, weight, g, **geometry), torch.cat(halves, dim=1))


def test_no_gating_gives_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    h, weight, g, _ = layer("plain")
    monkeypatch.setattr("dotally.ops.topdown_conv_cpu.threshold", None)  # calling it would fail
    assert not td_conv2d(h, weight, torch.zeros_like(g)).any()


def test_no_gating_gives_an_empty_record() -> None:
    h, weight, g, _ = layer("plain")
    out, selection = td_conv2d(h, weight, torch.zeros_like(g), return_selection=True)
    assert not out.any()
    assert (selection.unit.shape, selection.component.shape) == ((0, 4), (0, 3, 3))
    assert (selection.theta.shape, selection.alive.dtype) == ((0,), torch.bool)


def test_units_at_or_below_the_lower_bound_pass_nothing_on() -> None:
    h, weight = torch.tensor([[[[1.0, 2.0, 3.0]]]]), torch.ones(1, 1, 1, 1)
    out = td_conv2d(h, weight, torch.ones_like(h), lower_bound=2.0)
    assert out.tolist() == [[[[0, 0, 1]]]]
    assert not td_conv2d(-h, weight, torch.ones_like(h)).any()


def test_ties_go_to_the_lowest_channel_then_to_the_first_group() -> None:
    h = torch.tensor([[[2.0, 0, 2]], [[2.0, 0, 2]]])[None]
    weight, g = torch.ones(1, 2, 1, 3), torch.ones(1, 1, 1, 1)
    assert td_conv2d(h, weight, g)[0, :, 0].tolist() == [[1, 0, 0], [0, 0, 0]]
    # as published: every tied channel, and in each the last group
    assert td_conv2d(h, weight, g, compat="release")[0, :, 0].tolist() == [[0, 0, 1], [0, 0, 1]]


def test_first_group_is_the_one_whose_first_cell_comes_first() -> None:
    # the left group has its first cell in the second row, the right one in the first
    window = torch.tensor([[0, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0.0]])
    out = td_conv2d(window[None, None], torch.ones(1, 1, 3, 4), torch.ones(1, 1, 1, 1))
    assert out[0, 0].nonzero().tolist() == [[0, 3], [1, 3]]


def test_diagonal_neighbours_touch_and_windows_do_not() -> None:
    h = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 1.0]])[None, None]
    g = torch.ones(1, 1, 1, 1)
    assert_close(td_conv2d(h, torch.ones(1, 1, 3, 3), g), h / 4)
    # a snake through an 11 x 11 window, and one with the most groups a window can hold
    snake = torch.zeros(11, 11)
    snake[::2] = 1
    snake[1::4, -1] = 1
    snake[3::4, 0] = 1
    assert_close(td_conv2d(snake[None, None], torch.ones(1, 1, 11, 11), g)[0, 0], snake / snake.sum())
    isolated = torch.zeros(11, 11)
    isolated[::2, ::2] = 1
    isolated[10, 10] = 2
    assert td_conv2d(isolated[None, None], torch.ones(1, 1, 11, 11), g)[0, 0].nonzero().tolist() == [[10, 10]]
    with pytest.raises(DotallyError, match=r"36 separate groups.*use compat='fixed'"):
        td_conv2d(isolated[None, None], torch.ones(1, 1, 11, 11), g, compat="release")
    isolated[0, 0] = 0
    out = td_conv2d(isolated[None, None], torch.ones(1, 1, 11, 11), g, compat="release")
    assert out[0, 0].nonzero().tolist() == [[10, 10]]


def test_release_refuses_what_stops_the_published_code() -> None:
    # AlexNet's first linear layer fits into 48 KB, VGG-16's does not
    g = torch.ones(1, 1, 1, 1)
    assert td_conv2d(torch.ones(1, 256, 6, 6), torch.ones(1, 256, 6, 6), g, compat="release").any()
    large = torch.ones(1, 512, 7, 7)
    with pytest.raises(
        DotallyError, match=r"weight \[1, 512, 7, 7\].* 98 KB a unit \(at most 48\); use compat='fixed'"
    ):
        td_conv2d(large, large, g, compat="release")
    with pytest.raises(DotallyError, match="50 KB"):
        td_conv2d(large[:, :257, :5, :5], large[:, :257, :5, :5], g, compat="release")
    assert td_conv2d(large, large, g).any()


def test_release_lets_dead_channels_win_and_writes_nan_where_fixed_does_not() -> None:
    h = torch.zeros(1, 2, 3, 3)
    h[0, 0] = torch.tensor([[1.0, 1, 1], [1, 1, 1], [0, 0, 1.5]]) * 1e-4
    weight, g = torch.ones(1, 2, 3, 3), torch.ones(1, 1, 1, 1)
    weight[0, 0, 2, 2] = -1
    # theta = 1e-4 < eps: every zero wins, and the dead channel has the larger area
    published = td_conv2d(h, weight, g, compat="release")
    assert torch.isnan(published[0, 1]).all()
    assert not published[0, 0].any()
    assert_close(td_conv2d(h, weight, g)[0, 0, :2], torch.full((2, 3), 1 / 6))


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e-3, 1e3, 1e18, 1e19, 1e38])
def test_finite_input_never_gives_nan(scale: float) -> None:
    for name in GEOMETRIES:
        h, weight, g, geometry = layer(name, seed=3, integers=False)
        out = td_conv2d(h * scale, weight * scale, g, **geometry, lower_bound=0, alpha=0)
        assert torch.isfinite(out).all()
        assert (out >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_computed_in_float32(dtype: torch.dtype) -> None:
    h, weight, g, _ = layer("plain", integers=False)
    h, weight, g = (tensor.to(torch.bfloat16) for tensor in (h, weight, g))
    out = td_conv2d(h.to(dtype), weight.to(dtype), g.to(dtype))
    assert out.dtype == torch.float32
    if dtype != torch.float16:  # which cannot hold every bfloat16
        assert torch.equal(out, td_conv2d(h.float(), weight.float(), g.float()))


def test_strided_memory_makes_no_difference() -> None:
    h, weight, g, _ = layer("plain", integers=False)
    out = td_conv2d(h, weight, g)
    last = [tensor.contiguous(memory_format=torch.channels_last) for tensor in (h, weight, g)]
    assert torch.equal(td_conv2d(*last), out)
    turned = [tensor.transpose(2, 3).contiguous().transpose(2, 3) for tensor in (h, weight, g)]
    assert torch.equal(td_conv2d(*turned), out)


def test_no_gradient_is_promised() -> None:
    h, weight, g, _ = layer("plain")
    assert not td_conv2d(h.requires_grad_(), weight.requires_grad_(), g).requires_grad


def test_empty_batch() -> None:
    assert td_conv2d(torch.zeros(0, 2, 5, 5), torch.zeros(3, 2, 3, 3), torch.zeros(0, 3, 3, 3)).shape == (0, 2, 5, 5)


def test_kernel_gating_adds_up_shares_and_hits() -> None:
    h, weight, g, geometry = layer("grouped", integers=False)
    _, selection = td_conv2d(h, weight, g, **geometry, return_selection=True)
    gating, hits = selection.kernel_gating(weight)
    assert gating.shape == hits.shape == weight.shape
    assert_close(gating.sum(), selection.alive.sum().float())
    assert hits.sum() == selection.component.sum()
    per_output = torch.bincount(selection.unit[selection.alive, 1], minlength=len(weight))
    assert_close(gating.sum(dim=(1, 2, 3)), per_output.float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"g": torch.zeros(2, 8, 6, 7)}, r"g has shape \[2, 8, 6, 7\].*\[2, 4, 7, 9\].*gives \[2, 8, 5, 7\]"),
        ({"weight": torch.zeros(8, 3, 3, 3)}, r"weight \[8, 3, 3, 3\].*does not fit h \[2, 4, 7, 9\]"),
        ({"g": torch.zeros(1, 8, 5, 7)}, r"g \[1, 8, 5, 7\].*h \[2, 4, 7, 9\]"),
        ({"h": torch.zeros(2, 4, 7, 9, dtype=torch.int64)}, "h must be floating point"),
        ({"groups": 3}, "does not fit"),
        ({"stride": 0}, "stride must be"),
        ({"padding": (1, 2, 3)}, "padding must be"),
        ({"alpha": 1.5}, "alpha"),
        ({"eps": -1.0}, "eps"),
        ({"lower_bound": float("nan")}, "lower_bound"),
        ({"compat": "exact"}, "'fixed' or 'release'"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    h, weight, g, _ = layer("plain")
    arguments = {"h": h, "weight": weight, "g": g, **change}
    with pytest.raises(ValueError, match=message):
        td_conv2d(arguments.pop("h"), arguments.pop("weight"), arguments.pop("g"), **arguments)


def test_operator_is_registered_properly() -> None:
    h, weight, g, _ = layer("rectangular")
    args = (h, weight, g, [1, 2], [0, 2], [1, 1], 1, 0.2, 3e-4, 2e-4, False)
    torch.library.opcheck(torch.ops.dotally.td_conv2d.default, args)
    torch.library.opcheck(torch.ops.dotally.td_conv2d_selection.default, args)
