import pytest
import torch

from dotally.losses import LOSSES, get_loss, official_sum_of_squares, scaled_mean_square, sum_of_squares


def maps(batch: int = 3, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 1, 4, 5)
    return torch.rand(shape, generator=generator, dtype=dtype), torch.rand(shape, generator=generator, dtype=dtype)


def test_values_counted_by_hand() -> None:
    prediction = torch.tensor([1.0, 2.0, 0.0, 4.0]).view(2, 1, 1, 2)
    target = torch.tensor([1.0, 0.0, 3.0, 4.0]).view(2, 1, 1, 2)
    assert sum_of_squares(prediction, target) == (4 + 9) / (2 * 2)
    assert official_sum_of_squares(prediction, target) == 13
    assert scaled_mean_square(prediction, target) == 13 / 4 * 100**2
    assert scaled_mean_square(prediction, target, scale=2) == 13


@pytest.mark.parametrize("batch", [1, 3])
def test_published_code_is_2n_times_the_paper(batch: int) -> None:
    prediction, target = maps(batch)
    torch.testing.assert_close(
        official_sum_of_squares(prediction, target), 2 * batch * sum_of_squares(prediction, target)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_masked_cells_do_not_count(name: str) -> None:
    prediction, target = maps(batch=1)
    mask = torch.ones_like(target)
    mask[..., 3:, :] = 0
    mask[..., 3:] = 0
    torch.testing.assert_close(
        get_loss(name)(prediction, target, mask),
        get_loss(name)(prediction[..., :3, :3], target[..., :3, :3]),
    )


@pytest.mark.parametrize("name", LOSSES)
def test_infinities_in_the_padding_reach_neither_loss_nor_gradient(name: str) -> None:
    prediction, target = maps(batch=1)
    prediction[..., -1] = torch.inf
    prediction.requires_grad_()
    mask = torch.ones_like(target)
    mask[..., -1] = 0
    loss = get_loss(name)(prediction, target, mask)
    loss.backward()
    assert loss.isfinite()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
    assert not prediction.grad[..., -1].any()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_right(name: str) -> None:
    prediction, target = maps()
    mask = (target > 0.3).double()
    assert torch.autograd.gradcheck(lambda p: get_loss(name)(p, target, mask), prediction.requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(name: str, dtype: torch.dtype) -> None:
    prediction = torch.full((2, 1, 64, 64), 100, dtype=dtype)
    assert get_loss(name)(prediction, torch.zeros(2, 1, 64, 64)).isfinite()


def test_mean_of_no_cell_is_zero() -> None:
    prediction, target = maps()
    assert scaled_mean_square(prediction, target, torch.zeros_like(target)) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_shapes_that_would_broadcast_are_refused(name: str) -> None:
    prediction, target = maps()
    with pytest.raises(ValueError, match=r"prediction \(3, 1, 4, 5\) and target \(3, 1, 4, 1\).*stride"):
        get_loss(name)(prediction, target[..., :1])
    with pytest.raises(ValueError, match=r"mask \(1, 1, 4, 5\)"):
        get_loss(name)(prediction, target, target[:1])


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'l2'.*sum_of_squares, official_sum_of_squares, scaled_mean_square"):
        get_loss("l2")
