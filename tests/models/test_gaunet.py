"""GauNet's four counters; what every counting network must do is in test_counting_networks.py."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dotally.models import (
    VGG16,
    GauNetCSRNet,
    GauNetMCNN,
    GauNetResNet50Counter,
    GauNetSANet,
    build_model,
    load_imagenet_frontend,
)
from dotally.nn import GaussianConv2d, parameter_groups

# narrow windows: seconds instead of minutes on a slow core
FAST = {"layer": {"max_sigma": 1.0}}
SLIM: dict[str, Callable[[], nn.Module]] = {
    "mcnn": lambda: build_model("gaunet_mcnn", width=0.5, in_channels=3, **FAST),
    "csrnet, pyramid": lambda: build_model(
        "gaunet_csrnet", width=1 / 16, gaussians=(2, 4), batch_norm=True, max_offset=1, **FAST
    ),
    "csrnet, sequence": lambda: build_model(
        "gaunet_csrnet", width=1 / 16, gaussians=(2,), arrangement="sequence", batch_norm=True, max_offset=1, **FAST
    ),
    "csrnet, figure 3": lambda: build_model(
        "gaunet_csrnet", width=1 / 16, gaussians=(2,), batch_norm=True, max_offset=1, preset="gaunet"
    ),
    "sanet": lambda: build_model("gaunet_sanet", width=1 / 4, layer={"max_sigma": 0.6}),
    "resnet50": lambda: build_model(
        "gaunet_resnet50_counter", width=1 / 8, num_gaussians=2, stages=(3,), max_offset=1, **FAST
    ),
}


@pytest.fixture(params=SLIM)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return SLIM[request.param]()


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def gaussians(model: nn.Module) -> dict[str, GaussianConv2d]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, GaussianConv2d)}


# C_in C_out (K + 1) weights where they are fused, C_in C_out K where not, 3 K places and widths or 2 K + 1, biases
@pytest.mark.parametrize(
    ("name", "arguments", "count"),
    [
        ("gaunet_mcnn", {}, 58_228),
        ("gaunet_csrnet", {}, 21_060_091),
        ("gaunet_csrnet", {"arrangement": "sequence"}, 18_307_916),
        ("gaunet_csrnet", {"gaussians": (4,)}, 11_471_223),
        ("gaunet_csrnet", {"gaussians": (4,), "preset": "gaunet"}, 12_429_705),
        ("gaunet_sanet", {}, 337_135),
        ("gaunet_resnet50_counter", {}, 6_380_955),
        ("gaunet_resnet50_counter", {"preset": "gaunet"}, 6_839_737),
    ],
)
def test_counters_have_their_number_of_parameters(name: str, arguments: dict[str, object], count: int) -> None:
    with torch.device("meta"):
        model = build_model(name, **arguments)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_a_back_end_has_the_parameters_of_its_layers() -> None:
    channels = [512, 512, 512, 512, 256, 128, 64]
    pairs = sum(i * o for i, o in itertools.pairwise(channels))
    with torch.device("meta"):
        backends = GauNetCSRNet().backends
    found = [sum(parameter.numel() for parameter in backend.parameters()) for backend in backends]
    assert found == [pairs * k + sum(channels[1:]) + 6 * (2 * k + 1) for k in (2, 4, 8)]


def test_mcnn_has_sixteen_gaussians_first_and_fewer_in_narrow_columns() -> None:
    with torch.device("meta"):
        layers = gaussians(GauNetMCNN())
    counts = {name: layer.num_gaussians for name, layer in layers.items()}
    assert counts == {
        **{f"branch{column}.{index}": 16 for column in (1, 2, 3) for index in (0, 3)},
        **{f"branch{column}.{index}": count for column, count in ((1, 2), (2, 4), (3, 8)) for index in (6, 8)},
        "fuse.0": 16,
    }


def test_csrnet_keeps_its_front_end_and_dilates_nothing() -> None:
    with torch.device("meta"):
        model = GauNetCSRNet()
    assert gaussians(model.frontend) == {}
    assert [[layer.num_gaussians for layer in gaussians(b).values()] for b in model.backends] == [
        [2] * 6,
        [4] * 6,
        [8] * 6,
    ]
    assert {layer.dilation for layer in gaussians(model).values()} == {1}
    assert isinstance(model.output_layer, nn.Conv2d)


def test_csrnet_takes_imagenet_weights_into_its_front_end(tmp_path: Path) -> None:
    vgg = VGG16(width=1 / 32, num_classes=2)
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    model = GauNetCSRNet(width=1 / 32)
    load_imagenet_frontend(model, tmp_path / "vgg.pth")
    for name, value in model.frontend.state_dict().items():
        assert torch.equal(value, vgg.features.state_dict()[name])


def test_forms_of_c3_end_with_a_relu() -> None:
    with torch.device("meta"):
        assert isinstance(GauNetSANet(form="c3").activation, nn.ReLU)
        assert isinstance(GauNetResNet50Counter(form="c3").head[-1], nn.ReLU)
        assert GauNetSANet(form="c3").encoder[-1].branches[0][-3].out_channels == 32  # 128 in all, 64 in the paper


def test_csrnet_in_sequence_ends_with_eight_gaussians() -> None:
    with torch.device("meta"):
        model = GauNetCSRNet(arrangement="sequence")
    assert [backend[0].in_channels for backend in model.backends] == [512, 64, 64]
    assert model.output_layer.num_gaussians == 8


def test_sanet_has_no_plain_convolution_left() -> None:
    with torch.device("meta"):
        model = GauNetSANet(num_gaussians=3)
    assert not any(type(layer) is nn.Conv2d for layer in model.modules())
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in model.modules()) == 3
    assert {layer.num_gaussians for layer in gaussians(model).values()} == {3}


def test_resnet_changes_the_three_by_three_of_its_bottlenecks() -> None:
    with torch.device("meta"):
        layers = gaussians(GauNetResNet50Counter())
        second = gaussians(GauNetResNet50Counter(stages=(2,)))
    assert set(layers) == {f"layer2.{i}.conv2" for i in range(4)} | {f"layer3.{i}.conv2" for i in range(6)}
    assert layers["layer2.0.conv2"].stride == 2
    assert set(second) == {f"layer2.{i}.conv2" for i in range(4)}


def test_strides_are_those_of_the_plain_networks() -> None:
    with torch.device("meta"):
        for name in ("mcnn", "csrnet", "sanet", "resnet50_counter"):
            plain, gaunet = build_model(name), build_model(f"gaunet_{name}")
            assert gaunet.stride == plain.stride
            assert (gaunet.receptive_field is None) == (plain.receptive_field is None)


@pytest.mark.parametrize("arrangement", ["pyramid", "sequence"])
def test_csrnet_sees_as_far_as_its_gaussians_may_go(arrangement: str) -> None:
    with torch.device("meta"):
        model = GauNetCSRNet(arrangement=arrangement, layer={"shift": "exact"}, max_offset=2)
    # the front end sees 92 pixels; a window of 2 + 4 * 2 cells of 8 pixels to each side
    layers = 6 if arrangement == "pyramid" else 19
    assert model.receptive_field == 92 + layers * 2 * 10 * 8


def test_a_batch_of_two_equals_its_pictures_one_by_one(network: nn.Module) -> None:
    network.eval()
    pictures = picture(2, 3, 24, 32)
    singles = torch.cat([network(pictures[:1]), network(pictures[1:])])
    torch.testing.assert_close(network(pictures), singles, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter(network: nn.Module) -> None:
    network(picture(2, 3, 32, 32)).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if not parameter.grad.any()] == []


def test_weight_decay_moves_no_displacement_and_no_width(network: nn.Module) -> None:
    groups = network.parameter_groups(lr=0.5, weight_decay=0.1)  # type: ignore[operator]
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    places = {id(value) for layer in gaussians(network).values() for value in (layer.mu, layer.sigma)}
    assert decay == {id(p): 0.0 if id(p) in places else 0.1 for p in network.parameters()}
    assert {group["lr"] for group in groups} == {0.5}


@pytest.mark.slow
def test_one_picture_can_be_overfitted(network: nn.Module) -> None:
    cells = torch.zeros(1, 1, 4, 4)
    cells[0, 0, [1, 2, 3], [2, 1, 3]] = torch.tensor([2.0, 1.0, 1.0])
    x = nn.functional.interpolate(cells, size=(32, 32)).expand(1, 3, 32, 32) / 2 + picture(1, 3, 32, 32) / 10
    target = nn.functional.interpolate(cells, size=(32 // network.stride,) * 2)
    # batch norm of a single picture, in fifty layers, takes smaller steps
    lr = 3e-3 if isinstance(network, GauNetResNet50Counter) else 1e-2
    optimizer = torch.optim.Adam(parameter_groups(network, lr=lr, mu_lr_scale=1))
    for _ in range(80):
        loss = (network(x) - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1 * target.square().sum()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GauNetCSRNet(gaussians=()), r"gaussians must name each back end's K.*got \(\)"),
        (lambda: GauNetCSRNet(gaussians=4), "gaussians must name each back end's K.*got 4"),
        (lambda: GauNetCSRNet(arrangement="tower"), "arrangement must be 'pyramid' or 'sequence', got 'tower'"),
        (lambda: GauNetResNet50Counter(stages=(4,)), r"stages must be some of 1, 2, 3, got \[4\]"),
        (lambda: GauNetMCNN(preset="gau"), "preset must be None, 'gaunet' or 'dau', got 'gau'"),
        (lambda: GauNetSANet(num_gaussians=0), r"num_gaussians must be a whole number in \[1, inf\), got 0"),
    ],
)
def test_a_wrong_value_is_named(build: Callable[[], nn.Module], message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build()
