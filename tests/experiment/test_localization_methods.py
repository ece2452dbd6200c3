"""Ways to localize, each on a small network with random weights."""

import dataclasses
import json

import pytest
import torch

from dotally.experiment import localization_methods
from dotally.experiment.localization_methods import Method, small_network_methods
from dotally.metrics.boxes import map_boxes
from dotally.models import build_model
from dotally.stnet import BoxRule, STNet, captum_map

LABELS = torch.tensor([0, 3])


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model("shapes_net", width=0.5).eval()


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", small_network_methods("features.7"))
def test_every_method_answers_with_maps_or_boxes(name: str, network: torch.nn.Module, pictures: torch.Tensor) -> None:
    method = small_network_methods("features.7")[name]
    if not method.available:
        pytest.skip("captum is not installed")
    answer = method(network, pictures, LABELS)
    assert torch.isfinite(answer).all()
    assert answer.shape == (2, 4) if not method.tuned else answer.ndim == 3
    assert method.describe()
    json.dumps(dataclasses.asdict(method))


def test_a_fixed_rule_is_the_engine_s_own_box(network: torch.nn.Module, pictures: torch.Tensor) -> None:
    method = Method(kind="stnet", stop="features.7", rule=BoxRule())
    assert not method.tuned
    expected = STNet(network, stop="features.7")(pictures, LABELS).boxes
    assert method(network, pictures, LABELS).equal(expected)


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.9])
def test_the_threshold_of_a_centred_box_is_what_it_leaves_out(
    threshold: float, network: torch.nn.Module, pictures: torch.Tensor
) -> None:
    maps = Method(kind="centre")(network, pictures[:, :, :, :32], LABELS)
    x0, y0, x1, y1 = map_boxes(maps, threshold)[0].tolist()
    assert (x0 + x1, y0 + y1) == (31, 63)
    assert x1 - x0 + 1 == pytest.approx(32 * (1 - threshold), abs=2)
    assert y1 - y0 + 1 == pytest.approx(64 * (1 - threshold), abs=4)


def test_the_whole_picture_needs_no_threshold(network: torch.nn.Module, pictures: torch.Tensor) -> None:
    assert Method(kind="whole")(network, pictures[:, :, :40], LABELS).tolist() == [[0, 0, 63, 39]] * 2


def test_blurred_maps_have_the_size_of_the_picture(network: torch.nn.Module, pictures: torch.Tensor) -> None:
    raw = Method(kind="cam")(network, pictures, LABELS)
    blurred = Method(kind="cam", blur=0.05)(network, pictures, LABELS)
    assert raw.shape == (2, 8, 8)
    assert blurred.shape == (2, 64, 64)


def test_a_rule_is_for_gatings_only() -> None:
    with pytest.raises(ValueError, match="not for cam"):
        Method(kind="cam", rule=BoxRule())
    with pytest.raises(ValueError, match="of the picture"):
        Method(kind="integrated_gradients", stop="features.7")


def test_rows_of_captum_are_its_own_attributions(network: torch.nn.Module, pictures: torch.Tensor) -> None:
    attr = pytest.importorskip("captum.attr")
    guided = Method(kind="guided_grad_cam")(network, pictures, LABELS)
    expected = attr.GuidedGradCam(network, network.features[14]).attribute(pictures.requires_grad_(), target=LABELS)
    assert torch.allclose(guided, expected.sum(1).clamp(min=0), atol=1e-7)
    # complete: the scores' rise above those of a grey picture, what speaks against the class included
    signed = captum_map("IntegratedGradients", network, pictures, LABELS, n_steps=64).sum((1, 2, 3))
    rise = (network(pictures) - network(torch.zeros_like(pictures))).gather(1, LABELS[:, None])[:, 0]
    assert torch.allclose(signed, rise, rtol=0.05, atol=1e-3)
    with pytest.raises(ValueError, match="wants a module as its layer, and relu_1 is none"):
        Method(kind="guided_grad_cam", stop="relu_1")(network, pictures, LABELS)


def test_without_captum_its_rows_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localization_methods, "_has_captum", lambda: False)
    methods = small_network_methods("features.7")
    missing = [name for name, method in methods.items() if not method.available]
    assert missing == ["integrated-gradients", "guided-grad-cam"]
    assert all("pip install 'dotally[baselines]'" in methods[name].describe() for name in missing)
