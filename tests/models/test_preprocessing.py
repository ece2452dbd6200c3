import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dotally.models import PRESETS, preprocess


def pictures(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_imagenet_pixels_are_normalised_by_the_published_constants(device: torch.device) -> None:
    image = torch.tensor([255, 0, 128], dtype=torch.uint8, device=device).view(1, 3, 1, 1)
    x = preprocess(image, torch.tensor([[1, 1]], device=device), PRESETS["imagenet"])
    expected = torch.tensor([(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225])
    torch.testing.assert_close(x.flatten().cpu(), expected)


def test_unit_pixels_lie_between_zero_and_one() -> None:
    image = pictures(1, 3, 8, 8)
    assert torch.equal(preprocess(image, torch.tensor([[8, 8]]), PRESETS["unit"]), image / 255)


@pytest.mark.parametrize("preset", ["imagenet", "unit", "mcnn"])
def test_the_picture_itself_is_left_alone(preset: str) -> None:
    image = pictures(1, 3, 8, 8)
    preprocess(image, torch.tensor([[8, 8]]), PRESETS[preset])
    assert torch.equal(image, pictures(1, 3, 8, 8))


@pytest.mark.parametrize("preset", ["imagenet", "unit", "mcnn"])
def test_padding_is_exactly_zero_and_changes_nothing_inside(preset: str, device: torch.device) -> None:
    # the padding holds rubbish here, to show that it is not read
    image, size = pictures(2, 3, 16, 20).to(device), torch.tensor([[8, 20], [16, 12]], device=device)
    x = preprocess(image, size, PRESETS[preset])
    assert not x[0, :, 8:].any()
    assert not x[1, :, :, 12:].any()
    alone = preprocess(image[:1, :, :8], size[:1], PRESETS[preset])
    assert torch.equal(x[:1, :, :8], alone)


def test_grey_is_pillows_to_the_last_bit() -> None:
    values = np.stack(np.meshgrid(range(256), range(256), range(0, 256, 17), indexing="ij"), axis=-1)
    rgb = values.astype(np.uint8).reshape(1024, 1024, 3)
    expected = np.array(Image.fromarray(rgb).convert("L"))
    image = torch.from_numpy(rgb).permute(2, 0, 1).unsqueeze(0)
    x = preprocess(image, torch.tensor([[1024, 1024]]), PRESETS["mcnn"])
    assert np.array_equal(x[0, 0].numpy(), expected.astype(np.float32))


def test_a_grey_picture_stays_what_it_is() -> None:
    image = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    x = preprocess(image, torch.tensor([[16, 16]]), PRESETS["mcnn"])
    assert torch.equal(x[:, 0], image[:, 0].float())


def test_sides_are_resized_down_to_multiples_of_four() -> None:
    x = preprocess(pictures(2, 3, 37, 51), torch.tensor([[37, 51]] * 2), PRESETS["mcnn"])
    assert x.shape == (2, 1, 36, 48)


def test_resizing_samples_a_ramp_at_pixel_centres() -> None:
    ramp = torch.arange(10, dtype=torch.uint8).mul(20).expand(1, 3, 4, 10)
    x = preprocess(ramp, torch.tensor([[4, 10]]), PRESETS["mcnn"])
    # OpenCV's bilinear rule: output pixel i reads position (i + 1/2) * 10/8 - 1/2
    expected = 20 * ((torch.arange(8) + 0.5) * 10 / 8 - 0.5)
    torch.testing.assert_close(x[0, 0, 0], expected)


def test_resizing_does_not_see_the_padding() -> None:
    image = pictures(1, 3, 40, 60)
    size = torch.tensor([[37, 51]])
    alone = preprocess(image[..., :37, :51], size, PRESETS["mcnn"])
    assert torch.equal(preprocess(image, size, PRESETS["mcnn"]), alone)


def test_a_side_below_four_pixels_becomes_four() -> None:
    assert preprocess(pictures(1, 3, 3, 9), torch.tensor([[3, 9]]), PRESETS["mcnn"]).shape == (1, 1, 4, 8)


def test_a_batch_of_several_sizes_that_need_resizing_is_refused() -> None:
    with pytest.raises(ValueError, match="batch size of 1"):
        preprocess(pictures(2, 3, 8, 9), torch.tensor([[8, 9], [8, 8]]), PRESETS["mcnn"])


@pytest.mark.parametrize("image", [torch.zeros(1, 3, 4, 4), pictures(3, 4, 4), pictures(1, 1, 4, 4)])
def test_a_batch_of_another_kind_is_refused(image: Tensor) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[B, 3, H, W\]"):
        preprocess(image, torch.tensor([[4, 4]]), PRESETS["unit"])
