import pytest
import torch

from dotally.errors import WeightsError
from dotally.models import GauNetResNet50Counter, ResNet50, ResNet50Counter
from dotally.models.pretrained import load_imagenet_stages


def test_it_has_as_many_parameters_as_the_stages_and_the_head() -> None:
    with torch.device("meta"):
        model, whole = ResNet50Counter(), ResNet50()
    kept = sum(
        parameter.numel() for name, parameter in whole.named_parameters() if not name.startswith(("layer4", "fc"))
    )
    # two 1x1 convolutions, 1024 to 128 to 1
    assert sum(parameter.numel() for parameter in model.parameters()) == kept + 131_200 + 129 == 8_674_625


def test_names_of_its_stages_are_those_of_resnet50() -> None:
    torch.manual_seed(0)
    whole, model = ResNet50(width=1 / 16), ResNet50Counter(width=1 / 16)
    result = model.load_state_dict(whole.state_dict(), strict=False)
    assert {name.split(".")[0] for name in result.missing_keys} == {"head"}
    assert {name.split(".")[0] for name in result.unexpected_keys} == {"layer4", "fc"}


def test_its_third_stage_keeps_the_resolution() -> None:
    model = ResNet50Counter(width=1 / 16)
    assert (model.stride, model.receptive_field) == (8, 187)
    assert model.layer3(torch.rand(1, 32, 5, 7)).shape == (1, 64, 5, 7)


@pytest.mark.parametrize("size", [(8, 8), (37, 61), (64, 40)])
def test_any_size_gives_cells_of_eight_pixels(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    out = ResNet50Counter(width=1 / 16, form="c3").eval()(torch.rand(2, 3, *size))
    assert out.shape == (2, 1, -(-size[0] // 8), -(-size[1] // 8))
    assert (out >= 0).all()


def test_a_cell_sees_as_far_as_it_says_and_not_farther() -> None:
    torch.manual_seed(0)
    model = ResNet50Counter(width=1 / 16).eval()
    side = 256
    x = torch.rand(1, 3, side, side, requires_grad=True)
    model(x)[0, 0, side // 16, side // 16].backward()
    columns = x.grad.abs().amax(dim=(0, 1, 2)).nonzero().flatten()
    assert 150 < columns.max() - columns.min() + 1 <= model.receptive_field


def test_resnet50_weights_fill_its_three_stages() -> None:
    torch.manual_seed(0)
    whole, model = ResNet50(width=1 / 16).eval(), ResNet50Counter(width=1 / 16).eval()
    load_imagenet_stages(model, whole.state_dict())
    torch.testing.assert_close(dict(model.layer3.state_dict()), dict(whole.layer3.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close(model.bn1.weight, whole.bn1.weight, rtol=0, atol=0)


def test_gaussian_layers_keep_their_own_weights() -> None:
    torch.manual_seed(0)
    whole, model = ResNet50(width=1 / 16), GauNetResNet50Counter(width=1 / 16, stages=(3,))
    before = model.layer3[1].conv2.weight.clone()
    load_imagenet_stages(model, whole.state_dict())
    torch.testing.assert_close(model.layer3[1].conv2.weight, before, rtol=0, atol=0)
    torch.testing.assert_close(model.layer3[1].conv3.weight, whole.layer3[1].conv3.weight, rtol=0, atol=0)
    torch.testing.assert_close(model.layer2[1].conv2.weight, whole.layer2[1].conv2.weight, rtol=0, atol=0)


def test_weights_of_another_width_are_refused() -> None:
    with pytest.raises(WeightsError, match="of another shape"):
        load_imagenet_stages(ResNet50Counter(width=1 / 16), ResNet50(width=1 / 32).state_dict())


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(ValueError, match="form must be one of linear, c3, got 'c-3'"):
        ResNet50Counter(form="c-3")
