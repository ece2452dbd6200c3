import pytest
import torch
from torch import nn

from dotally.models import CSRNet
from dotally.models.mcnn import MCNN
from dotally.models.receptive_field import receptive_field


def columns_that_matter(model: nn.Module, channels: int) -> int:
    """Count the input columns that change one output cell, by lighting them one at a time.

    With weights of one nothing can cancel, so every column in reach shows.
    """
    for name, parameter in model.double().named_parameters():
        nn.init.constant_(parameter, float(name.endswith("weight")))
    stride = model.stride
    width = (model.receptive_field // stride + 6) * stride
    pictures = torch.zeros(width, channels, stride, width, dtype=torch.float64)
    pictures[range(width), :, :, range(width)] = 1
    with torch.no_grad():
        middle = model(pictures)[:, 0, 0, width // stride // 2]
    assert middle[0] == middle[-1] == 0
    return int((middle != 0).sum())


@pytest.mark.parametrize(("backend", "field"), [("A", 188), ("B", 284), ("C", 380), ("D", 476)])
def test_csrnet_sees_as_far_as_it_says(backend: str, field: int) -> None:
    model = CSRNet(backend=backend, width=1 / 512)
    assert (model.receptive_field, model.stride) == (field, 8)
    assert columns_that_matter(model, channels=3) == field


def test_mcnn_sees_as_far_as_it_says() -> None:
    model = MCNN(width=1 / 64)
    # its widest column: 9 + 1 + 2 * 6 + 2 + 4 * 6 + 4 * 6
    assert (model.receptive_field, model.stride) == (72, 4)
    assert columns_that_matter(model, channels=1) == 72


def test_batch_norm_does_not_widen_the_field() -> None:
    assert CSRNet(width=1 / 64, batch_norm=True).receptive_field == 284


def test_average_pooling_counts_like_max_pooling() -> None:
    assert receptive_field(nn.AvgPool2d(3, stride=2), nn.Conv2d(1, 1, 5)) == (11, 2)


def test_nothing_sees_one_pixel() -> None:
    assert receptive_field() == (1, 1)


@pytest.mark.parametrize("layer", [nn.AdaptiveAvgPool2d(1), nn.InstanceNorm2d(1), nn.Linear(1, 1)])
def test_a_layer_of_unknown_reach_is_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=type(layer).__name__):
        receptive_field(nn.Conv2d(1, 1, 3), nn.Sequential(layer))


def test_windows_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        receptive_field(nn.Conv2d(1, 1, (3, 5)))
