import torch
from torch import nn

from dotally.nn import GaussianConv2d, parameter_groups


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), GaussianConv2d(4, 4, 2), GaussianConv2d(4, 2, preset="dau"))


def test_displacements_and_widths_learn_at_their_own_pace_and_never_decay() -> None:
    groups = {group["name"]: group for group in parameter_groups(network(), lr=1e-3, weight_decay=0.1, mu_lr_scale=20)}
    assert {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()} == {
        "weights": (1e-3, 0.1),
        "mu": (2e-2, 0.0),
        "sigma": (1e-3, 0.0),
    }


def test_every_trainable_parameter_is_in_one_group() -> None:
    model = network()
    model[0].weight.requires_grad_(False)
    groups = parameter_groups(model, lr=1.0)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    expected = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
    assert sorted(listed) == sorted(expected)
    # the DAU layer's width is fixed, the other layer's is not
    assert [len(group["params"]) for group in groups] == [5, 2, 1]


def test_a_network_without_gaussians_has_one_group() -> None:
    assert [group["name"] for group in parameter_groups(nn.Conv2d(1, 1, 1), lr=1.0)] == ["weights"]


def test_an_optimizer_takes_them() -> None:
    model = network()
    optimizer = torch.optim.Adam(parameter_groups(model, lr=1e-2))
    before = model[1].mu.clone()
    model(torch.rand(1, 3, 9, 9)).sum().backward()
    optimizer.step()
    # Adam's first step is as long as the learning rate
    torch.testing.assert_close((model[1].mu - before).abs(), torch.full_like(before, 0.1), rtol=0.01, atol=0)
