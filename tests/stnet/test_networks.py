"""The classic networks with random weights run through at small sizes."""

import pytest
import torch
from torch import Tensor, nn

from dotally.models import build_model
from dotally.stnet import METHODS, STOP_LAYERS, STNet

SIZES = {"alexnet": 96, "vgg16": 48, "googlenet": 64, "resnet50": 64}


@pytest.fixture(params=sorted(SIZES), scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(name, width=0.125, num_classes=20)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def images(name: str) -> Tensor:
    coarse = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    return nn.functional.interpolate(coarse, (SIZES[name],) * 2, mode="bicubic")


def test_mass_is_conserved_down_to_the_image(model: nn.Module, images: Tensor) -> None:
    result = STNet(model)(images)
    gating = result.gating["image"]
    assert torch.equal(result.logits, model.eval()(images))
    assert torch.allclose(gating.sum((1, 2, 3)), torch.ones(2), atol=1e-4)
    assert (gating >= 0).all()
    assert torch.isfinite(result.boxes).all()


def test_it_stops_where_the_method_reads_its_map(name: str, model: nn.Module, images: Tensor) -> None:
    result = STNet(model, stop=STOP_LAYERS[name])(images)
    step = 4 if name == "resnet50" else 8
    side = 11 if name == "alexnet" else SIZES[name] // step
    assert result.map.shape == (2, 1, side, side)
    assert torch.allclose(result.map.sum((1, 2, 3)), torch.ones(2), atol=1e-4)
    assert result.geometry is not None
    assert result.geometry.x.stride == step


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_to_the_image(model: nn.Module, images: Tensor, method: str) -> None:
    result = STNet(model, method=method)(images)
    assert torch.isfinite(result.map).all()
    assert (result.map > 0).any()
    if method == "excitation":
        # less what the picture's negative values hold back in the first layer
        assert torch.allclose(result.map.sum((1, 2, 3)), torch.ones(2), atol=0.05)


def test_every_layer_can_be_kept(model: nn.Module, images: Tensor) -> None:
    result = STNet(model, keep="all")(images)
    assert {"image", "features.0"} <= set(result.gating) or {"image", "conv1"} <= set(result.gating)
    assert all(torch.isfinite(gating).all() for gating in result.gating.values())


def test_the_published_behaviour_runs_too(name: str, model: nn.Module, images: Tensor) -> None:
    if name in {"alexnet", "vgg16"}:
        result = STNet(model, compat="release", stop=STOP_LAYERS[name])(images)
        assert result.map.shape[0] == 2


def test_a_picture_without_evidence_has_an_empty_map(model: nn.Module, images: Tensor) -> None:
    engine = STNet(model)
    losing = engine(images).logits.argmin(1)
    result = engine(images, losing)
    if (result.logits.gather(1, losing[:, None]) < 0).all():
        assert (result.gating["image"] == 0).all()
        assert result.boxes.tolist() == [[0, 0, 1, 1]] * 2


@pytest.mark.slow
def test_networks_of_full_width_conserve_mass(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name)
    images = nn.functional.interpolate(torch.randn(1, 3, 14, 14), (224, 224), mode="bicubic")
    result = STNet(model, stop=STOP_LAYERS[name])(images)
    assert result.map.sum().item() == pytest.approx(1.0, abs=1e-4)
