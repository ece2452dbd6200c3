import pytest
import torch
from torch import Tensor

from dotally.models import GoogLeNet, build_model
from dotally.models.googlenet import GoogLeNetScores
from dotally.models.preprocessing import PRESETS

# table 1 of the paper: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
INCEPTIONS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


# without auxiliary heads as in torchvision's table of models; the heads add 3,188,968 and 3,191,016
@pytest.mark.parametrize(("aux_logits", "count"), [(False, 6_624_904), (True, 13_004_888)])
def test_it_has_the_published_number_of_parameters(aux_logits: bool, count: int) -> None:
    with torch.device("meta"):
        model = GoogLeNet(aux_logits=aux_logits)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def block(prefix: str, outputs: int, inputs: int, side: int) -> dict[str, tuple[int, ...]]:
    norm = {f"{prefix}.bn.{name}": (outputs,) for name in ("weight", "bias", "running_mean", "running_var")}
    return {
        f"{prefix}.conv.weight": (outputs, inputs, side, side),
        **norm,
        f"{prefix}.bn.num_batches_tracked": (),
    }


def test_names_and_shapes_are_torchvisions() -> None:
    expected = block("conv1", 64, 3, 7) | block("conv2", 64, 64, 1) | block("conv3", 192, 64, 3)
    for name, (inputs, one, reduce3, three, reduce5, five, pool) in INCEPTIONS.items():
        prefix = f"inception{name}.branch"
        expected |= block(f"{prefix}1", one, inputs, 1)
        expected |= block(f"{prefix}2.0", reduce3, inputs, 1) | block(f"{prefix}2.1", three, reduce3, 3)
        expected |= block(f"{prefix}3.0", reduce5, inputs, 1) | block(f"{prefix}3.1", five, reduce5, 3)
        expected |= block(f"{prefix}4.1", pool, inputs, 1)
    for name, inputs in [("aux1", 512), ("aux2", 528)]:
        expected |= block(f"{name}.conv", 128, inputs, 1)
        for layer, outputs, width in [("fc1", 1024, 2048), ("fc2", 1000, 1024)]:
            expected |= {f"{name}.{layer}.weight": (outputs, width), f"{name}.{layer}.bias": (outputs,)}
    expected |= {"fc.weight": (1000, 1024), "fc.bias": (1000,)}
    with torch.device("meta"):
        model = GoogLeNet(aux_logits=True)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == expected


@pytest.mark.parametrize("size", [(15, 15), (224, 224), (75, 131)])
def test_any_size_gives_one_score_per_class(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    logits = GoogLeNet(width=1 / 16, num_classes=10, aux_logits=True).eval()(torch.rand(2, 3, *size))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    assert logits.std() > 0


def test_auxiliary_heads_speak_in_training_only() -> None:
    torch.manual_seed(0)
    model = GoogLeNet(width=1 / 16, num_classes=4, aux_logits=True)
    scores = model(torch.rand(2, 3, 64, 64))
    assert isinstance(scores, GoogLeNetScores)
    assert [score.shape for score in scores] == [(2, 4)] * 3
    assert isinstance(build_model("googlenet", width=1 / 16)(torch.rand(2, 3, 64, 64)), Tensor)


def test_published_weights_get_pictures_between_minus_one_and_one() -> None:
    torch.manual_seed(0)
    plain = GoogLeNet(width=1 / 16, num_classes=4).eval()
    ported = GoogLeNet(width=1 / 16, num_classes=4, transform_input=True).eval()
    ported.load_state_dict(plain.state_dict())
    picture, preset = torch.rand(1, 3, 32, 32), PRESETS["imagenet"]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preset.mean, preset.std))
    torch.testing.assert_close(ported((picture - mean) / std), plain(picture * 2 - 1))


def test_transforming_needs_three_channels() -> None:
    with pytest.raises(ValueError, match="in_channels=1"):
        GoogLeNet(transform_input=True, in_channels=1)
