"""Picture and points move together: every head is followed by the colour of its pixel and by its sigma."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from dotally.data.sample import CrowdSample
from dotally.data.transforms import (
    Augmentation,
    QuarterPatches,
    RandomCrop,
    crop,
    keep_inside,
    mirror,
    resize,
)

PLACES = torch.tensor([0.0, 0.5, 1 - 2**-9, 1 - 2**-12])  # within a pixel


def colour(number: Tensor) -> Tensor:
    return torch.stack([number % 251, 255 - number % 83, 1 + number % 7], dim=-1).to(torch.uint8)


def painted(height: int, width: int, heads: int = 40, block: int = 1, seed: int = 0) -> CrowdSample:
    """Heads in distinct blocks of pixels; head i has sigma i + 1 and its own colour, and its mass 1 in the map."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm((height // block) * (width // block), generator=generator)[:heads]
    row, column = cells // (width // block) * block, cells % (width // block) * block
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    number = torch.arange(1, len(cells) + 1)
    for i, (y, x) in enumerate(zip(row.tolist(), column.tolist(), strict=True)):
        image[:, y : y + block, x : x + block] = colour(number[i])[:, None, None]
    inside = PLACES[torch.randint(len(PLACES), (len(cells), 2), generator=generator)]
    points = keep_inside(torch.stack([column, row], dim=1) + block // 2 + inside, (height, width))
    density = torch.zeros(height, width).index_put((points[:, 1].long(), points[:, 0].long()), torch.ones(len(cells)))
    return CrowdSample(
        name="IMG_1.jpg", image=image, points=points, sigma=number.float(), adaptive=False, density=density
    )


def assert_heads_on_their_pixels(sample: CrowdSample) -> None:
    height, width = sample.size
    column, row = sample.points.floor().long().T
    assert bool(((column >= 0) & (column < width) & (row >= 0) & (row < height)).all())
    assert_close(sample.image[:, row, column].T, colour(sample.sigma.long()))
    if sample.density is not None:
        assert sample.density.shape == (height, width)
        assert_close(sample.density[row, column], torch.ones(len(row)))


def without_map(sample: CrowdSample) -> CrowdSample:
    return CrowdSample(**{**vars(sample), "density": None})


@pytest.mark.parametrize(("height", "width"), [(1, 1), (40, 61), (7, 1023)])
def test_a_mirrored_head_is_still_on_its_pixel(height: int, width: int) -> None:
    sample = painted(height, width)
    mirrored = mirror(sample)
    assert_heads_on_their_pixels(mirrored)
    assert mirrored.image.equal(sample.image.flip(-1))
    assert_close(mirror(mirrored).points, sample.points, atol=2**-9, rtol=0)


@pytest.mark.parametrize("width", [1, 1024, 19044])
def test_mirroring_never_rounds_a_head_into_the_next_pixel(width: int) -> None:
    columns = torch.arange(width, dtype=torch.float32)
    x = torch.cat([columns, (columns + 1).nextafter(torch.tensor(0.0))])  # both ends of every pixel
    sample = CrowdSample(
        name="wide",
        image=torch.zeros(3, 1, width, dtype=torch.uint8),
        points=torch.stack([x, torch.zeros_like(x)], dim=1),
        sigma=x,
        adaptive=False,
    )
    assert mirror(sample).points[:, 0].floor().equal(width - 1 - x.floor())


def test_crop_keeps_exactly_the_heads_in_its_window() -> None:
    sample = painted(40, 60)
    window = crop(sample, top=5, left=11, height=20, width=33)
    assert window.size == (20, 33)
    assert_heads_on_their_pixels(window)
    column, row = sample.points.floor().T
    inside = (row >= 5) & (row < 25) & (column >= 11) & (column < 44)
    assert 0 < int(inside.sum()) < 40
    assert window.sigma.equal(sample.sigma[inside])


def test_tiling_a_picture_with_crops_loses_and_doubles_no_head() -> None:
    sample = painted(40, 60)
    tiles = [crop(sample, y, x, 10, 15) for y in range(0, 40, 10) for x in range(0, 60, 15)]
    assert torch.cat([tile.sigma for tile in tiles]).sort().values.equal(sample.sigma)


@pytest.mark.parametrize("window", [(-1, 0, 5, 5), (0, 0, 41, 5), (0, 56, 5, 5), (0, 0, 0, 5)])
def test_a_window_outside_the_picture_is_refused(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"IMG_1\.jpg: a window .* does not lie within the picture of 40x60"):
        crop(painted(40, 60), *window)


@pytest.mark.parametrize(("size", "antialias"), [((120, 180), True), ((20, 30), False), ((20, 30), True)])
def test_a_head_stays_on_its_block_when_scaled_by_an_integer(size: tuple[int, int], antialias: bool) -> None:
    # blocks of 10 pixels: their middle keeps its colour whatever is blended at their edges
    scaled = resize(without_map(painted(40, 60, heads=20, block=10)), size, antialias=antialias)
    assert scaled.size == size
    assert_heads_on_their_pixels(scaled)


def test_plain_shrinking_by_two_averages_two_by_two_pixels() -> None:
    image = torch.randint(0, 256, (3, 8, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    none = torch.empty(0, 2)
    sample = CrowdSample(name="noise", image=image, points=none, sigma=none[:, 0], adaptive=True)
    expected = image.double().reshape(3, 4, 2, 3, 2).mean(dim=(2, 4)).round().to(torch.uint8)
    assert resize(sample, (4, 3), antialias=False).image.equal(expected)
    assert not resize(sample, (4, 3)).image.equal(expected)


@pytest.mark.parametrize("size", [(1, 1), (13, 17), (39, 61), (400, 600)])
def test_scaling_keeps_every_head_inside(size: tuple[int, int]) -> None:
    sample = without_map(painted(40, 60, heads=2400))
    points = resize(sample, size).points
    assert len(points) == 2400
    assert bool((points < torch.tensor([size[1], size[0]])).all())
    assert bool((points >= 0).all())


def test_only_adaptive_sigma_scales_with_the_picture() -> None:
    fixed = without_map(painted(40, 60))
    adaptive = CrowdSample(**{**vars(fixed), "adaptive": True})
    assert resize(fixed, (20, 15)).sigma.equal(fixed.sigma)
    assert_close(resize(adaptive, (20, 15)).sigma, adaptive.sigma * (0.5 * 0.25) ** 0.5)


def test_a_published_map_cannot_be_scaled() -> None:
    sample = painted(40, 60)
    with pytest.raises(ValueError, match="published full-size density map cannot be scaled"):
        resize(sample, (20, 30))
    assert resize(sample, (40, 60)) is sample


@pytest.mark.parametrize("augmentation", [RandomCrop(16), RandomCrop(50), QuarterPatches()])
def test_augmented_heads_are_on_their_pixels(augmentation: Augmentation) -> None:
    for seed in range(36):
        sample = painted(40, 61, seed=seed)
        copy = seed % augmentation.copies
        assert_heads_on_their_pixels(augmentation(sample, copy, torch.Generator().manual_seed(seed)))


def test_a_random_crop_depends_on_its_generator_alone() -> None:
    sample, random = painted(40, 60), RandomCrop(16)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = [random(sample, 0, torch.Generator().manual_seed(seed)).image for seed in range(20)]
    assert torch.get_rng_state().equal(state)
    torch.rand(1)
    again = [random(sample, 0, torch.Generator().manual_seed(seed)).image for seed in range(20)]
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert len({image.numpy().tobytes() for image in first}) > 15


def test_random_crops_reach_every_corner_and_mirror_half_of_the_time() -> None:
    corner = painted(20, 20, heads=0)
    image = torch.zeros_like(corner.image)
    image[:, 0, 0], image[:, 0, -1], image[:, -1, 0], image[:, -1, -1] = 1, 2, 3, 4
    sample = CrowdSample(**{**vars(corner), "image": image})
    generator = torch.Generator().manual_seed(0)
    draw = lambda flip: RandomCrop(19, flip=flip)(sample, 0, generator).image  # noqa: E731
    assert {int(draw(0.0).max()) for _ in range(100)} == {1, 2, 3, 4}
    mirrored = sum(int(draw(0.5)[0, 0, -1]) == 1 for _ in range(2000))
    assert 200 < mirrored < 300  # one crop in four holds the corner, half of them mirrored


def test_a_random_crop_scales_within_its_range() -> None:
    sample = without_map(painted(40, 60))
    for seed in range(20):
        height, width = RandomCrop(1000, (0.5, 2.0))(sample, 0, torch.Generator().manual_seed(seed)).size
        assert 20 <= height <= 80
        assert 30 <= width <= 120


def test_a_crop_larger_than_the_picture_keeps_it_whole() -> None:
    sample = painted(40, 60)
    assert RandomCrop(50, flip=0.0)(sample, 0, torch.Generator()).size == (40, 50)
    assert RandomCrop(60, flip=0.0)(sample, 0, torch.Generator()).image.equal(sample.image)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 8, "scale": (2.0, 1.0)}, {"size": 8, "flip": 1.5}])
def test_senseless_crops_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"must be|is a probability"):
        RandomCrop(**wrong)


def patches_of(sample: CrowdSample, seed: int = 0) -> list[CrowdSample]:
    patches = QuarterPatches(seed)
    return [patches(sample, copy, torch.Generator().manual_seed(copy)) for copy in range(patches.copies)]


def test_there_are_four_quarters_five_random_patches_and_their_mirror_images() -> None:
    sample = painted(40, 60)
    patches = patches_of(sample)
    assert len(patches) == 18
    assert {patch.size for patch in patches} == {(20, 30)}
    quarters = [patch.image for patch in patches[:4]]
    rows = [torch.cat(quarters[:2], dim=2), torch.cat(quarters[2:], dim=2)]
    assert torch.cat(rows, dim=1).equal(sample.image)
    assert len({patch.image.numpy().tobytes() for patch in patches}) == 18
    for patch, mirrored in zip(patches[:9], patches[9:], strict=True):
        assert mirrored.image.equal(patch.image.flip(-1))


def test_random_patches_are_fixed_by_seed_and_name() -> None:
    sample = painted(40, 60)
    renamed = CrowdSample(**{**vars(sample), "name": "IMG_2.jpg"})
    images = [torch.stack([patch.image for patch in patches_of(sample, seed)]) for seed in (0, 0, 1)]
    assert images[0].equal(images[1])
    assert not images[0].equal(images[2])
    assert not images[0].equal(torch.stack([patch.image for patch in patches_of(renamed)]))


def test_patches_of_a_single_pixel_exist() -> None:
    assert {patch.size for patch in patches_of(painted(1, 1, heads=1))} == {(1, 1)}
