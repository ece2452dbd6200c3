"""Rules by kind of layer, however the network writes it."""

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dotally.ops import td_adaptive_avg_pool2d, td_add, td_avg_pool2d, td_conv2d, td_linear
from dotally.stnet import MissingRuleError, Settings, STNet, fold_batch_norm


class Written(nn.Module):
    """A body written as a function of its modules, and a linear layer over what it returns."""

    def __init__(self, body: Callable[..., Tensor], features: int, **layers: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.layers = nn.ModuleDict(layers)
        self.fc = nn.Linear(features, 4, bias=False)
        nn.init.uniform_(self.fc.weight, 0.1, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x, **self.layers))


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 4, 8, 8)


def gating_of(model: nn.Module, images: Tensor, **options: object) -> Tensor:
    result = STNet(model, **options)(images, 1)  # type: ignore[arg-type]
    assert torch.equal(result.logits, model.eval()(images))
    return result.gating["image"]


def above(model: Written, features: Tensor) -> Tensor:
    """The gating that the linear layer hands down."""
    return td_linear(features, model.fc.weight, F.one_hot(torch.tensor([1, 1]), 4).float())


def positive(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.uniform_(layer.weight, -0.2, 1.0)
    return layer


def pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def expected_below(model: Written, images: Tensor, hidden: Tensor) -> Tensor:
    """The gating of a map that is averaged and then classified."""
    g = above(model, hidden.mean((2, 3)))
    return td_adaptive_avg_pool2d(hidden, g[:, :, None, None], 1)


@pytest.mark.parametrize(
    ("kwargs", "groups"),
    [({}, 1), ({"stride": 2}, 1), ({"stride": (1, 3)}, 1), ({"padding": 1}, 1), ({"groups": 2}, 2), ({"groups": 4}, 4)],
)
def test_one_by_one_convolutions_select_as_linear_layers(images: Tensor, kwargs: dict, groups: int) -> None:
    conv = positive(nn.Conv2d(4, 8, 1, bias=False, **kwargs))
    model = Written(lambda x, conv: pooled(F.relu(conv(x))), 8, conv=conv)
    hidden = F.relu(conv(images)).detach()
    g = expected_below(model, images, hidden)

    expected = torch.zeros_like(images)
    step, margin = conv.stride, conv.padding[0]
    inner = F.pad(images, (margin,) * 4)[:, :, :: step[0], :: step[1]]
    rows = inner.permute(0, 2, 3, 1).reshape(-1, 4)
    units = g.permute(0, 2, 3, 1).reshape(-1, 8)
    parts = zip(rows.chunk(groups, 1), conv.weight[:, :, 0, 0].chunk(groups), units.chunk(groups, 1), strict=True)
    flat = torch.cat([td_linear(h.contiguous(), w, u.contiguous()) for h, w, u in parts], dim=1)
    spread = flat.view(2, *inner.shape[2:], 4).permute(0, 3, 1, 2)
    if margin:
        expected = spread[:, :, margin:-margin, margin:-margin]
    else:
        expected[:, :, :: step[0], :: step[1]] = spread
    assert torch.allclose(gating_of(model, images), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("mode", "padding"),
    [("zeros", "valid"), *itertools.product(["zeros", "reflect", "replicate", "circular"], [1, (2, 1), "same"])],
)
@pytest.mark.parametrize("side", [3, 4])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_every_padding_conserves_mass(images: Tensor, mode: str, padding: int | tuple | str, side: int) -> None:
    conv = positive(nn.Conv2d(4, 3, side, padding=padding, padding_mode=mode, dilation=2, bias=False))
    model = Written(lambda x, conv: pooled(F.relu(conv(x))), 3, conv=conv)
    gating = gating_of(model, images)
    assert gating.shape == images.shape
    assert torch.allclose(gating.sum((1, 2, 3)), torch.ones(2), atol=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_uneven_same_padding_is_a_convolution_of_the_padded_map(images: Tensor) -> None:
    conv = positive(nn.Conv2d(4, 3, (2, 4), padding="same", bias=False))
    model = Written(lambda x, conv: pooled(F.relu(conv(x))), 3, conv=conv)
    g = expected_below(model, images, F.relu(conv(images)).detach())
    padded = F.pad(images, (1, 2, 0, 1))
    expected = td_conv2d(padded, conv.weight, g)[:, :, :-1, 1:-2]
    assert torch.equal(gating_of(model, images), expected)


def test_functions_and_modules_give_the_same(images: Tensor) -> None:
    torch.manual_seed(1)
    modules = nn.Sequential(
        positive(nn.Conv2d(4, 6, 3, padding=1)),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.LocalResponseNorm(3),
        nn.AvgPool2d(2),
        nn.Dropout(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )

    class Functions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.b = modules[0].weight, modules[0].bias
            self.fc, self.shift = modules[8].weight, modules[8].bias

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(F.conv2d(x, self.w, self.b, padding=1), inplace=True)
            x = F.local_response_norm(F.max_pool2d(x, 2, ceil_mode=True), 3)
            x = F.dropout(F.avg_pool2d(x, kernel_size=2), 0.5, self.training)
            x = F.adaptive_avg_pool2d(x, (1, 1))
            return F.linear(x.view(x.size(0), -1), self.fc, self.shift)

    class Methods(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front, self.fc = modules[:5], modules[8]

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.front(x).mean(dim=[-2, -1], keepdim=True).flatten(1))

    expected = gating_of(modules, images)
    assert torch.equal(gating_of(Functions(), images), expected)
    assert torch.allclose(gating_of(Methods(), images), expected, atol=1e-7)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_folding_a_batch_norm_equals_its_evaluation(affine: bool, bias: bool) -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3, bias=bias), nn.BatchNorm2d(5, affine=affine)
    norm(conv(torch.randn(8, 3, 6, 6)))
    if affine:
        nn.init.uniform_(norm.weight, -1, 1)
        nn.init.normal_(norm.bias)
    norm.eval()
    weight, shift = fold_batch_norm(conv, norm)
    x = torch.randn(2, 3, 6, 6)
    assert torch.allclose(F.conv2d(x, weight, shift), norm(conv(x)), atol=1e-5)


def test_a_batch_norm_is_folded_into_its_convolution(images: Tensor) -> None:
    torch.manual_seed(2)
    conv, norm = positive(nn.Conv2d(4, 6, 3, bias=False)), nn.BatchNorm2d(6)
    nn.init.uniform_(norm.weight, -1, 2)
    norm.running_var.uniform_(0.5, 3)
    normed = nn.Sequential(conv, norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    folded_conv = nn.Conv2d(4, 6, 3)
    weight, shift = fold_batch_norm(conv, norm)
    with torch.no_grad():
        folded_conv.weight.copy_(weight)
        folded_conv.bias.copy_(shift)
    folded = nn.Sequential(folded_conv, *normed[2:])
    result, expected = STNet(normed)(images), STNet(folded)(images)
    assert torch.allclose(result.logits, expected.logits, atol=1e-5)
    assert torch.allclose(result.gating["image"], expected.gating["image"], atol=1e-5)


def test_a_batch_norm_that_shares_its_input_passes_gating_on(images: Tensor) -> None:
    conv, norm = positive(nn.Conv2d(4, 3, 3, padding=1)), nn.BatchNorm2d(3)

    def body(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
        y = conv(x)
        return pooled(F.relu(norm(y) + y))

    gating = gating_of(Written(body, 3, conv=conv, norm=norm), images)
    assert torch.allclose(gating.sum((1, 2, 3)), torch.ones(2), atol=1e-5)


def test_a_sum_is_shared_by_its_positive_parts(images: Tensor) -> None:
    model = Written(lambda x, conv: pooled(F.relu(conv(x) + x)), 4, conv=positive(nn.Conv2d(4, 4, 1, bias=False)))
    result = STNet(model, keep=["layers.conv"])(images, 1)
    convolved = model.layers["conv"](images).detach()
    g = expected_below(model, images, F.relu(convolved + images))
    to_conv, to_image = td_add(convolved, images, g)
    assert torch.equal(result.gating["layers.conv"], to_conv)
    through = td_linear(images, model.layers["conv"].weight, to_conv)
    assert torch.allclose(result.gating["image"], to_image + through, atol=1e-7)


def test_branches_get_their_channels_and_their_input_the_sum(images: Tensor) -> None:
    one, three = positive(nn.Conv2d(4, 2, 1, bias=False)), positive(nn.Conv2d(4, 3, 3, padding=1, bias=False))
    model = Written(lambda x, one, three: pooled(F.relu(torch.cat([one(x), three(x)], dim=1))), 5, one=one, three=three)
    hidden = F.relu(torch.cat([one(images), three(images)], 1)).detach()
    g = expected_below(model, images, hidden)
    expected = td_linear(images, one.weight, g[:, :2].contiguous())
    expected = expected + td_conv2d(images, three.weight, g[:, 2:].contiguous(), padding=1)
    assert torch.allclose(gating_of(model, images), expected, atol=1e-7)


def test_average_pools_share_in_proportion(images: Tensor) -> None:
    pool = nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True)
    model = Written(lambda x, pool: pooled(pool(x)), 4, pool=pool)
    g = expected_below(model, images, pool(images))
    assert torch.equal(gating_of(model, images), td_avg_pool2d(images, g, 3, 2, 1, ceil_mode=True))
    chosen = gating_of(model, images, settings=Settings(pool_mode="stat"))
    assert (chosen > 0).sum() < (images > 0).sum()
    assert torch.allclose(chosen.sum((1, 2, 3)), torch.ones(2), atol=1e-5)


def test_an_adaptive_pool_of_equal_size_changes_nothing(images: Tensor) -> None:
    conv = positive(nn.Conv2d(4, 3, 3, bias=False))
    with_pool = Written(lambda x, conv, pool: pooled(pool(F.relu(conv(x)))), 3, conv=conv, pool=nn.AdaptiveAvgPool2d(6))
    without = Written(lambda x, conv: pooled(F.relu(conv(x))), 3, conv=conv)
    without.fc = with_pool.fc
    assert torch.equal(gating_of(with_pool, images), gating_of(without, images))


@pytest.mark.parametrize(
    "body",
    [
        lambda x: pooled(x[:, [2, 0, 1, 3]].permute(0, 1, 3, 2)),
        lambda x: pooled(x.transpose(2, 3).contiguous()),
        lambda x: pooled(torch.cat([x[:, :1], x[:, 1:]], dim=1)),
        lambda x: pooled(F.pad(x, (1, 0, 2, 1))),
        lambda x: pooled(x * 2.0 + 1.0),
        lambda x: torch.squeeze(F.adaptive_avg_pool2d(x, 1).squeeze(-1), -1),
        lambda x: pooled(x.reshape(2, 4, 4, 16)),
    ],
)
def test_what_moves_values_moves_gating(images: Tensor, body: Callable[[Tensor], Tensor]) -> None:
    gating = gating_of(Written(body, 4), images)
    assert torch.allclose(gating.sum((1, 2, 3)), torch.ones(2), atol=1e-5)


def test_gating_goes_to_where_its_values_came_from() -> None:
    images = torch.zeros(1, 4, 8, 8)
    images[0, 2, 1, 5] = 1.0
    model = Written(lambda x: pooled(F.pad(x[:, [2, 0, 1, 3]].permute(0, 1, 3, 2), (1, 0, 0, 2))), 4)
    gating = STNet(model)(images, 1).gating["image"]
    assert gating[0, 2, 1, 5] == 1
    assert gating.sum() == 1


def test_a_map_of_one_cell_is_no_map_to_the_linear_layer(images: Tensor) -> None:
    model = Written(lambda x, pool: torch.flatten(pool(x), 1), 4, pool=nn.AdaptiveAvgPool2d(1))
    g = above(model, images.mean((2, 3)))
    expected = td_adaptive_avg_pool2d(images, g[:, :, None, None], 1)
    assert torch.allclose(gating_of(model, images), expected, atol=1e-7)


def test_linear_layers_on_rows_of_vectors(images: Tensor) -> None:
    rows = nn.Linear(8, 5, bias=False)
    nn.init.uniform_(rows.weight)
    model = Written(lambda x, rows: pooled(rows(x)), 4, rows=rows)
    g = expected_below(model, images, rows(images).detach())
    expected = td_linear(images.view(-1, 8), rows.weight, g.reshape(-1, 5)).view_as(images)
    assert torch.equal(gating_of(model, images), expected)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (lambda x: pooled(x * x), r"mul \(mul\) turns"),
        (lambda x: pooled(torch.add(x, x.mean((2, 3), keepdim=True))), "broadcast sums have no rule"),
        (lambda x: pooled(torch.cat(x.chunk(2, 1), 1)), r"no stnet rule for .*chunk"),
        (lambda x: x.mean((1, 2))[:, :4], "averages other axes than height and width"),
        (lambda x: pooled(torch.sigmoid(x)), r"no stnet rule for sigmoid \(sigmoid\)"),
    ],
)
def test_what_has_no_rule_says_so(images: Tensor, body: Callable[[Tensor], Tensor], named: str) -> None:
    with pytest.raises(MissingRuleError, match=named):
        STNet(Written(body, 4))(images, 1)


def test_a_module_called_twice(images: Tensor) -> None:
    act = nn.ReLU()
    conv, again = (positive(nn.Conv2d(4, 4, 3, padding=1)) for _ in range(2))
    body = nn.Sequential(conv, act, again, act)
    model = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(ValueError, match=r"0.1 gives 2 results \(_0_1, _0_3\): name one of them"):
        STNet(model, stop="0.1")
    whole, last, first = (STNet(model, stop=name)(images) for name in ("0", "_0_3", "_0_1"))
    assert torch.equal(whole.map, last.map)
    assert not torch.equal(whole.map, first.map)


def test_weights_shared_by_two_layers_each_hand_down_their_own(images: Tensor) -> None:
    conv = positive(nn.Conv2d(4, 4, 3, padding=1))
    model = nn.Sequential(conv, nn.ReLU(), conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    gating = STNet(model)(images).gating["image"]
    assert torch.allclose(gating.sum((1, 2, 3)), torch.ones(2), atol=1e-5)


def test_weights_that_the_network_computes_are_the_ones_selected_by(images: Tensor) -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight.abs() / 2, self.bias, self.stride, self.padding)

    torch.manual_seed(0)
    odd = nn.Sequential(Standardised(4, 3, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    plain = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), *odd[1:])
    with torch.no_grad():
        plain[0].weight.copy_(odd[0].weight.abs() / 2)
        plain[0].bias.copy_(odd[0].bias)
    for method in ("stnet", "excitation"):
        assert torch.equal(gating_of(odd, images, method=method), gating_of(plain, images, method=method))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("method", ["stnet", "excitation", "contrastive", "gradient"])
def test_other_precisions_give_float32_gatings(images: Tensor, dtype: torch.dtype, method: str) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(54, 8), nn.ReLU(), nn.Linear(8, 3)).to(dtype)
    gating = STNet(model, method=method)(images.to(dtype)).gating["image"]
    assert gating.dtype == torch.float32
    assert torch.isfinite(gating).all()


def test_every_layer_is_kept_that_gives_a_tensor(images: Tensor) -> None:
    model = Written(lambda x: x.mean((2, 3)).view(x.size(0), -1), 4)
    assert set(STNet(model, keep="all")(images).gating) == {"image", "mean", "view", "fc"}
    with pytest.raises(ValueError, match="size does not give one tensor"):
        STNet(model, stop="size")(images)


def test_a_stop_that_the_scores_do_not_depend_on_is_refused() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.aside = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = x.mean((2, 3))
            self.aside(x)
            return self.fc(x)

    with pytest.raises(ValueError, match="the class scores do not depend on aside"):
        STNet(Aside(), stop="aside")


def test_an_adaptive_max_pool_hands_all_to_its_maximum(images: Tensor) -> None:
    model = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 2, bias=False))
    nn.init.ones_(model[2].weight)
    gating = gating_of(model, images)
    best = images.flatten(2).argmax(2)
    assert torch.equal(gating.flatten(2).argmax(2), best)
    assert ((gating > 0).flatten(2).sum(2) == 1).all()


def test_inputs_may_be_given_by_name(images: Tensor) -> None:
    act, conv = nn.ReLU(inplace=True), positive(nn.Conv2d(4, 3, 3))
    by_name = Written(
        lambda x, conv, act: F.adaptive_avg_pool2d(
            input=F.relu(input=act(input=conv(input=x)), inplace=True), output_size=1
        ).flatten(start_dim=1),
        3,
        conv=conv,
        act=act,
    )
    plain = Written(lambda x, conv, act: F.adaptive_avg_pool2d(act(conv(x)), 1).flatten(1), 3, conv=conv, act=act)
    plain.fc = by_name.fc
    assert torch.equal(gating_of(by_name, images), gating_of(plain, images))


def test_one_by_one_convolutions_have_a_strictness_of_their_own(images: Tensor) -> None:
    model = Written(lambda x, conv: pooled(F.relu(conv(x))), 8, conv=positive(nn.Conv2d(4, 8, 1, bias=False)))
    usual, strict = gating_of(model, images), gating_of(model, images, settings=Settings(pointwise_mode="top1"))
    top = STNet(model, keep=["layers.conv"])(images, 1).gating["layers.conv"]
    assert (strict > 0).sum() < (usual > 0).sum()
    assert torch.allclose(strict, td_linear(images, model.layers["conv"].weight, top, mode="top1"))
