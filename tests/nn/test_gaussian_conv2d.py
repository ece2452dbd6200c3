import copy
import io

import pytest
import torch
from torch import Tensor, nn

from dotally.nn import GaussianConv2d
from dotally.nn.gaussian_init import grid_offsets, grid_sides, spread_sigmas
from dotally.ops.gaussian_reference import gaussian_conv2d_reference


def layer(*args: object, seed: int = 0, **kwargs: object) -> GaussianConv2d:
    torch.manual_seed(seed)
    return GaussianConv2d(*args, **kwargs)


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("sharing", ["layer", "input", "pair"])
@pytest.mark.parametrize("shift", ["exact", "bilinear"])
@pytest.mark.parametrize("steps", [{}, {"stride": 2}, {"dilation": 2}])
def test_it_computes_the_definition(sharing: str, shift: str, steps: dict[str, int]) -> None:
    one = layer(3, 5, 2, sharing=sharing, shift=shift, max_offset=1.5, max_sigma=1.0, sigma=(0.6, 0.9), **steps)
    nn.init.normal_(one.bias)
    x = noise(2, 3, 9, 11)
    expected = gaussian_conv2d_reference(
        x, one.weight, one.mu, one.sigma, one.bias, max_offset=1.5, max_sigma=1.0, shift=shift, **steps
    )
    torch.testing.assert_close(one(x), expected, rtol=1e-4, atol=1e-5)


def test_more_shapes_come_closer_to_the_gaussians_they_stand_for() -> None:
    torch.manual_seed(0)
    whole = layer(3, 4, 3, shift="bilinear", sigma=(0.5, 2.0), max_offset=1.5)
    x = noise(1, 3, 24, 24)
    errors = []
    for rank in (2, 3, 4, 6):
        low = layer(3, 4, 3, shift="bilinear", sigma=(0.5, 2.0), max_offset=1.5, shape_rank=rank)
        low.load_state_dict(whole.state_dict())
        errors.append(((low(x) - whole(x)).norm() / whole(x).norm()).item())
    assert errors == sorted(errors, reverse=True)
    # table 4.4 of the specs of GauNet: 4 shapes for 1 %, 6 for 0.1 % of the bank; here of the output
    assert errors[2] < 0.05
    assert errors[3] < 0.005


@pytest.mark.parametrize("size", [(1, 1), (8, 9), (17, 5)])
@pytest.mark.parametrize("steps", [{"stride": 1}, {"stride": 2}, {"stride": 3}, {"dilation": 2}])
def test_it_gives_the_sizes_of_a_convolution_that_keeps_them(size: tuple[int, int], steps: dict[str, int]) -> None:
    reach = steps.get("dilation", 1)
    plain = nn.Conv2d(2, 3, 3, padding=reach, **steps)
    x = noise(2, 2, *size)
    assert layer(2, 3, max_offset=1, max_sigma=1, **steps)(x).shape == plain(x).shape


# specs of GauNet, section 4.1, 512 to 512 channels with four Gaussians; one sigma where there is no spread
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({"sharing": "layer", "sigma": (0.5, 2.0)}, 512 * 512 * 4 + 512 + 12),
        ({"sharing": "layer"}, 512 * 512 * 4 + 512 + 9),
        ({"sharing": "input", "sigma": (0.5, 2.0)}, 512 * 512 * 4 + 512 + 512 * 12),
        ({"preset": "dau"}, 512 * 512 * 12 + 512),
        ({"preset": "gaunet"}, 512 * 512 * 5 + 512 + 12),
        ({"bias": False, "learn_mu": False, "learn_sigma": False}, 512 * 512 * 4),
    ],
)
def test_it_has_as_many_parameters_as_its_sharing_says(arguments: dict[str, object], count: int) -> None:
    with torch.device("meta"):
        parameters = GaussianConv2d(512, 512, 4, **arguments).parameters()
    assert sum(parameter.numel() for parameter in parameters) == count


@pytest.mark.parametrize(("count", "sides"), [(1, (1, 1)), (2, (2, 1)), (4, (2, 2)), (8, (4, 2)), (16, (4, 4))])
def test_grids_are_as_square_as_their_number_allows(count: int, sides: tuple[int, int]) -> None:
    assert grid_sides(count) == sides
    offsets = grid_offsets(count, 4)
    assert (offsets[:, 0].unique().numel(), offsets[:, 1].unique().numel()) == sides
    assert len({tuple(offset) for offset in offsets.tolist()}) == count
    torch.testing.assert_close(offsets.mean(dim=0), torch.zeros(2), rtol=0, atol=1e-6)


def test_two_by_two_units_stand_in_four_corners_and_not_on_the_diagonal() -> None:
    # the published initialiser puts them at (-1.75, -1.75), (1.75, 1.75) twice each, for offsets up to 3
    assert sorted(grid_offsets(4, 3).tolist()) == [[-1.75, -1.75], [-1.75, 1.75], [1.75, -1.75], [1.75, 1.75]]


def test_jitter_tells_units_of_different_pairs_apart_and_stays_in_range() -> None:
    one = layer(4, 6, 2, sharing="pair", max_offset=0)
    assert one.mu.abs().max() == 0
    one = layer(4, 6, 2, sharing="pair", max_offset=2)
    spread = one.mu - one.mu.mean(dim=(0, 1))
    assert 0.05 < spread.abs().max() < 0.2
    assert one.mu.unique().numel() > 90


def test_widths_spread_by_equal_factors() -> None:
    torch.testing.assert_close(spread_sigmas(3, 0.5, 2.0), torch.tensor([0.5, 1.0, 2.0]))
    assert spread_sigmas(1, 0.5, 2.0).tolist() == [0.5]


@pytest.mark.parametrize("preset", [None, "gaunet", "dau"])
def test_eighteen_layers_neither_lose_nor_blow_up_the_signal(preset: str | None) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 24, 32, 32)
    before = x.square().mean()
    with torch.no_grad():
        for _ in range(18):
            x = GaussianConv2d(24, 24, 4, preset=preset, max_offset=2)(x).relu()
    # weights that account for the blur of white noise grow it by 1e4 and more
    assert 1e-4 < x.square().mean() / before < 10


def test_a_step_out_of_range_is_taken_back_and_the_gradient_stays_alive() -> None:
    one = layer(2, 3, max_offset=2)
    with torch.no_grad():
        one.mu[0, 0], one.mu[1, 1] = 50.0, -50.0
        one.sigma.fill_(9.0)
    one(noise(1, 2, 8, 8)).square().sum().backward()
    assert one.mu.abs().max() == 2
    assert one.sigma == 2
    assert one.mu.grad[0, 0] != 0
    assert one.mu.grad[1, 1] != 0
    assert one.sigma.grad != 0


def test_a_unit_pushed_far_over_the_border_comes_back() -> None:
    one = layer(1, 1, 1, max_offset=2, sigma=1.5)
    with torch.no_grad():
        one.mu.fill_(7.0)
        one.weight.fill_(1.0)
    x = torch.zeros(1, 1, 13, 13)
    x[..., 6, 6] = 1
    with torch.no_grad():
        target = GaussianConv2d(1, 1, 1, max_offset=0, sigma=1.5, bias=False).requires_grad_(False)
        target.weight.fill_(1.0)
        goal = target(x)
    optimizer = torch.optim.Adam([one.mu], lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        (one(x) - goal).square().sum().backward()
        optimizer.step()
    assert one.mu.abs().max() < 0.3


def test_two_forward_passes_may_come_before_a_backward_one() -> None:
    one = layer(2, 2, max_offset=1)
    x = noise(1, 2, 6, 6)
    (one(x) + one(x)).sum().backward()
    assert one.mu.grad is not None


@pytest.mark.parametrize("shift", ["exact", "bilinear"])
def test_a_unit_three_pixels_off_finds_a_known_shift_and_width(shift: str) -> None:
    truth, one = (layer(1, 1, 1, shift=shift, max_offset=2, max_sigma=1.5, bias=False) for _ in range(2))
    with torch.no_grad():
        truth.mu.copy_(torch.tensor([[1.7, -1.2]]))
        truth.sigma.fill_(1.3)
        one.mu.copy_(torch.tensor([[-1.3, -1.2]]))
        for both in (truth, one):
            both.weight.fill_(1.0)
    x = nn.functional.avg_pool2d(noise(1, 1, 24, 24), 5, stride=1, padding=2)
    target = truth(x).detach()
    optimizer = torch.optim.Adam([one.mu, one.sigma], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        (one(x) - target).square().mean().backward()
        optimizer.step()
    one.eval()
    torch.testing.assert_close(one.mu, truth.mu, rtol=0, atol=0.05)
    torch.testing.assert_close(one.sigma, truth.sigma, rtol=0, atol=0.05)


@pytest.mark.parametrize("preset", [None, "gaunet", "dau"])
def test_a_padded_picture_keeps_its_mass(preset: str | None) -> None:
    one = layer(2, 3, 4, preset=preset, max_offset=2, bias=False)
    x = torch.zeros(1, 2, 48, 48)
    x[..., 20:28, 20:28] = noise(1, 2, 8, 8).abs()
    expected = one.unit_weights().sum(dim=-1) @ x.sum(dim=(0, 2, 3))
    # three shapes keep the mass of a Gaussian to about a hundredth
    tolerance = 0.03 if preset == "gaunet" else 1e-4
    torch.testing.assert_close(one(x).sum(dim=(0, 2, 3)), expected, rtol=tolerance, atol=tolerance)


def test_fused_weights_of_a_pair_add_up_to_its_one_weight() -> None:
    one = layer(3, 2, 4, fusion="softmax")
    nn.init.normal_(one.fusion_logits)
    assert one.unit_weights().shape == (2, 3, 4)
    torch.testing.assert_close(one.unit_weights().sum(dim=-1), one.weight)
    one(noise(1, 3, 6, 6)).square().sum().backward()
    assert one.fusion_logits.grad.any()


def test_presets_are_those_of_the_papers_and_give_way_to_arguments() -> None:
    gaunet, dau = layer(2, 2, preset="gaunet").setting, layer(2, 2, preset="dau").setting
    assert (gaunet.sharing, gaunet.shift, gaunet.fusion, gaunet.shape_rank) == ("layer", "bilinear", "softmax", 3)
    assert (dau.sharing, dau.shift, dau.grad_mode, dau.sigma, dau.learn_sigma) == (
        "pair",
        "bilinear",
        "dau",
        0.5,
        False,
    )
    assert layer(2, 2, preset="gaunet", shape_rank=4).setting.shape_rank == 4
    assert layer(2, 2, preset="dau", learn_sigma=True).setting.learn_sigma


def test_displacements_stay_exact_in_half_precision() -> None:
    one = layer(4, 4, dtype=torch.bfloat16)
    assert (one.weight.dtype, one.mu.dtype, one.sigma.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert one(noise(1, 4, 8, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert layer(2, 2, dtype=torch.float64).mu.dtype == torch.float64


def test_saved_values_are_in_range_and_load_again() -> None:
    one, other = layer(2, 2, preset="gaunet"), layer(2, 2, preset="gaunet", seed=1)
    with torch.no_grad():
        one.mu.fill_(40.0)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert (other.mu == 4).all()
    torch.testing.assert_close(other(noise(1, 2, 9, 9)), one(noise(1, 2, 9, 9)))


@pytest.mark.parametrize("bounds", [{"max_sigma": 0.6}, {"min_sigma": 0.7, "sigma": 0.7}, {"max_offset": 2.2}])
def test_bounds_that_float32_cannot_hold_do_not_refuse_the_own_weights(bounds: dict[str, float]) -> None:
    bounds = {"sigma": 0.55} | bounds
    one = layer(2, 2, **bounds)
    with torch.no_grad():
        one.mu.fill_(99.0)
        one.sigma.fill_(99.0 if "max_sigma" in bounds else 0.0)
    layer(2, 2, **bounds, seed=1).load_state_dict(one.state_dict())


@pytest.mark.parametrize(("name", "value"), [("mu", 3.5), ("mu", float("nan")), ("sigma", 2.5)])
def test_weights_of_a_layer_with_wider_ranges_are_refused(name: str, value: float) -> None:
    state = layer(2, 2, max_offset=2).state_dict()
    state[name] = torch.full_like(state[name], value)
    with pytest.raises(ValueError, match=rf"loaded {name} must lie in \[.*\], got values from {value}"):
        layer(2, 2, max_offset=2).load_state_dict(state)


@pytest.mark.parametrize("setting", [{}, {"preset": "gaunet", "stride": 2}])
def test_one_map_without_a_batch_is_taken_as_conv2d_takes_it(setting: dict[str, object]) -> None:
    one, x = layer(2, 3, **setting), noise(1, 2, 9, 8)
    assert torch.equal(one(x[0]), one(x)[0])


def test_a_copy_is_independent() -> None:
    one = layer(2, 2)
    twin = copy.deepcopy(one)
    nn.init.zeros_(twin.weight)
    assert one(noise(1, 2, 5, 5)).any()
    assert not twin(noise(1, 2, 5, 5)).any()


@pytest.mark.parametrize("preset", [None, "gaunet", "dau"])
def test_it_compiles_into_one_graph_that_still_takes_steps_back(preset: str | None) -> None:
    one = layer(2, 3, 2, preset=preset, max_offset=1)
    with torch.no_grad():
        one.mu.fill_(5.0)
    twin, x = copy.deepcopy(one), noise(1, 2, 6, 6)
    compiled = torch.compile(one, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), twin(x))
    compiled(x).square().sum().backward()
    twin(x).square().sum().backward()
    assert one.mu.max() == 1
    torch.testing.assert_close(one.mu.grad, twin.mu.grad)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_gaussians": 0}, r"num_gaussians must be a whole number in \[1, inf\), got 0"),
        ({"num_gaussians": 2.5}, r"num_gaussians must be a whole number in \[1, inf\), got 2.5"),
        ({"max_offset": -1}, r"max_offset must lie in \[0, inf\), got -1"),
        ({"sigma": 0.3}, r"sigma must lie in \[0.5, 2.0\], got 0.3"),
        ({"sigma": (0.5, 3.0)}, r"sigma must lie in \[0.5, 2.0\], got 3.0"),
        ({"max_sigma": 0.4}, r"max_sigma must lie in \[0.5, inf\), got 0.4"),
        ({"min_sigma": 0.0}, r"min_sigma must lie in \[0.1, inf\), got 0.0"),
        ({"max_offset": float("nan")}, "max_offset must lie in .*nan"),
        ({"sharing": "in"}, "sharing must be one of 'layer', 'input', 'pair', got 'in'"),
        ({"preset": "dua"}, "preset must be None, 'gaunet' or 'dau', got 'dua'"),
        ({"fusion": "max"}, "fusion must be one of None, 'softmax', got 'max'"),
        ({"grad_mode": "dau"}, "grad_mode='dau' is defined for shift='bilinear' only"),
        ({"shape_rank": 3}, "shape_rank=3 needs .*bilinear.*got 'layer', 'exact'"),
        ({"shape_rank": 0}, "shape_rank must be at least 1, got 0"),
        ({"preset": "gaunet", "dilation": 2}, "shape_rank=3 needs dilation=1, got 2"),
        ({"preset": "gaunet", "shape_rank": 40}, "rank must lie in 1..9"),
        ({"padding": 1}, "padding must be 'same', got 1"),
        ({"groups": 2}, "groups must be 1, got 2"),
        ({"stride": (1, 2)}, r"stride must be a whole number from 1.*\(1, 2\)"),
        ({"dilation": 0}, "dilation must be a whole number from 1.*0"),
        ({"stride": 1.5}, "stride must be a whole number from 1.* got 1.5"),
        ({"in_channels": 0}, r"in_channels must be a whole number in \[1, inf\), got 0"),
        ({"sigma": (0.5, 1.0, 2.0)}, r"sigma must be a width or a pair .*, got \(0.5, 1.0, 2.0\)"),
        ({"normalize": "max"}, "normalize must be one of 'sum', 'analytic', 'none', got 'max'"),
        ({"preset": "gaunet", "execution": "fast"}, "execution must be one of 'auto', .*, got 'fast'"),
    ],
)
def test_a_wrong_argument_is_named_with_its_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianConv2d(**{"in_channels": 2, "out_channels": 2, **wrong})


def test_its_repr_says_what_it_is() -> None:
    text = repr(layer(3, 5, 2, preset="gaunet", stride=2, bias=False))
    for part in ("3, 5, num_gaussians=2", "sharing=layer", "max_offset=4", "stride=2", "fusion=softmax", "bias=False"):
        assert part in text


@pytest.mark.parametrize("shift", ["exact", "bilinear"])
def test_its_window_holds_all_it_can_see(shift: str) -> None:
    one = layer(1, 1, 1, shift=shift, max_offset=2, max_sigma=1)
    with torch.no_grad():
        one.mu.fill_(2.0)
        one.sigma.fill_(1.0)
        one.weight.fill_(1.0)
    half = one.kernel_size[0] // 2
    x = torch.zeros(1, 1, 1, 2 * half + 11)
    x[..., half + 5] = 1
    seen = one.eval()(x)[0, 0, 0].nonzero().flatten()
    assert half + 5 - seen.min() <= half
    assert seen.max() - (half + 5) <= half
