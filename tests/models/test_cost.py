"""What networks cost, held against what PyTorch itself counts and keeps when they run."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dotally import cli
from dotally.models import build_model, list_models
from dotally.models.cost import network_cost
from dotally.nn import GaussianConv2d
from dotally.nn.cost import flops_per_position

# the smallest members of each family whose layers are all there
NARROW = {"alexnet", "csrnet", "googlenet", "resnet50", "resnet50_counter", "vgg16"}
PLAIN = [name for name in list_models() if not name.startswith("gaunet_")]
# how their auto would run on large maps
BY_PLANES = {
    "gaunet_csrnet": {"width": 0.125, "gaussians": (4,), "layer": {"execution": "bank"}},
    "gaunet_mcnn": {"width": 0.25, "layer": {"execution": "bank"}},
}


def build(name: str) -> nn.Module:
    return build_model(name, **BY_PLANES.get(name, {"width": 0.125} if name in NARROW else {}))


@contextmanager
def kept(model: nn.Module, pictures: Tensor) -> Iterator[dict[int, int]]:
    """Measure the bytes that autograd keeps, beside the network's own and the pictures."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers(), pictures)}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found


def pictures_for(name: str, size: tuple[int, int]) -> Tensor:
    return torch.zeros(2, 1 if "mcnn" in name else 3, *size)


@pytest.mark.parametrize("name", PLAIN)
def test_operations_are_those_that_pytorch_counts(name: str) -> None:
    model, size = build(name), (64, 72)
    cost = network_cost(model, size, batch=2)
    model.to("meta")
    pictures = pictures_for(name, size).to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as forward:
        model.eval()(pictures)
    with FlopCounterMode(display=False) as training:
        model.train()(pictures).sum().backward()
    assert cost.flops == forward.get_total_flops() > 0
    assert cost.training_flops == training.get_total_flops()
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", ["csrnet", "mcnn", "sanet", "resnet50_counter", "googlenet", *BY_PLANES])
def test_what_training_keeps_is_what_autograd_keeps(name: str) -> None:
    model, size = build(name).train(), (32, 40)
    cost = network_cost(model, size, batch=2)
    pictures = pictures_for(name, size)
    with kept(model, pictures) as found:
        total = model(pictures).sum()
        assert cost.saved == sum(found.values()) > 0
    assert total.requires_grad
    weights = 4 * cost.parameters
    # at the end of the forward pass, and at that of the backward pass
    assert cost.training_memory >= weights + pictures.nbytes + max(cost.saved, weights)


def test_a_network_by_hand() -> None:
    """A 3x3 convolution of 2 to 4 channels without padding, its bias, and a ReLU, on a map of 6 x 5."""
    cost = network_cost(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU()), (6, 5))
    weights, picture, maps = 4 * (2 * 9 + 1), 2 * 30, 4 * 12
    assert (cost.parameters, cost.flops) == (76, 2 * 2 * 9 * maps)
    assert cost.training_flops == 2 * cost.flops, "the gradient for the picture is not computed"
    assert cost.moved == 4 * ((picture + weights + maps) + 2 * maps)
    assert cost.memory == 4 * (weights + picture + 2 * maps)
    assert cost.saved == 4 * maps, "what the ReLU gives; the picture is there anyway"
    assert (cost.receptive_field, cost.stride) == (None, None)


def test_costs_grow_with_the_batch_and_nothing_is_changed() -> None:
    model = build("csrnet")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, two = (network_cost(model, (64, 64), batch=batch) for batch in (1, 2))
    assert two.flops == 2 * one.flops
    assert two.saved == 2 * one.saved
    assert (one.receptive_field, one.stride) == (284, 8)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_auxiliary_classifiers_cost_in_training_alone() -> None:
    with torch.device("meta"):
        plain, auxiliary = (build_model("googlenet", aux_logits=aux) for aux in (False, True))
    costs = [network_cost(network, (224, 224)) for network in (plain, auxiliary)]
    assert costs[0].flops == costs[1].flops
    assert costs[0].training_flops < costs[1].training_flops


def test_csrnet_costs_what_its_paper_and_the_layers_say() -> None:
    """16.26 M parameters; 650 GFLOP at 768 x 1024: 438 of the front end and 212 of the back end."""
    with torch.device("meta"):
        cost = network_cost(build_model("csrnet"), (768, 1024))
    assert cost.parameters == 16_263_489
    assert cost.flops == pytest.approx(650e9, rel=0.005)


def test_displacements_of_pairs_are_counted_as_the_dense_window_that_computes_them() -> None:
    layer = GaussianConv2d(8, 16, 3, sharing="pair", max_offset=2, max_sigma=0.5)
    assert flops_per_position(layer) == 2 * 8 * 16 * 9**2
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        layer(torch.zeros(1, 8, 3, 3))
    assert counter.get_flop_counts()["Global"][torch.ops.aten.convolution] == 9 * flops_per_position(layer)


def test_shared_displacements_are_counted_by_the_cheapest_way() -> None:
    """A product for each Gaussian and little for its planes; for many Gaussians, one dense window."""
    few, many = (flops_per_position(GaussianConv2d(512, 512, k, max_offset=1, max_sigma=0.5)) for k in (4, 60))
    assert few == pytest.approx(2 * 512 * 512 * 4, rel=0.05)
    assert many == 2 * 512 * 512 * 7**2


def test_networks_without_layers_and_impossible_sizes_are_refused() -> None:
    for network in (nn.ReLU(), nn.Linear(8, 2)):
        with pytest.raises(ValueError, match="nothing to count"):
            network_cost(network, (8, 8))
    with pytest.raises(ValueError, match=r"CSRNet takes no pictures of \[1, 3, 4, 4\]"):
        network_cost(build("csrnet"), (4, 4))


def test_the_command_prints_a_row_for_each_network(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["cost", "csrnet", "--size", "1024x768", "--set", "width=0.125", "batch_norm=true"]
    assert cli.main(arguments) == 0
    told = capsys.readouterr().out
    assert "1 x 1024x768 pixels" in told
    assert "255,993" in told
    assert "284 px" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["csrnt"], "Did you mean 'csrnet'?"),
        (["csrnet", "--set", "wide=2"], "unknown argument of csrnet: 'wide'"),
        (["csrnet", "--set", "width"], "KEY=VALUE"),
        (["csrnet", "--set", "width=wide"], "str"),
        (["csrnet", "--size", "4x4"], "takes no pictures"),
    ],
)
def test_wrong_use_of_the_command_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["cost", *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
