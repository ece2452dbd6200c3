"""A padded batch holds its items unchanged, and the mask says where they are."""

import pytest
import torch
from torch import Tensor

from dotally.data.collate import cell_mask, collate
from dotally.data.sample import CrowdSample


def make_sample(name: str, height: int, width: int, heads: int, density: Tensor | None = None) -> CrowdSample:
    generator = torch.Generator().manual_seed(height * width)
    return CrowdSample(
        name=name,
        image=torch.randint(1, 256, (3, height, width), dtype=torch.uint8, generator=generator),
        points=torch.rand(heads, 2, generator=generator) * torch.tensor([width, height]),
        sigma=torch.rand(heads, generator=generator),
        adaptive=True,
        density=density,
    )


def test_a_batch_equals_its_items() -> None:
    samples = [make_sample("a", 17, 30, 3), make_sample("b", 24, 9, 0), make_sample("c", 1, 1, 5)]
    batch = collate(samples, multiple=8)
    assert batch["image"].shape == (3, 3, 24, 32)
    assert batch["name"] == ["a", "b", "c"]
    assert batch["size"].tolist() == [[17, 30], [24, 9], [1, 1]]
    assert batch["count"].tolist() == [3, 0, 5]
    assert "density" not in batch
    points, sigma = (batch[key].split(batch["count"].tolist()) for key in ("points", "sigma"))
    for i, sample in enumerate(samples):
        height, width = sample.size
        assert batch["image"][i, :, :height, :width].equal(sample.image)
        assert int((batch["image"][i] > 0).sum()) == 3 * height * width  # nothing but zeros beside it
        assert points[i].equal(sample.points)
        assert sigma[i].equal(sample.sigma)


@pytest.mark.parametrize(("side", "multiple", "padded"), [(8, 8, 8), (9, 8, 16), (9, 1, 9), (31, 32, 32)])
def test_sides_are_rounded_up_to_the_multiple(side: int, multiple: int, padded: int) -> None:
    batch = collate([make_sample("a", side, 1, 0)], multiple)
    assert batch["image"].shape == (1, 3, padded, multiple)


def test_published_maps_are_stacked_and_their_pictures_not_padded() -> None:
    maps = torch.rand(2, 17, 30)
    batch = collate([make_sample("a", 17, 30, 1, maps[0]), make_sample("b", 17, 30, 1, maps[1])], multiple=8)
    assert batch["image"].shape == (2, 3, 17, 30)
    assert batch["density"].equal(maps)


def test_published_maps_of_different_size_are_refused() -> None:
    samples = [make_sample("a", 8, 8, 0, torch.zeros(8, 8)), make_sample("b", 8, 9, 0, torch.zeros(8, 9))]
    with pytest.raises(ValueError, match=r"must have one size, got \[\(8, 8\), \(8, 9\)\]; use a batch size of 1"):
        collate(samples, multiple=8)


def test_the_mask_is_one_where_a_cell_holds_a_pixel() -> None:
    sizes = torch.tensor([[16, 17], [1, 8], [24, 32]])
    mask = cell_mask(sizes, (3, 4), stride=8)
    assert mask.dtype == torch.float32
    assert mask.shape == (3, 1, 3, 4)
    expected = torch.zeros(3, 1, 3, 4)
    for i, (height, width) in enumerate(sizes.tolist()):
        for y in range(height):
            for x in range(width):
                expected[i, 0, y // 8, x // 8] = 1
    assert mask.equal(expected)
