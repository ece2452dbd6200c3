"""The small classifiers: any size, and class activation maps are what they must be."""

import pytest
import torch
from torch.testing import assert_close

import dotally.models.small_classifier  # noqa: F401  (registers the networks)
from dotally.models import build_model


@pytest.mark.parametrize(
    ("name", "classes", "parameters", "field"),
    [("shapes_net", 8, 47_512, 38), ("tiny_imagenet_net", 200, 4_791_816, 68)],
)
def test_its_shape(name: str, classes: int, parameters: int, field: int) -> None:
    model = build_model(name).eval()
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert (model.stride, model.receptive_field) == (8, field)
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, classes)
    assert model(torch.rand(1, 3, 40, 72)).shape == (1, classes)


def test_width_and_classes_may_be_chosen() -> None:
    model = build_model("tiny_imagenet_net", num_classes=39, width=0.25)
    assert model.classifier.weight.shape == (39, 128)


def test_the_mean_of_a_class_activation_map_is_the_score() -> None:
    model = build_model("shapes_net").eval()
    x = torch.rand(2, 3, 64, 64)
    maps = torch.einsum("kc,bchw->bkhw", model.classifier.weight, model.features(x))
    assert_close(maps.mean((2, 3)) + model.classifier.bias, model(x))
