"""Excitation backprop, its contrastive form, the gradient, CAM and Grad-CAM."""

import sys
import types

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dotally.errors import DotallyError
from dotally.stnet import STNet, cam, captum_map, grad_cam


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 3, 8, 8)


@pytest.fixture
def model() -> nn.Sequential:
    """A network that ends in global average pooling and one linear layer."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 4),
    ).eval()


def excite(weight: Tensor, h: Tensor, g: Tensor) -> Tensor:
    """Equation 4 of the paper for one linear layer: P(j | i) = h_j w_ij+ / sum_j h_j w_ij+."""
    contributions = weight.clamp(min=0)[None] * h[:, None, :]
    shares = contributions / contributions.sum(2, keepdim=True).clamp(min=1e-30)
    return (shares * g[:, :, None]).sum(1)


def test_excitation_backprop_of_linear_layers_is_its_equation() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    images = torch.rand(2, 6, 1, 1)
    h = images.flatten(1)
    hidden = F.relu(model[1](h))
    g = F.one_hot(torch.tensor([2, 2]), 3).float()
    expected = excite(model[1].weight, h, excite(model[3].weight, hidden, g))
    assert torch.allclose(STNet(model, method="excitation")(images, 2).gating["image"].flatten(1), expected, atol=1e-6)


def test_contrastive_excitation_subtracts_the_class_s_opposite_at_the_top() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    images = torch.rand(2, 6, 1, 1)
    h = images.flatten(1)
    hidden = F.relu(model[1](h))
    g = F.one_hot(torch.tensor([0, 0]), 3).float()
    for_it, against = (excite(sign * model[3].weight, hidden, g) for sign in (1, -1))
    expected = excite(model[1].weight, h, for_it - against).clamp(min=0)
    result = STNet(model, method="contrastive")(images, 0)
    assert torch.allclose(result.gating["image"].flatten(1), expected, atol=1e-6)


def test_excitation_conserves_mass_through_a_network(model: nn.Sequential, images: Tensor) -> None:
    with torch.no_grad():
        model[0].weight.abs_()
    gating = STNet(model, method="excitation")(images).gating["image"]
    assert (gating >= 0).all()
    assert torch.allclose(gating.sum((1, 2, 3)), torch.ones(2), atol=1e-4)


@pytest.mark.parametrize("method", ["excitation", "contrastive"])
@pytest.mark.parametrize("scale", [1e-43, 1e-39, 1e-38, 1e-30, 1e30, 1e35])
def test_excitation_stays_finite_at_the_ends_of_float32(method: str, scale: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()
    with torch.no_grad():
        model[0].weight.mul_(100)
    images = torch.rand(2, 3, 6, 6) + 0.5
    images[1] *= scale
    gating = STNet(model, method=method)(images, 1).gating["image"]
    assert torch.isfinite(gating).all()
    if method == "excitation":
        assert torch.allclose(gating.sum((1, 2, 3)), torch.ones(2), atol=1e-3)


def test_a_power_of_two_in_the_picture_changes_no_share(model: nn.Sequential, images: Tensor) -> None:
    layer = nn.Sequential(nn.Flatten(), nn.Linear(192, 3, bias=False)).eval()
    first, second = (STNet(layer, method="excitation")(images * scale, 1).gating["image"] for scale in (1, 2.0**-100))
    assert torch.equal(first, second)


@pytest.mark.parametrize("stop", ["image", "1", "3"])
def test_the_gradient_is_autograd_s(model: nn.Sequential, images: Tensor, stop: str) -> None:
    result = STNet(model, stop=stop, method="gradient")(images, 3)
    below = 0 if stop == "image" else int(stop) + 1
    h = model[:below](images).detach().requires_grad_()
    model[below:](h)[:, 3].sum().backward()
    assert h.grad is not None
    assert torch.allclose(result.gating[stop], h.grad, atol=1e-6)
    assert torch.allclose(result.map, h.grad.abs().amax(1, keepdim=True), atol=1e-6)
    assert all(parameter.grad is None for parameter in model[:below].parameters())


def test_the_gradient_needs_no_rules(images: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.GroupNorm(2, 4), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    x = images.clone().requires_grad_()
    model(x)[:, 1].sum().backward()
    assert x.grad is not None
    assert torch.allclose(STNet(model, method="gradient")(images, 1).gating["image"], x.grad, atol=1e-6)


def test_cam_is_the_last_map_weighted_by_the_class_s_weights(model: nn.Sequential, images: Tensor) -> None:
    features = model[:6](images)
    expected = torch.einsum("k,bkhw->bhw", model[8].weight[2], features)[:, None]
    assert torch.allclose(cam(model, images, 2), expected, atol=1e-5)
    # averaged, it is the score without its bias
    scores = model(images)[:, 2] - model[8].bias[2]
    assert torch.allclose(cam(model, images, 2).mean((1, 2, 3)), scores, atol=1e-5)


def test_grad_cam_of_such_a_network_is_the_positive_part_of_cam(model: nn.Sequential, images: Tensor) -> None:
    assert torch.allclose(16 * grad_cam(model, images, 2), cam(model, images, 2).clamp(min=0), atol=1e-5)


def test_grad_cam_at_a_layer_is_its_definition(model: nn.Sequential, images: Tensor) -> None:
    labels = model(images).argmax(1)
    features = model[:3](images).detach().requires_grad_()
    model[3:](features).gather(1, labels[:, None]).sum().backward()
    assert features.grad is not None
    weights = features.grad.mean((2, 3), keepdim=True)
    expected = F.relu((weights * features).sum(1, keepdim=True))
    assert torch.allclose(grad_cam(model, images, layer="2"), expected, atol=1e-6)


def test_cam_refuses_other_heads(images: Tensor) -> None:
    hidden = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 4),
        nn.ReLU(),
        nn.Linear(4, 2),
    )
    with pytest.raises(ValueError, match=r"CAM wants .* behind the last map \(1\); Sequential has ReLU there"):
        cam(hidden, images)
    spatial = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    with pytest.raises(ValueError, match="CAM wants"):
        cam(spatial, images)


def test_grad_cam_wants_a_map() -> None:
    with pytest.raises(ValueError, match="no map of more than one cell"):
        grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(1, 3, 2, 2))


def test_without_captum_the_way_out_is_named(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(DotallyError, match=r"pip install 'dotally\[baselines\]'"):
        captum_map("Saliency", nn.Flatten(), images)


def test_captum_s_own_methods_agree_with_ours(model: nn.Sequential, images: Tensor) -> None:
    pytest.importorskip("captum")
    labels = [2, 1]
    gradient = STNet(model, method="gradient")(images, labels).gating["image"]
    assert torch.allclose(captum_map("Saliency", model, images, labels, abs=False), gradient.sum(1, keepdim=True))
    theirs = captum_map("LayerGradCam", model, images, labels, layer=model[5], relu_attributions=True)
    assert torch.allclose(theirs, grad_cam(model, images, labels, layer="5"), atol=1e-6)
    with pytest.raises(DotallyError, match="captum has no method 'Nothing'"):
        captum_map("Nothing", model, images, 1)
    with pytest.raises(ValueError, match="explain classes"):
        captum_map("Saliency", model, images, torch.ones(2, 4))


def test_captum_leaves_the_network_as_it_was(model: nn.Sequential, images: Tensor) -> None:
    pytest.importorskip("captum")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    for name, layer in [("DeepLift", None), ("GuidedBackprop", None), ("GuidedGradCam", model[4])]:
        assert captum_map(name, model, images, layer=layer).shape == (2, 1, 8, 8)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_captum_is_asked_in_evaluation_mode(
    model: nn.Sequential, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Saliency:
        def __init__(self, forward: nn.Module) -> None:
            self.forward = forward

        def attribute(self, inputs: Tensor, target: Tensor, scale: float = 1.0) -> Tensor:
            assert not self.forward.training
            return scale * inputs * target.view(-1, 1, 1, 1)

    attr = types.ModuleType("captum.attr")
    attr.Saliency = Saliency  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "captum", types.ModuleType("captum"))
    monkeypatch.setitem(sys.modules, "captum.attr", attr)
    model.train()
    result = captum_map("Saliency", model, images, [1, 2], scale=2.0)
    assert torch.equal(result, 2 * images.sum(1, keepdim=True) * torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
    assert model.training
    with pytest.raises(DotallyError, match="captum has no method 'Nothing'"):
        captum_map("Nothing", model, images, 1)
