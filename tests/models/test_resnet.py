import pytest
import torch

from dotally.models import ResNet50
from dotally.models.resnet import Bottleneck, residual_stage

# (channels, blocks, inputs) of the four stages, table 1 of the paper
STAGES = [(64, 3, 64), (128, 4, 256), (256, 6, 512), (512, 3, 1024)]


def test_it_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = ResNet50()
    # torchvision's table of models
    assert sum(parameter.numel() for parameter in model.parameters()) == 25_557_032


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{kind}": (channels,) for kind in kinds}, f"{name}.num_batches_tracked": ()}


def test_names_and_shapes_are_torchvisions() -> None:
    expected = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64), "fc.weight": (1000, 2048), "fc.bias": (1000,)}
    for stage, (channels, blocks, inputs) in enumerate(STAGES, start=1):
        for index in range(blocks):
            prefix, entry = f"layer{stage}.{index}", inputs if index == 0 else 4 * channels
            expected[f"{prefix}.conv1.weight"] = (channels, entry, 1, 1)
            expected[f"{prefix}.conv2.weight"] = (channels, channels, 3, 3)
            expected[f"{prefix}.conv3.weight"] = (4 * channels, channels, 1, 1)
            expected |= norm(f"{prefix}.bn1", channels) | norm(f"{prefix}.bn2", channels)
            expected |= norm(f"{prefix}.bn3", 4 * channels)
        expected[f"layer{stage}.0.downsample.0.weight"] = (4 * channels, inputs, 1, 1)
        expected |= norm(f"layer{stage}.0.downsample.1", 4 * channels)
    with torch.device("meta"):
        assert {name: tuple(value.shape) for name, value in ResNet50().state_dict().items()} == expected


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (75, 131)])
def test_any_size_gives_one_score_per_class(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    logits = ResNet50(width=1 / 16, num_classes=10).eval()(torch.rand(2, 3, *size))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    assert logits.std() > 0


def test_the_stride_sits_in_the_three_by_three_convolution() -> None:
    stage = residual_stage(8, 4, 2, stride=2)
    assert [(block.conv1.stride, block.conv2.stride) for block in stage] == [((1, 1), (2, 2)), ((1, 1), (1, 1))]
    assert stage(torch.rand(1, 8, 9, 9)).shape == (1, 16, 5, 5)


def test_a_block_that_computes_nothing_passes_its_input_on() -> None:
    block = Bottleneck(16, 4).eval()
    torch.nn.init.zeros_(block.conv3.weight)
    x = torch.rand(1, 16, 5, 5)
    assert block.downsample is None
    torch.testing.assert_close(block(x), x)
