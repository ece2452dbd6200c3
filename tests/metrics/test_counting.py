import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dotally.metrics import CountingError, counting_error

COUNTS = st.lists(st.tuples(st.floats(-50, 5000), st.integers(0, 5000)), min_size=1, max_size=20)


def floats(figures: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in figures.items()}


def test_figures_counted_by_hand() -> None:
    # errors +2, -2, +4, 0
    figures = floats(counting_error(torch.tensor([12.0, 18.0, 4.0, 40.0]), torch.tensor([10, 20, 0, 40])))
    assert figures["mae"] == 2
    assert figures["rmse"] == 6**0.5
    assert figures["bias"] == 1
    assert figures["nae"] == pytest.approx((0.2 + 0.1 + 0) / 3, rel=1e-15), "the empty picture has no relative error"
    # sums of products about the means: 785 of truth and prediction, 875 of truth
    assert figures["slope"] == pytest.approx(785 / 875, rel=1e-15)


@given(COUNTS)
def test_figures_equal_numpy(pairs: list[tuple[float, int]]) -> None:
    predicted, truth = np.array(pairs, dtype=np.float64).T
    figures = floats(counting_error(torch.tensor(predicted), torch.tensor(truth).long()))
    error = predicted - truth
    assert figures["mae"] == pytest.approx(np.abs(error).mean())
    assert figures["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert figures["bias"] == pytest.approx(error.mean(), abs=1e-9)
    if (truth > 0).any():
        assert figures["nae"] == pytest.approx((np.abs(error) / np.maximum(truth, 1))[truth > 0].mean())
    if np.ptp(truth):
        slope = np.polynomial.Polynomial.fit(truth, predicted, 1).convert().coef
        assert figures["slope"] == pytest.approx(slope[1] if len(slope) > 1 else 0, rel=1e-6, abs=1e-6)


def test_perfect_prediction_gives_exact_figures() -> None:
    truth = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])
    assert floats(counting_error(truth.float(), truth)) == {"mae": 0, "rmse": 0, "bias": 0, "nae": 0, "slope": 1}


@pytest.mark.parametrize(
    ("truth", "missing"), [([0, 0], {"nae", "slope"}), ([7, 7], {"slope"}), ([7], {"slope"}), ([0, 7], set())]
)
def test_undefined_figures_are_left_out_so_that_json_holds_no_nan(truth: list[int], missing: set[str]) -> None:
    figures = floats(counting_error(torch.ones(len(truth)), torch.tensor(truth)))
    assert {"mae", "rmse", "bias", "nae", "slope"} - set(figures) == missing
    json.dumps(figures, allow_nan=False)


def test_batches_add_up_to_the_whole() -> None:
    predicted, truth = torch.rand(10, generator=torch.Generator().manual_seed(0)) * 900, torch.arange(10) * 80
    metric = CountingError()
    for part in (slice(3), slice(3, 4), slice(4, 10)):
        metric.update(predicted[part], truth[part])
    assert floats(metric.compute()) == pytest.approx(floats(counting_error(predicted, truth)), rel=1e-12)


def test_sums_do_not_drown_small_errors_in_single_precision() -> None:
    metric = CountingError()
    for _ in range(20):
        metric.update(torch.full((1000,), 20_000.25), torch.full((1000,), 20_000))
    assert metric.compute()["mae"] == 0.25


def test_sums_stay_float64_in_a_module_of_half_precision() -> None:
    module = torch.nn.Module()
    module.metric = CountingError()
    module.half()
    assert module.metric.sums.dtype == torch.float64


def test_merged_states_equal_one_metric() -> None:
    first, second, both = CountingError(), CountingError(), CountingError()
    first.update(torch.tensor([5.5, 2.0]), torch.tensor([4, 2]))
    second.update(torch.tensor([8.25]), torch.tensor([16]))
    both.update(torch.tensor([5.5, 2.0, 8.25]), torch.tensor([4, 2, 16]))
    first.merge_state(second)
    assert floats(first.compute()) == floats(both.compute())


def test_reset_forgets() -> None:
    metric = CountingError()
    metric.update(torch.tensor([100.0]), torch.tensor([1]))
    metric.reset()
    metric.update(torch.tensor([3.0]), torch.tensor([1]))
    assert metric.compute()["mae"] == 2


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_without_a_picture_there_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no picture"):
        CountingError().compute()


def test_counts_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(2, 1\)"):
        counting_error(torch.zeros(2), torch.zeros(2, 1))


def test_a_nan_prediction_is_not_hidden() -> None:
    assert counting_error(torch.tensor([torch.nan, 1.0]), torch.tensor([1, 1]))["mae"].isnan()
