"""What every counting network must do, whatever is inside it."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dotally.models import build_model

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "csrnet": lambda: build_model("csrnet", width=1 / 8, init="he"),
    "csrnet with batch norm": lambda: build_model("csrnet", width=1 / 16, batch_norm=True),
    "mcnn": lambda: build_model("mcnn", in_channels=3),
    "a column of MCNN": lambda: build_model("plain_counter", form="column3"),
    "deeper": lambda: build_model("plain_counter", form="deeper"),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[request.param]()


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(8, 8), (37, 61), (64, 40), (9, 71)])
def test_any_size_gives_one_cell_per_whole_stride(network: nn.Module, size: tuple[int, int]) -> None:
    out = network.eval()(picture(2, 3, *size))
    assert out.shape == (2, 1, size[0] // network.stride, size[1] // network.stride)


def test_a_batch_of_two_equals_its_pictures_one_by_one(network: nn.Module) -> None:
    network.eval()
    pictures = picture(2, 3, 48, 40)
    singles = torch.cat([network(pictures[:1]), network(pictures[1:])])
    torch.testing.assert_close(network(pictures), singles)


def test_a_blank_picture_gives_finite_densities_and_gradients(network: nn.Module) -> None:
    out = network(torch.zeros(2, 3, 32, 32))
    out.sum().backward()
    assert out.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_gradients_reach_every_parameter(network: nn.Module) -> None:
    network(picture(2, 3, 64, 64)).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if not parameter.grad.any()] == []


def test_one_picture_can_be_overfitted(network: nn.Module) -> None:
    target = torch.zeros(1, 1, 48 // network.stride, 48 // network.stride)
    target[..., 1, 2], target[..., 4, 4], target[..., 5, 1] = 2.0, 1.0, 1.0
    heads = F.interpolate(target, scale_factor=network.stride).expand(1, 3, 48, 48)
    x = heads / 2 + picture(1, 3, 48, 48) / 10
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(80):
        loss = (network(x) - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.01 * target.square().sum()
    assert network(x).sum().item() == pytest.approx(4, abs=0.2)


def test_a_shift_by_one_stride_shifts_the_density_by_one_cell(network: nn.Module) -> None:
    # only where borders are out of sight, so this checks stride and receptive field together
    network.eval()
    stride, margin = network.stride, network.receptive_field // network.stride // 2 + 2
    x = picture(1, 3, stride, (2 * margin + 4) * stride)
    shifted = network(x.roll(stride, dims=-1))[..., margin:-margin]
    torch.testing.assert_close(shifted, network(x).roll(1, dims=-1)[..., margin:-margin])


def test_importing_the_networks_never_imports_torchvision() -> None:
    code = "import sys, dotally.models; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("form", "channels", "parameters"),
    [("column1", 1, 57_752), ("column2", 1, 45_990), ("column3", 3, 25_140), ("deeper", 3, 83_840)],
)
def test_plain_counters_have_the_parameters_of_csrnets_first_table(form: str, channels: int, parameters: int) -> None:
    network = build_model("plain_counter", form=form, in_channels=channels)
    assert sum(weight.numel() for name, weight in network.named_parameters() if "bias" not in name) == parameters
