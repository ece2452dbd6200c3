import pytest
import torch
from torch import nn

from dotally.nn import GaussianConv2d, gaussianize
from dotally.nn.cost import flops_per_position


def network() -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2),
        nn.ReLU(),
    )
    return nn.Sequential(nn.Conv2d(3, 4, 7, padding=3), body, nn.Conv2d(8, 1, 1))


def gaussian_names(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, GaussianConv2d)]


@pytest.mark.parametrize(
    ("select", "names"),
    [
        (["1.*"], ["1.0", "1.2"]),
        ("1.0", ["1.0"]),
        (["0", "2"], ["0", "2"]),
        (lambda name, conv: conv.kernel_size == (3, 3), ["1.0", "1.2"]),
        (lambda name, conv: name == "2", ["2"]),
    ],
)
def test_patterns_and_functions_choose(select: object, names: list[str]) -> None:
    model = network()
    gaussianize(model, select)
    assert gaussian_names(model) == names


def test_sizes_stride_dilation_and_bias_stay() -> None:
    model, x = network(), torch.rand(2, 3, 13, 10)
    before = model(x).shape
    gaussianize(model, ["*"], num_gaussians=2)
    assert model(x).shape == before
    first, second = model[1][0], model[1][2]
    assert (first.stride, first.dilation, first.bias) == (2, 1, None)
    assert (second.stride, second.dilation) == (1, 2)
    assert second.bias is not None


def test_displacements_reach_as_far_as_the_kernel_did() -> None:
    model = network()
    gaussianize(model, ["*"])
    assert [model.get_submodule(name).max_offset for name in gaussian_names(model)] == [3, 1, 1, 1]
    model = network()
    gaussianize(model, ["*"], max_offset=2.5)
    assert {model.get_submodule(name).max_offset for name in gaussian_names(model)} == {2.5}


def test_a_convolution_used_twice_is_replaced_twice_by_one_layer() -> None:
    shared = nn.Conv2d(3, 3, 3, padding=1)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    report = gaussianize(model, ["0"])
    assert model[0] is model[2]
    assert isinstance(model[0], GaussianConv2d)
    assert len(report.changes) == 1


def test_mode_and_dtype_stay() -> None:
    model = network().double().eval()
    gaussianize(model, ["0"])
    assert not model[0].training
    assert model(torch.rand(1, 3, 9, 9, dtype=torch.float64)).dtype == torch.float64


def test_the_report_counts_parameters_and_operations() -> None:
    model = network()
    report = gaussianize(model, ["1.0"], num_gaussians=2, input_size=(3, 16, 12))
    (change,) = report.changes
    # 2 * 4 * 8 * 9 operations at 8 x 6 positions; 4 * 8 * 2 weights, four coordinates, one width
    assert change.parameters == (288, 69)
    assert change.flops == (48 * 2 * 288, 48 * flops_per_position(model[1][0]))
    assert report.network.parameters[1] == sum(parameter.numel() for parameter in model.parameters())
    convolutions = 16 * 12 * 2 * 3 * 4 * 49 + 48 * 2 * 288 + 48 * 2 * 8 * 8 * 9 + 48 * 2 * 8
    assert report.network.flops == (convolutions, convolutions - change.flops[0] + change.flops[1])
    assert "288 -> 69" in str(report)
    assert "1 replaced" in str(report)


def test_without_a_size_only_parameters_are_counted() -> None:
    assert gaussianize(network(), ["2"]).network.flops is None


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (["3.*"], r"no convolution is named '3\.\*'; there are 4: 0, 1\.0, 1\.2, 2"),
        ([], "select is empty"),
        (lambda name, conv: False, "chose none of the 4 convolutions"),
    ],
)
def test_choosing_nothing_is_an_error(select: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gaussianize(network(), select)


@pytest.mark.parametrize(
    "odd",
    [
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, (3, 5), padding=(1, 2)),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 4, padding=2),
        nn.Conv2d(4, 4, 3, padding=1, stride=(1, 2)),
    ],
)
def test_what_cannot_be_gaussian_is_named_and_nothing_changes(odd: nn.Conv2d) -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), odd)
    with pytest.raises(ValueError, match="1 cannot become Gaussian"):
        gaussianize(model, ["*"])
    assert gaussian_names(model) == []


def test_a_lone_convolution_has_no_place_to_put_another() -> None:
    with pytest.raises(ValueError, match="one convolution itself"):
        gaussianize(nn.Conv2d(1, 1, 3, padding=1), ["*"])


# specs of GauNet, section 4.5: K C_in C_out products instead of k^2 C_in C_out, and what makes the planes
def test_four_gaussians_cost_about_half_of_nine_taps() -> None:
    dense = flops_per_position(nn.Conv2d(512, 512, 3))
    bilinear = flops_per_position(GaussianConv2d(512, 512, 4, shift="bilinear")) / dense
    exact = flops_per_position(GaussianConv2d(512, 512, 4)) / dense
    shapes = flops_per_position(GaussianConv2d(512, 512, 4, preset="gaunet")) / dense
    assert 4 / 9 < bilinear < exact < 0.5 < shapes < 0.7


def test_displacements_of_pairs_cost_a_dense_window() -> None:
    dau = GaussianConv2d(64, 64, 4, preset="dau", max_offset=4)
    assert flops_per_position(dau) > flops_per_position(nn.Conv2d(64, 64, 9))
    assert flops_per_position(nn.Linear(3, 5)) == 30
