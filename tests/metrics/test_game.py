import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from dotally.metrics import GAME, CountingError, game_errors


def fabricate(sizes: list[tuple[int, int]], stride: int, seed: int = 0) -> dict[str, Tensor]:
    """Padded maps with noise in the padding too, and points of all pictures in a row."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor(sizes)
    height, width = (-(-int(side) // stride) for side in size.amax(0))
    count = torch.randint(1, 30, (len(sizes),), generator=generator)
    extent = size.repeat_interleave(count, 0).flip(-1)
    return {
        "density": torch.rand(len(sizes), 1, height, width, generator=generator),
        "points": torch.rand(int(count.sum()), 2, generator=generator) * extent,
        "count": count,
        "size": size,
    }


def brute_force(density: np.ndarray, points: np.ndarray, size: tuple[int, int], stride: int, level: int) -> float:
    """Spread each map cell over its pixels inside the picture, cut every pixel into 2^L x 2^L, and sum by cell."""
    (height, width), cells = size, 2**level
    pixels = np.zeros((height, width))
    for row in range(-(-height // stride)):
        for column in range(-(-width // stride)):
            inside = np.s_[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
            pixels[inside] = density[row, column] / pixels[inside].size
    fine = pixels.repeat(cells, 0).repeat(cells, 1) / cells**2
    predicted = fine.reshape(cells, height, cells, width).sum((1, 3))
    for x, y in points.astype(np.float64):
        predicted[int(y * cells / height), int(x * cells / width)] -= 1
    return np.abs(predicted).sum()


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("size", "stride"), [((64, 64), 8), ((61, 47), 8), ((24, 40), 8), ((9, 13), 4), ((5, 3), 8), ((17, 30), 1)]
)
def test_equals_counting_pixel_by_pixel(size: tuple[int, int], stride: int, level: int) -> None:
    batch = fabricate([size], stride)
    expected = brute_force(batch["density"][0, 0].double().numpy(), batch["points"].numpy(), size, stride, level)
    assert game_errors(**batch, stride=stride, level=level).sum().item() == pytest.approx(expected, rel=1e-9)


def test_cell_counted_by_hand() -> None:
    # one head too many on the left and one too few on the right: no error of the count, two of the places
    density = torch.tensor([[[[2.0, 0.0], [0.0, 0.0]]]])
    points, count, size = torch.tensor([[1.0, 1.0], [15.5, 2.0]]), torch.tensor([2]), torch.tensor([[16, 16]])
    assert game_errors(density, points, count, size, 8, level=0).sum() == 0
    assert game_errors(density, points, count, size, 8, level=1).tolist() == [[[1, 1], [0, 0]]]


def test_border_between_cells_belongs_to_the_right_and_lower_one() -> None:
    point, size = torch.tensor([[8.0, 8.0]]), torch.tensor([[16, 16]])
    errors = game_errors(torch.zeros(1, 1, 2, 2), point, torch.tensor([1]), size, 8, level=1)
    assert errors.tolist() == [[[0, 0], [0, 1]]]


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_padded_batch_equals_its_pictures(level: int) -> None:
    sizes, stride = [(64, 40), (33, 70), (8, 8), (50, 50)], 8
    batch = fabricate(sizes, stride)
    together = game_errors(**batch, stride=stride, level=level).sum((1, 2))
    begin = 0
    for index, (height, width) in enumerate(sizes):
        end = begin + int(batch["count"][index])
        alone = game_errors(
            batch["density"][index : index + 1, :, : -(-height // stride), : -(-width // stride)],
            batch["points"][begin:end],
            batch["count"][index : index + 1],
            batch["size"][index : index + 1],
            stride,
            level=level,
        )
        assert together[index].item() == pytest.approx(alone.sum().item(), rel=1e-12)
        begin = end


def test_level_0_is_the_mae_inside_the_pictures() -> None:
    sizes, stride = [(61, 47), (30, 64)], 8
    batch = fabricate(sizes, stride)
    game, error = GAME(0), CountingError()
    game.update(**batch, stride=stride)
    inside = [
        batch["density"][i, 0, : -(-height // stride), : -(-width // stride)].double().sum()
        for i, (height, width) in enumerate(sizes)
    ]
    error.update(torch.stack(inside), batch["count"])
    assert game.compute().item() == pytest.approx(error.compute()["mae"].item(), rel=1e-12)


def test_finer_grids_never_err_less() -> None:
    batch = fabricate([(64, 64), (61, 47)], 8)
    errors = [game_errors(**batch, stride=8, level=level).sum() for level in range(5)]
    assert errors == sorted(errors)


def test_batches_and_merged_states_add_up() -> None:
    first, second = fabricate([(64, 64)], 8, seed=1), fabricate([(40, 24), (61, 47)], 8, seed=2)
    whole, part, other = GAME(2), GAME(2), GAME(2)
    for batch, metric in ((first, part), (second, other)):
        metric.update(**batch, stride=8)
        whole.update(**batch, stride=8)
    part.merge_state(other)
    assert part.compute() == whole.compute()


def test_levels_in_a_collection_are_not_taken_for_one_metric() -> None:
    """Torchmetrics merges metrics of equal states, and without a prediction all levels err alike."""
    metrics = MetricCollection({f"game{level}": GAME(level) for level in range(4)})
    batch = fabricate([(64, 64)], 8)
    metrics.update(**{**batch, "density": torch.zeros(1, 1, 8, 8)}, stride=8)
    metrics.update(**batch, stride=8)
    alone = [(GAME(level)) for level in range(4)]
    for level, metric in enumerate(alone):
        metric.update(**{**batch, "density": torch.zeros(1, 1, 8, 8)}, stride=8)
        metric.update(**batch, stride=8)
        assert metrics.compute()[f"game{level}"] == metric.compute()


def test_pictures_without_heads_and_points_outside() -> None:
    density, size = torch.ones(2, 1, 2, 2), torch.tensor([[16, 16], [16, 16]])
    points = torch.tensor([[-3.0, 5.0], [99.0, 99.0]])
    errors = game_errors(density, points, torch.tensor([0, 2]), size, 8, level=1)
    assert errors[0].tolist() == [[1, 1], [1, 1]]
    assert errors[1].tolist() == [[0, 1], [1, 0]], "a point outside counts in the nearest cell"
    assert game_errors(density, points[:0], torch.tensor([0, 0]), size, 8, level=1).sum() == 8


def test_half_precision_maps_are_summed_in_double() -> None:
    density = torch.full((1, 1, 64, 64), 0.5, dtype=torch.bfloat16)
    errors = game_errors(density, torch.zeros(0, 2), torch.tensor([0]), torch.tensor([[512, 512]]), 8, level=0)
    assert errors.item() == 2048


def test_counts_that_do_not_fit_the_points_are_refused() -> None:
    with pytest.raises(ValueError, match="promises 3 points, got 2"):
        game_errors(torch.zeros(1, 1, 2, 2), torch.zeros(2, 2), torch.tensor([3]), torch.tensor([[8, 8]]), 8, level=0)


def test_a_map_smaller_than_its_picture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 x 2 cells of 8 pixels .* \[17, 16\]"):
        game_errors(torch.zeros(1, 1, 2, 2), torch.zeros(0, 2), torch.tensor([0]), torch.tensor([[17, 16]]), 8, level=0)


def test_negative_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        GAME(-1)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_without_a_picture_there_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no picture"):
        GAME(1).compute()
