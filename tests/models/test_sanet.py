import pytest
import torch
from torch import nn

from dotally.models import SANet


# 0.91 M in the paper's table of sizes; C-3-Framework's with twice the channels at the encoder's end
@pytest.mark.parametrize(("form", "count"), [("paper", 914_801), ("c3", 1_388_721)])
def test_each_form_has_its_number_of_parameters(form: str, count: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in SANet(form=form).parameters()) == count


def test_every_scale_gives_a_quarter_of_the_channels() -> None:
    with torch.device("meta"):
        modules = [module for module in SANet().encoder if not isinstance(module, nn.MaxPool2d)]
    channels = [[branch[-3].out_channels for branch in module.branches] for module in modules]
    kernels = [[branch[-3].kernel_size[0] for branch in module.branches] for module in modules]
    assert channels == [[16] * 4, [32] * 4, [32] * 4, [16] * 4]
    assert kernels == [[1, 3, 5, 7]] * 4


@pytest.mark.parametrize("size", [(8, 8), (1, 3), (37, 61), (64, 40)])
def test_any_size_gives_a_density_of_that_size(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = SANet(width=1 / 16)
    out = model(torch.rand(2, 3, *size))
    assert out.shape == (2, 1, *size)
    assert out.isfinite().all()
    assert (SANet(width=1 / 16, form="c3")(torch.rand(1, 3, *size)) >= 0).all()


def test_its_cells_are_pixels_and_see_the_whole_picture() -> None:
    torch.manual_seed(0)
    model = SANet(width=1 / 4)
    assert (model.stride, model.receptive_field) == (1, None)
    x = torch.rand(1, 3, 64, 256, requires_grad=True)
    model(x)[0, 0, :8, :8].sum().backward()
    assert x.grad[..., -1].any()


@pytest.mark.parametrize("wrong", [{"form": "c-3"}, {"width": 0}])
def test_a_wrong_value_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be .*{next(iter(wrong.values()))}"):
        SANet(**wrong)
