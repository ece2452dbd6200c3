import copy
import gc

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dotally.errors import DotallyError
from dotally.ops import td_bridge, td_conv2d, td_linear, td_max_pool2d
from dotally.stnet import METHODS, MissingRuleError, Settings, STNet, pass_through, register_rule
from dotally.stnet.rules import fully_connected

# specs of the method work this window by hand: theta 0.7, winners 0.7, 2 and 3 form one group
WINDOW = torch.tensor([[0.5, 2.0, -1.0], [0.0, 0.7, 3.0], [0.0, 0.0, 0.0]]).view(1, 1, 3, 3)
SHARES = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.7, 3.0], [0.0, 0.0, 0.0]]).view(1, 1, 3, 3) / 5.7


def small_network(*, inplace: bool = False) -> nn.Sequential:
    """Convolution, pool, bridge, two fully connected layers: AlexNet's parts."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(inplace=inplace),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(6 * 4 * 4, 12),
        nn.ReLU(inplace=inplace),
        nn.Dropout(inplace=inplace),
        nn.Linear(12, 5),
    )


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def positive_class(model: nn.Module, images: Tensor) -> Tensor:
    return model.eval()(images).argmax(1)


@pytest.mark.parametrize(
    "head",
    [
        nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Flatten()),
        nn.Sequential(nn.Flatten(), nn.Linear(9, 2, bias=False)),
    ],
    ids=["convolution", "linear layer over a map"],
)
def test_a_window_worked_by_hand(head: nn.Sequential) -> None:
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.ones_(layer.weight)
    result = STNet(head)(WINDOW, 1)
    assert torch.allclose(result.gating["image"], SHARES)
    assert result.boxes.tolist() == [[1, 0, 2, 1]]


def test_a_linear_unit_worked_by_hand() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(5, 2, bias=False))
    nn.init.ones_(model[1].weight)
    image = torch.tensor([6.0, 1.0, 1.0, 1.0, -1.5]).view(1, 5, 1, 1)
    assert torch.allclose(STNet(model)(image, 0).gating["image"].flatten(), torch.tensor([6.0, 1, 1, 1, 0]) / 9)
    strict = STNet(model, settings=Settings(linear_offset=0))
    assert torch.equal(strict(image, 0).gating["image"].flatten(), torch.tensor([1.0, 0, 0, 0, 0]))


def test_the_pass_is_its_operators_in_a_row(images: Tensor) -> None:
    model = small_network().eval()
    conv, fc6, fc8 = model[0], model[5], model[8]
    hidden = F.relu(conv(images))
    pooled = F.max_pool2d(hidden, 2)
    high = F.relu(fc6(pooled.flatten(1)))
    classes = fc8(high).argmax(1)

    g = td_linear(high, fc8.weight, F.one_hot(classes, 5).float(), offset=3)
    g = td_bridge(g, torch.ones(3), offset=1)
    g = td_conv2d(pooled, fc6.weight.view(12, 6, 4, 4), g[:, :, None, None])
    at_pool = g
    g = td_max_pool2d(hidden, g, 2)
    g = td_conv2d(images, conv.weight, g, padding=1)

    result = STNet(model, keep=["2"])(images)
    assert torch.equal(result.gating["2"], at_pool)
    assert torch.equal(result.gating["image"], g)
    assert torch.equal(result.map, g.sum(1, keepdim=True))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_layers_that_work_in_place_change_nothing(images: Tensor, method: str, inplace: bool) -> None:
    model, plain = small_network(inplace=inplace), small_network()
    before = images.clone()
    result, expected = STNet(model, method=method)(images), STNet(plain, method=method)(images)
    assert torch.equal(images, before)
    assert torch.equal(result.logits, plain.eval()(images))
    assert torch.equal(result.gating["image"], expected.gating["image"])


def test_values_changed_in_place_are_the_ones_read_later() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act, self.fc = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            self.act(y)
            return self.fc(y.relu_().mean((2, 3)))

    torch.manual_seed(0)
    model, images = Shared().eval(), torch.randn(2, 3, 6, 6)
    assert torch.equal(STNet(model)(images).logits, model(images))


def test_the_network_is_left_as_it_was(images: Tensor) -> None:
    model = small_network(inplace=True).train()
    model[4].eval()
    fired: list[str] = []
    handles = [model[0].register_forward_hook(lambda *_: fired.append("leaf"))]
    handles.append(model.register_forward_pre_hook(lambda *_: fired.append("root")))
    modes = [module.training for module in model.modules()]
    state = copy.deepcopy(model.state_dict())
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()]

    engine = STNet(model)
    assert not fired, "reading a network must not fire its hooks"
    result = engine(images)

    assert fired == ["leaf"]
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert hooks == [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()
    ]
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not result.logits.requires_grad
    assert not result.map.requires_grad
    for handle in handles:
        handle.remove()


def test_modes_come_back_after_an_error(images: Tensor) -> None:
    model = small_network().train()
    with pytest.raises(RuntimeError):
        STNet(model)(images[:, :2])
    assert all(module.training for module in model.modules())


def test_weights_may_change_between_calls(images: Tensor) -> None:
    model = small_network()
    engine = STNet(model)
    engine(images)
    with torch.no_grad():
        model[8].weight.neg_()
    assert torch.equal(engine(images).logits, model.eval()(images))


def test_nothing_is_kept_over_a_hundred_batches(images: Tensor) -> None:
    engine, images = STNet(small_network()), images[:1]

    def tensors_alive() -> int:
        gc.collect()
        return sum(type(thing) is Tensor for thing in gc.get_objects())

    engine(images)
    before = tensors_alive()
    for _ in range(100):
        engine(images)
    assert tensors_alive() <= before


def test_a_batch_is_its_pictures(images: Tensor) -> None:
    engine = STNet(small_network())
    together = engine(images).gating["image"]
    apart = torch.cat([engine(image[None]).gating["image"] for image in images])
    assert torch.allclose(together, apart, atol=1e-6)


def test_several_classes_from_one_forward_pass(images: Tensor) -> None:
    model = small_network()
    engine = STNet(model)
    calls: list[int] = []
    handle = model[0].register_forward_hook(lambda *_: calls.append(1))
    with engine.observe(images) as seen:
        results = [seen.explain(label) for label in range(5)]
    assert len(calls) == 1
    handle.remove()
    for label, result in enumerate(results):
        assert torch.equal(result.gating["image"], engine(images, label).gating["image"])
    with pytest.raises(ValueError, match="this pass is over"):
        seen.explain(0)


def test_targets_in_every_form(images: Tensor) -> None:
    engine = STNet(small_network())
    labels = engine(images).labels
    assert labels is not None
    expected = engine(images).gating["image"]
    top = F.one_hot(labels, 5).float()
    for target in (labels, labels.tolist(), labels.int(), top):
        assert torch.equal(engine(images, target).gating["image"], expected)
    assert torch.equal(engine(images, 2).labels, torch.tensor([2, 2, 2]))
    assert engine(images, top).labels is None
    assert torch.allclose(engine(images, 0.5 * top).gating["image"], 0.5 * expected)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (5, "class 5 is outside of 0..4"),
        (-1, "class -1 is outside of 0..4"),
        ([0, 1], "2 target classes were given for 3 pictures"),
        (torch.zeros(3, 4), r"shaped like the class scores, \(3, 5\)"),
        (torch.full((3, 5), -1.0), "not negative"),
        (torch.full((3, 5), torch.nan), "finite"),
        (torch.ones(3, 5), "exactly one class a picture, picture 0 has 5"),
        (torch.zeros(3, 5), "exactly one class a picture, picture 0 has 0"),
    ],
)
def test_wrong_targets_are_refused(images: Tensor, target: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        STNet(small_network())(images, target)  # type: ignore[arg-type]


def test_without_the_bridge_two_classes_are_fine(images: Tensor) -> None:
    engine = STNet(small_network(), settings=Settings(bridge_mode="all"))
    both = engine(images, torch.tensor([0.5, 0, 0.5, 0, 0]).expand(3, 5)).gating["image"]
    apart = [engine(images, label).gating["image"] for label in (0, 2)]
    assert torch.allclose(both, (apart[0] + apart[1]) / 2, atol=1e-6)


def test_scores_that_are_no_numbers_are_refused(images: Tensor) -> None:
    model = small_network()
    images[1, 0, 0, 0] = torch.nan
    with pytest.raises(DotallyError, match="class scores of picture 1 are not finite"):
        STNet(model)(images)


@pytest.mark.parametrize("bad", [torch.zeros(3, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)])
def test_pictures_of_another_kind_are_refused(bad: Tensor) -> None:
    with pytest.raises(ValueError, match=r"floating point tensor \[B, C, H, W\]"):
        STNet(small_network())(bad)


def test_asking_for_a_gradient_is_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match="has no gradient"):
        STNet(small_network())(images.requires_grad_())


@pytest.mark.parametrize("method", METHODS)
def test_it_works_inside_inference_mode(images: Tensor, method: str) -> None:
    engine = STNet(small_network(), method=method)
    expected = engine(images)
    with torch.inference_mode():
        result = engine(images.clone())
        assert torch.equal(result.gating["image"], expected.gating["image"])
        assert torch.equal(result.boxes, expected.boxes)


class Odd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


def with_odd_layer(odd: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), odd, nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def test_a_layer_without_a_rule_is_named_and_the_way_out(images: Tensor) -> None:
    with pytest.raises(MissingRuleError, match=r"no stnet rule for 2 \(Softplus\): register one with dotally.stnet"):
        STNet(with_odd_layer(nn.Softplus()))(images)


def test_layers_below_the_stop_need_no_rule(images: Tensor) -> None:
    result = STNet(with_odd_layer(nn.Softplus()), stop="2")(images)
    assert result.map.shape == (3, 1, 6, 6)


def test_a_rule_of_ones_own() -> None:
    images = torch.rand(2, 3, 8, 8)
    engine = STNet(with_odd_layer(Odd()), rules={Odd: pass_through})
    with pytest.raises(MissingRuleError, match="sigmoid"):
        STNet(with_odd_layer(Odd()))(images)
    assert engine(images).gating["image"].shape == images.shape


def test_a_registered_rule_serves_every_engine() -> None:
    class Late(Odd):
        pass

    register_rule(Late, pass_through, reads_input=False)
    images = torch.rand(2, 3, 8, 8)
    assert STNet(with_odd_layer(Late()))(images).gating["image"].shape == images.shape
    with pytest.raises(ValueError, match="unknown method 'lrp'"):
        register_rule(Late, pass_through, methods=["lrp"])  # type: ignore[list-item]


def test_a_rule_that_returns_another_shape_is_named(images: Tensor) -> None:
    engine = STNet(small_network(), rules={nn.Linear: lambda layer, gating: [gating]})
    with pytest.raises(ValueError, match=r"the rule of 8 \(Linear\) must return gatings shaped \[\(3, 12\)\]"):
        engine(images)
    # a rule that wraps the registered one is as good
    wrapped = STNet(small_network(), rules={nn.Linear: lambda layer, gating: fully_connected(layer, gating)})
    assert torch.equal(wrapped(images).map, STNet(small_network())(images).map)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match="no layer is called 'features' in Sequential; known are image, 0, 1"):
        STNet(small_network(), stop="features")
    with pytest.raises(ValueError, match="method must be one of stnet, excitation"):
        STNet(small_network(), method="lrp")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="compat must be"):
        STNet(small_network(), compat="old")  # type: ignore[arg-type]


def test_a_stop_without_a_map_still_has_its_gating(images: Tensor) -> None:
    result = STNet(small_network(), stop="5")(images)
    assert result.gating["5"].shape == (3, 12)
    assert torch.allclose(result.gating["5"].sum(1), torch.ones(3))
    with pytest.raises(ValueError, match="no map; stop at a layer below"):
        _ = result.map


def test_control_flow_on_the_picture_is_explained() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match=r"torch.fx cannot read Branching: .*Take control flow"):
        STNet(Branching())


def test_a_network_without_class_scores_is_refused() -> None:
    with pytest.raises(ValueError, match=r"class scores \[B, classes\]; it returned \(1, 2, 4, 4\)"):
        STNet(nn.Conv2d(3, 2, 3, padding=1))(torch.rand(1, 3, 4, 4))
