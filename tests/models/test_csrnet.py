import pytest
import torch
from torch import nn

from dotally.models import CSRNet

# (index in the Sequential, out, in) of every convolution, as in the authors' PyTorch checkpoints
FRONTEND = [(0, 64, 3), (2, 64, 64), (5, 128, 64), (7, 128, 128), (10, 256, 128), (12, 256, 256), (14, 256, 256)]
FRONTEND += [(17, 512, 256), (19, 512, 512), (21, 512, 512)]
BACKEND = [(0, 512, 512), (2, 512, 512), (4, 512, 512), (6, 256, 512), (8, 128, 256), (10, 64, 128)]


@pytest.mark.parametrize("backend", ["A", "B", "C", "D"])
def test_every_backend_has_the_published_number_of_parameters(backend: str) -> None:
    with torch.device("meta"):
        model = CSRNet(backend=backend)
    # 16.26 M in table 3 of the paper; exactly: front end 7,635,264 and 8,628,225
    assert sum(parameter.numel() for parameter in model.parameters()) == 16_263_489
    assert sum(parameter.numel() for parameter in model.frontend.parameters()) == 7_635_264


def test_names_and_shapes_are_those_of_the_official_checkpoints() -> None:
    with torch.device("meta"):
        found = {name: tuple(value.shape) for name, value in CSRNet().state_dict().items()}
    expected = {"output_layer.weight": (1, 64, 1, 1), "output_layer.bias": (1,)}
    for part, layers in {"frontend": FRONTEND, "backend": BACKEND}.items():
        for index, out_channels, in_channels in layers:
            expected[f"{part}.{index}.weight"] = (out_channels, in_channels, 3, 3)
            expected[f"{part}.{index}.bias"] = (out_channels,)
    assert found == expected


# table 3 of the paper
@pytest.mark.parametrize(
    ("backend", "dilations"),
    [("A", [1] * 6), ("B", [2] * 6), ("C", [2, 2, 2, 4, 4, 4]), ("D", [4] * 6)],
)
def test_backends_differ_in_their_dilation_alone(backend: str, dilations: list[int]) -> None:
    model = CSRNet(backend=backend, width=1 / 64)
    assert [layer.dilation[0] for layer in model.backend if isinstance(layer, nn.Conv2d)] == dilations


def test_an_eighth_of_the_width_has_a_quarter_of_a_million_parameters() -> None:
    model = CSRNet(width=0.125, batch_norm=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == 255_993


def test_weights_start_with_the_papers_deviation() -> None:
    torch.manual_seed(0)
    model = CSRNet(width=0.25)
    weights = torch.cat([layer.weight.flatten() for layer in model.modules() if isinstance(layer, nn.Conv2d)])
    assert weights.std().item() == pytest.approx(0.01, rel=0.01)
    assert not any(layer.bias.any() for layer in model.modules() if isinstance(layer, nn.Conv2d))


def test_he_keeps_the_signal_that_the_papers_deviation_loses() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 64, 64)
    spread = {init: CSRNet(width=0.25, init=init)(x).std().item() for init in ("gaussian", "he")}
    assert spread["gaussian"] < 1e-6 < 1e-2 < spread["he"]


@pytest.mark.parametrize("wrong", [{"backend": "E"}, {"width": 0}, {"width": -1.0}, {"init": "zero"}])
def test_a_wrong_value_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be .*{next(iter(wrong.values()))}"):
        CSRNet(**wrong)
