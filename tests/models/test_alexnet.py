import pytest
import torch

from dotally.models import AlexNet


def test_it_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = AlexNet()
    # torchvision's table of models
    assert sum(parameter.numel() for parameter in model.parameters()) == 61_100_840


def test_names_and_shapes_are_torchvisions() -> None:
    convolutions = [(0, 64, 3, 11), (3, 192, 64, 5), (6, 384, 192, 3), (8, 256, 384, 3), (10, 256, 256, 3)]
    expected: dict[str, tuple[int, ...]] = {}
    for position, outputs, inputs, side in convolutions:
        expected[f"features.{position}.weight"] = (outputs, inputs, side, side)
        expected[f"features.{position}.bias"] = (outputs,)
    for position, outputs, inputs in [(1, 4096, 9216), (4, 4096, 4096), (6, 1000, 4096)]:
        expected[f"classifier.{position}.weight"] = (outputs, inputs)
        expected[f"classifier.{position}.bias"] = (outputs,)
    with torch.device("meta"):
        assert {name: tuple(value.shape) for name, value in AlexNet().state_dict().items()} == expected


@pytest.mark.parametrize(("side", "map_side"), [(224, 6), (63, 1)])
def test_maps_are_as_large_as_the_originals(side: int, map_side: int) -> None:
    with torch.device("meta"):
        assert AlexNet().features(torch.rand(1, 3, side, side)).shape == (1, 256, map_side, map_side)


@pytest.mark.parametrize("size", [(63, 63), (224, 224), (75, 131)])
def test_any_size_gives_one_score_per_class(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    logits = AlexNet(width=1 / 32, num_classes=10).eval()(torch.rand(2, 3, *size))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    assert logits.std() > 0
