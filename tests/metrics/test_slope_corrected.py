"""Counts divided by the slope of prediction on truth."""

import pytest
import torch

from dotally.metrics import counting_error
from dotally.metrics.slope_corrected import slope_corrected


def test_corrected_by_hand() -> None:
    truth = torch.tensor([0, 10, 20])
    # 4 + t / 2: the slope leaves the offset out
    corrected = slope_corrected(torch.tensor([4.0, 9.0, 14.0]), truth)
    assert corrected is not None
    assert corrected.tolist() == [8.0, 18.0, 28.0]


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_scale_is_taken_out_of_every_prediction(scale: float) -> None:
    truth = torch.arange(1, 40)
    noise = torch.randn(39, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain, scaled = slope_corrected(truth + noise, truth), slope_corrected(scale * (truth + noise), truth)
    assert plain is not None
    assert scaled is not None
    assert torch.allclose(plain, scaled, rtol=1e-12)
    assert counting_error(scaled, truth)["slope"].item() == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    ("predicted", "truth"), [([7.3] * 4, [3, 9, 1, 140]), ([5.0, 3.0, 1.0], [1, 3, 5]), ([1.0, 2.0], [4, 4])]
)
def test_without_a_slope_to_divide_by_there_is_none(predicted: list[float], truth: list[int]) -> None:
    """A constant, predictions that fall as counts rise, and equal truths."""
    assert slope_corrected(torch.tensor(predicted, dtype=torch.float64), torch.tensor(truth)) is None


def test_a_nan_prediction_gives_none() -> None:
    assert slope_corrected(torch.tensor([torch.nan, 2.0, 3.0]), torch.tensor([1, 2, 3])) is None
