"""Localized heads: against an exhaustive matching, and against published predictions."""

from itertools import permutations
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dotally.data.nwpu_localization import read_head_predictions, read_head_truth
from dotally.metrics import HeadF1
from dotally.metrics.heads import matched_heads


def exhaustive(predicted: Tensor, points: Tensor, sigma: Tensor) -> int:
    """Try every way of giving each head a prediction."""
    near = torch.cdist(points.double(), predicted.double()) <= sigma[:, None]
    rows, columns = (points, predicted) if len(points) <= len(predicted) else (predicted, points)
    near = near if len(points) <= len(predicted) else near.T
    return max(sum(bool(near[i, j]) for i, j in enumerate(way)) for way in permutations(range(len(columns)), len(rows)))


@pytest.mark.parametrize("seed", range(12))
def test_the_matching_is_the_largest_there_is(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    predicted = torch.randint(0, 8, (3 + seed % 4, 2), generator=generator).float()
    points = torch.randint(0, 8, (5, 2), generator=generator).float()
    sigma = torch.randint(0, 5, (5,), generator=generator).float()
    assert matched_heads(predicted, points, sigma) == exhaustive(predicted, points, sigma)


def test_one_prediction_stands_for_one_head_only() -> None:
    both = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    assert matched_heads(torch.tensor([[1.0, 0.0]]), both, 5) == 1
    assert matched_heads(both, torch.tensor([[1.0, 0.0]]), 5) == 1


def test_a_greedy_choice_does_not_cost_a_match() -> None:
    # the left prediction reaches both heads, the right one only the nearer of them
    heads = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    predicted = torch.tensor([[3.0, 0.0], [0.0, 3.0]])
    assert matched_heads(predicted, heads, torch.tensor([3.0, 1.0])) == 2


def test_exactly_sigma_away_is_near_enough() -> None:
    assert matched_heads(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2), 5) == 1
    assert matched_heads(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2), 4.999) == 0


def test_heads_of_all_pictures_are_summed_before_dividing() -> None:
    metric = HeadF1()
    here, away = torch.zeros(1, 2), torch.full((3, 2), 50.0)
    metric.update([here], [here], [torch.ones(1)])
    metric.update([away], [torch.zeros(0, 2)], [torch.ones(0)])
    metric.update([torch.zeros(0, 2)], [away], [torch.ones(3)])
    figures = metric.compute()
    assert {name: float(value) for name, value in figures.items()} == {"precision": 0.25, "recall": 0.25, "f1": 0.25}


def test_what_is_not_defined_is_left_out() -> None:
    metric = HeadF1()
    metric.update([], [], [])
    assert metric.compute() == {}
    metric = HeadF1()
    metric.update([torch.zeros(0, 2)], [torch.zeros(2, 2)], [torch.ones(2)])
    assert {name: float(value) for name, value in metric.compute().items()} == {"recall": 0, "f1": 0}


@pytest.mark.parametrize(
    ("predicted", "points", "sigma"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 2), torch.ones(2)),
        (torch.zeros(2, 2), torch.zeros(2), torch.ones(2)),
        (torch.zeros(2, 2), torch.zeros(2, 2), torch.ones(3)),
        (torch.zeros(2, 2), torch.zeros(2, 2), torch.tensor([1.0, -1.0])),
        (torch.full((2, 2), torch.nan), torch.zeros(2, 2), torch.ones(2)),
    ],
)
def test_what_does_not_fit_is_refused(predicted: Tensor, points: Tensor, sigma: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected|finite"):
        matched_heads(predicted, points, sigma)


@pytest.mark.real
@pytest.mark.parametrize(
    ("part", "pictures", "heads", "small", "large"),
    [
        # recomputed from FIDTM's lists with an independent matching; published: 59.1/58.2/58.6 and 78.1/77.0/77.6 (A),
        # 64.9/64.5/64.7 and 83.9/83.2/83.5 (B)
        ("A", 182, 78_970, (59.14, 58.25, 58.69), (78.20, 77.02, 77.60)),
        ("B", 316, 39_208, (64.94, 64.36, 64.65), (83.92, 83.17, 83.54)),
    ],
)
def test_published_predictions_get_their_figures(
    data_root: list[Path],
    part: str,
    pictures: int,
    heads: int,
    small: tuple[float, float, float],
    large: tuple[float, float, float],
) -> None:
    lists = [root / "loc_golden" / f"fidtm_sh{part}_gt.txt" for root in data_root]
    path = next((path for path in lists if path.is_file()), None)
    if path is None:
        pytest.skip("no loc_golden below DOTALLY_DATA_ROOT: this test reads published predictions")
    truth = read_head_truth(path)
    predictions = read_head_predictions(path.with_name(f"fidtm_sh{part}_pred.txt"))
    assert (len(truth), sum(len(head.points) for head in truth.values())) == (pictures, heads)
    for expected, name in ((small, "sigma_small"), (large, "sigma_large")):
        metric = HeadF1()
        for picture, head in truth.items():
            metric.update([predictions[picture]], [head.points], [getattr(head, name)])
        assert tuple(round(100 * float(value), 2) for value in metric.compute().values()) == expected
