import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from dotally.stnet import Axis, BoxRule, Geometry, STNet, class_hypothesis, paint_hypothesis, score_map
from dotally.stnet.boxes import kept_cells

GEOMETRY = Geometry(Axis(5, 4, 7, 1), Axis(6, 4, 9, 2))
SIZE = (18, 24)


def literal(gating: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Add each kept cell's value to every pixel of its square."""
    result = np.zeros(SIZE)
    for row in range(5):
        for column in range(6):
            if not kept[row, column]:
                continue
            top, left = 4 * row + 1 - 7 // 2, 4 * column + 2 - 9 // 2
            result[max(top, 0) : top + 7, max(left, 0) : left + 9] += gating[row, column]
    return result


@pytest.mark.parametrize("rule", [BoxRule(), BoxRule(prune=False), BoxRule(collapse="max")])
def test_cells_spread_over_what_they_see(rule: BoxRule) -> None:
    torch.manual_seed(0)
    gating = torch.rand(2, 3, 5, 6) * (torch.rand(2, 3, 5, 6) < 0.4)
    collapsed = gating.sum(1) if rule.collapse == "sum" else gating.amax(1)
    kept = kept_cells(gating, rule)[:, 0]
    sharp = class_hypothesis(gating, rule, GEOMETRY, SIZE, sigma=0)
    blurred = class_hypothesis(gating, rule, GEOMETRY, SIZE)
    for picture in range(2):
        expected = literal(collapsed[picture].double().numpy(), kept[picture].numpy())
        assert np.allclose(sharp[picture, 0], expected, atol=1e-6)
        assert np.allclose(blurred[picture, 0], gaussian_filter(expected, 24 / 40, mode="reflect"), atol=1e-6)


def test_intact_channels_add_up_their_survivors() -> None:
    gating = torch.zeros(1, 2, 5, 6)
    gating[0, 0, 2, 2], gating[0, 1, 2, 2], gating[0, 1, 4, 4] = 0.5, 0.4, 0.01
    hypothesis = class_hypothesis(gating, BoxRule(collapse="intact"), GEOMETRY, SIZE, sigma=0)
    assert hypothesis.max().item() == pytest.approx(0.9)
    assert hypothesis[0, 0, 17, 20] == 0


def test_an_empty_gating_gives_an_empty_map() -> None:
    assert (class_hypothesis(torch.zeros(1, 2, 5, 6), BoxRule(), GEOMETRY, SIZE) == 0).all()


def test_a_negative_blur_is_refused() -> None:
    with pytest.raises(ValueError, match="sigma must not be negative"):
        class_hypothesis(torch.zeros(1, 2, 5, 6), BoxRule(), GEOMETRY, SIZE, sigma=-1)


def test_a_result_has_its_hypothesis_in_pixels() -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    model = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    result = STNet(model, stop="2")(torch.rand(2, 3, 40, 30))
    hypothesis = result.class_hypothesis()
    assert hypothesis.shape == (2, 1, 40, 30)
    assert (hypothesis >= 0).all()
    assert hypothesis.flatten(1).amax(1).gt(0).all()


def test_colours_run_from_blue_to_red() -> None:
    colours = paint_hypothesis(torch.tensor([[0.0, 0.5], [0.8, 1.0]]))
    assert colours.dtype == np.uint8
    assert colours.shape == (2, 2, 3)
    assert colours[0, 0].tolist() == [0, 0, 128]
    assert colours[1, 0].tolist() == colours[1, 1].tolist() == [128, 0, 0]
    assert (paint_hypothesis(torch.zeros(2, 2)) == np.array([0, 0, 128])).all()


def test_maps_of_any_size_are_brought_to_the_picture_s() -> None:
    maps = torch.zeros(2, 1, 4, 4)
    maps[0, 0, 1, 2] = 1
    plain, soft = score_map(maps, (16, 32)), score_map(maps, (16, 32), sigma=2)
    assert plain.shape == soft.shape == (2, 1, 16, 32)
    assert plain[0].argmax() // 32 in (5, 6)
    assert soft.sum().item() == pytest.approx(plain.sum().item(), rel=1e-4)
    assert 0 < soft.max() < plain.max()
    assert (soft[1] == 0).all()
    assert torch.equal(score_map(maps, (4, 4)), maps)
    with pytest.raises(ValueError, match="sigma must not be negative"):
        score_map(maps, (4, 4), sigma=-1)
