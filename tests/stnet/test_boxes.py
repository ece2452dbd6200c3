"""The box protocol against a literal implementation, cell by cell."""

import math

import pytest
import torch
from torch import Tensor, nn

from dotally.models import build_model
from dotally.stnet import Axis, BoxRule, Geometry, STNet, boxes_of
from dotally.stnet.geometry import geometry_of
from dotally.stnet.network import Network

RULES = [
    BoxRule(),
    BoxRule(prune=False),
    BoxRule(collapse="max"),
    BoxRule(collapse="intact"),
    BoxRule(mean_multiplier=1.5, std_multiplier=0.5),
    BoxRule(threshold="old_mean", mean_multiplier=2.0),
    BoxRule(threshold="old_mean", std_multiplier=1.0, collapse="intact"),
    BoxRule(threshold="percentile"),
    BoxRule(threshold="percentile", percentage=1.0),
    BoxRule(threshold="percentile", percentage=0.0),
    BoxRule(threshold="energy"),
    BoxRule(threshold="energy", energy=0.5, collapse="max"),
    BoxRule(threshold="energy", energy=1.0),
]


def literal_bound(cells: list[float], rule: BoxRule) -> float:
    """Section 3.3 of the method's description, one sentence a line."""
    alive = sorted(value for value in cells if value != 0)
    if rule.threshold == "percentile":
        return alive[min(int(rule.percentage * len(alive)), len(alive) - 1)]
    if rule.threshold == "energy":
        spent = 0.0
        for value in alive:
            spent += value
            if spent > rule.energy * sum(alive):
                return value
        return alive[-1]
    counted = alive if rule.threshold == "new_mean" else cells
    mean = sum(counted) / len(counted)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in counted) / len(counted))
    return rule.mean_multiplier * mean + rule.std_multiplier * deviation


def literal_box(gating: Tensor, rule: BoxRule) -> list[float]:
    planes = [gating.sum(0)] if rule.collapse == "sum" else list(gating)
    planes = [gating.max(0).values] if rule.collapse == "max" else planes
    cells = [
        (float(value), row, column)
        for plane in planes
        for row, line in enumerate(plane.tolist())
        for column, value in enumerate(line)
    ]
    if all(value == 0 for value, _, _ in cells):
        return [0, 0, 1, 1]
    bound = literal_bound([value for value, _, _ in cells], rule) if rule.prune else -math.inf
    kept = [(row, column) for value, row, column in cells if value != 0 and value >= bound]
    if not kept:
        return [0, 0, 1, 1]
    rows, columns = [row for row, _ in kept], [column for _, column in kept]
    return [min(columns), min(rows), max(columns), max(rows)]


def sparse_gatings(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(6, 3, 7, 9, generator=generator) ** 3
    gating = values * (torch.rand(6, 3, 7, 9, generator=generator) < 0.15)
    gating[0] = 0
    gating[1] = 0
    gating[1, 2, 3, 4] = 0.1
    return gating


def in_place(height: int, width: int) -> Geometry:
    return Geometry(Axis(height, 1, 1, 0), Axis(width, 1, 1, 0))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.describe())
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_boxes_follow_the_protocol(rule: BoxRule, seed: int) -> None:
    gating = sparse_gatings(seed)
    boxes = boxes_of(gating, rule, in_place(7, 9), (7, 9))
    assert boxes.dtype == torch.float32
    assert boxes.tolist() == [literal_box(one, rule) for one in gating]


def test_equal_values_all_survive_their_mean() -> None:
    gating = torch.zeros(1, 1, 5, 5)
    gating[0, 0, 1:4, 2] = 0.1
    assert boxes_of(gating, BoxRule(), in_place(5, 5), (5, 5)).tolist() == [[2, 1, 2, 3]]


def test_boxes_above_the_image_grow_by_their_receptive_field() -> None:
    gating = torch.zeros(2, 4, 27, 27)
    gating[0, 0, 10, 5] = gating[0, 3, 12, 20] = 1.0
    geometry = Geometry(Axis(27, 8, 19, 7), Axis(27, 8, 19, 7))
    boxes = boxes_of(gating, BoxRule(), geometry, (224, 224))
    assert boxes[0].tolist() == [8 * 5 + 7 - 9, 8 * 10 + 7 - 9, 8 * 20 + 7 + 9, 8 * 12 + 7 + 9]
    assert boxes[1].tolist() == [0, 0, 1, 1]
    gating[1, 0, 0, 0] = gating[1, 0, 26, 26] = 1.0
    assert boxes_of(gating, BoxRule(), geometry, (224, 224))[1].tolist() == [0, 0, 224, 224]


def test_rows_and_columns_have_their_own_geometry() -> None:
    gating = torch.zeros(1, 1, 4, 6)
    gating[0, 0, 1, 3] = 1
    geometry = Geometry(Axis(4, 2, 3, 1), Axis(6, 5, 7, 0))
    assert boxes_of(gating, BoxRule(), geometry, (9, 30)).tolist() == [[12, 2, 18, 4]]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"collapse": "mean"}, "collapse must be one of sum, max, intact"),
        ({"threshold": "median"}, "threshold must be one of new_mean"),
        ({"percentage": 1.5}, "shares of 1"),
        ({"energy": -0.1}, "shares of 1"),
    ],
)
def test_unknown_rules_are_refused(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BoxRule(**kwargs)


def test_a_rule_describes_itself_with_its_numbers() -> None:
    assert BoxRule().describe() == "sum over channels, 1 mean + 0 sd of non-zero cells"
    assert BoxRule(threshold="energy", collapse="max").describe() == "max over channels, energy above 0.05"


def geometry_at(model: nn.Module, size: tuple[int, int], name: str) -> Geometry | None:
    network = Network(model, lambda module: False)
    with torch.no_grad():
        observed = network.run(torch.zeros(1, 3, *size), keep=())
    return geometry_of(network, observed, network.locate(name))


# stnet's release: accumulated numbers of AlexNet at 224, and of VGG-16 at pool3
ALEXNET = {
    "image": (224, 1, 1, 0),
    "features.0": (55, 4, 11, 3),
    "features.2": (27, 8, 19, 7),
    "features.3": (27, 8, 51, 7),
    "features.5": (13, 16, 67, 15),
    "features.6": (13, 16, 99, 15),
    "features.8": (13, 16, 131, 15),
    "features.10": (13, 16, 163, 15),
    "features.12": (6, 32, 195, 31),
    "avgpool": (6, 32, 195, 31),
}


@pytest.mark.parametrize("name", ALEXNET)
def test_alexnet_s_geometry_is_the_published_one(name: str) -> None:
    axis = Axis(*ALEXNET[name])
    assert geometry_at(build_model("alexnet", width=0.02), (224, 224), name) == Geometry(axis, axis)


def test_vgg_s_geometry_at_pool3_is_the_published_one() -> None:
    axis = Axis(28, 8, 44, 3)
    assert geometry_at(build_model("vgg16", width=0.02), (224, 224), "features.16") == Geometry(axis, axis)


def test_where_branches_meet_the_farthest_sight_counts() -> None:
    model = build_model("resnet50", width=0.02)
    at_layer1 = geometry_at(model, (64, 96), "layer1")
    assert at_layer1 == Geometry(Axis(16, 4, 35, 0), Axis(24, 4, 35, 0))


def test_behind_a_linear_layer_there_is_no_geometry() -> None:
    assert geometry_at(build_model("alexnet", width=0.02), (224, 224), "classifier.1") is None


def test_a_result_draws_its_boxes_by_its_rule() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
    images, rule = torch.rand(3, 3, 12, 16), BoxRule(prune=False)
    result = STNet(model, stop="2", box=rule)(images)
    assert result.geometry == Geometry(Axis(6, 2, 4, 0), Axis(8, 2, 4, 0))
    expected = boxes_of(result.gating["2"], rule, result.geometry, (12, 16))
    assert torch.equal(result.boxes, expected)
