import pytest
import torch

from dotally.models import VGG16

# positions of the convolutions in torchvision's vgg16 and vgg16_bn
PLAIN = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
WITH_BATCH_NORM = [0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40]
CHANNELS = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]


# the numbers of parameters in torchvision's table of models
@pytest.mark.parametrize(("batch_norm", "count"), [(False, 138_357_544), (True, 138_365_992)])
def test_it_has_the_published_number_of_parameters(batch_norm: bool, count: int) -> None:
    with torch.device("meta"):
        model = VGG16(batch_norm=batch_norm)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(("batch_norm", "positions"), [(False, PLAIN), (True, WITH_BATCH_NORM)])
def test_names_and_shapes_are_torchvisions(batch_norm: bool, positions: list[int]) -> None:
    expected: dict[str, tuple[int, ...]] = {}
    for position, inputs, outputs in zip(positions, CHANNELS, CHANNELS[1:], strict=False):
        expected[f"features.{position}.weight"] = (outputs, inputs, 3, 3)
        expected[f"features.{position}.bias"] = (outputs,)
        if batch_norm:
            for name in ("weight", "bias", "running_mean", "running_var"):
                expected[f"features.{position + 1}.{name}"] = (outputs,)
            expected[f"features.{position + 1}.num_batches_tracked"] = ()
    for position, inputs, outputs in [(0, 25088, 4096), (3, 4096, 4096), (6, 4096, 1000)]:
        expected[f"classifier.{position}.weight"] = (outputs, inputs)
        expected[f"classifier.{position}.bias"] = (outputs,)
    with torch.device("meta"):
        found = {name: tuple(value.shape) for name, value in VGG16(batch_norm=batch_norm).state_dict().items()}
    assert found == expected


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (75, 131)])
def test_any_size_gives_one_score_per_class(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    logits = VGG16(width=1 / 32, num_classes=10).eval()(torch.rand(2, 3, *size))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    assert logits.std() > 0
