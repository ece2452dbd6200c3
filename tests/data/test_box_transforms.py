"""Pictures and their boxes move together."""

import pytest
import torch
from PIL import Image
from torch import Generator
from torch.testing import assert_close

from dotally.data.box_sample import BoxSample, collate_boxes
from dotally.data.box_transforms import RandomView, crop, frame, mirror, resize


def picture(size: tuple[int, int], box: tuple[int, int, int, int]) -> BoxSample:
    """A black picture in which exactly the pixels of the box are white."""
    image = torch.zeros(3, *size, dtype=torch.uint8)
    image[:, box[1] : box[3] + 1, box[0] : box[2] + 1] = 255
    return BoxSample(name="one", image=image, label=2, boxes=torch.tensor([box]).float())


def white(sample: BoxSample) -> list[int]:
    rows, columns = (sample.image[0] > 127).nonzero().T
    return [int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())]


@pytest.mark.parametrize(
    ("size", "resized", "offset"),
    [
        ((375, 500), (224, 298), (0, 37)),
        ((500, 375), (298, 224), (37, 0)),
        ((100, 101), (224, 226), (0, 1)),
        ((224, 225), (224, 225), (0, 0)),  # round(0.5) is 0
        ((224, 227), (224, 227), (0, 2)),  # and round(1.5) is 2, as the release's Python rounds
        ((3, 200), (224, 14933), (0, 7354)),
    ],
)
def test_crop_follows_the_release(size: tuple[int, int], resized: tuple[int, int], offset: tuple[int, int]) -> None:
    generator = Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8)
    corners = torch.tensor([[0, 0, size[1], size[0]], [size[1] / 2, size[0] / 2, size[1] / 2 + 1, size[0] / 2 + 1]])
    framed = frame(BoxSample(name="one", image=image, label=0, boxes=corners), "crop", 224)
    expected = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(resized[::-1], Image.Resampling.BILINEAR)
    top, left = offset
    expected = expected.crop((left, top, left + 224, top + 224))
    assert framed.image.permute(1, 2, 0).numpy().tobytes() == expected.tobytes()
    down, right = resized[0] / size[0], resized[1] / size[1]
    moved = corners * torch.tensor([right, down, right, down]) - torch.tensor([left, top, left, top])
    assert_close(framed.boxes, moved.clamp(0, 224))


def test_boxes_beside_the_crop_lose_their_extent_and_stay() -> None:
    framed = frame(picture((100, 400), (0, 20, 30, 60)), "crop", 100)
    assert framed.boxes.tolist() == [[0, 20, 0, 60]]


def test_warp_and_keep() -> None:
    sample = picture((40, 80), (20, 10, 39, 19))
    warped = frame(sample, "warp", 160)
    assert warped.size == (160, 160)
    assert warped.boxes.tolist() == [[40, 40, 78, 76]]
    assert frame(sample, "keep", 160) is sample
    with pytest.raises(ValueError, match="crop, warp, keep"):
        frame(sample, "fit", 160)


def test_a_flipped_box_is_still_on_its_object() -> None:
    sample = picture((20, 31), (3, 5, 10, 9))
    assert white(mirror(sample)) == mirror(sample).boxes[0].tolist() == [20, 5, 27, 9]
    assert mirror(mirror(sample)).boxes.tolist() == sample.boxes.tolist()


def test_a_cropped_box_is_still_on_its_object() -> None:
    cut = crop(picture((20, 31), (3, 5, 10, 9)), top=4, left=2, size=(10, 12))
    assert white(cut) == cut.boxes[0].tolist() == [1, 1, 8, 5]


def test_a_scaled_box_is_still_on_its_object() -> None:
    scaled = resize(picture((40, 40), (8, 12, 23, 31)), (80, 80))
    assert (torch.tensor(white(scaled)) - scaled.boxes[0]).abs().max() <= 1


def test_random_views_keep_the_size_and_hold_their_share_of_the_picture() -> None:
    sample = picture((48, 64), (20, 16, 43, 31))
    view = RandomView(area=(0.4, 0.9), flip=0.5)
    for seed in range(20):
        seen = view(sample, Generator().manual_seed(seed))
        assert seen.size == sample.size
        assert torch.equal(seen.image, view(sample, Generator().manual_seed(seed)).image)
        assert (torch.tensor(white(seen)) - seen.boxes[0]).abs().max() <= 2
        assert seen.boxes[0, 2] - seen.boxes[0, 0] >= 23 * 0.9**-0.5 - 1 or seen.boxes[0].min() == 0


def test_the_whole_view_without_a_flip_is_the_picture() -> None:
    sample = picture((8, 8), (1, 1, 3, 3))
    assert RandomView(flip=0.0)(sample, Generator()) is sample


@pytest.mark.parametrize("options", [{"area": (0, 1)}, {"area": (0.9, 0.5)}, {"area": (0.5, 2)}, {"flip": 2}])
def test_impossible_views_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=r"area must|flip is"):
        RandomView(**options)


def test_a_batch_lays_boxes_in_a_row() -> None:
    one, two = picture((8, 8), (1, 1, 3, 3)), picture((8, 8), (2, 2, 4, 4))
    batch = collate_boxes([one, two])
    assert batch["image"].shape == (2, 3, 8, 8)
    assert batch["boxes"].tolist() == [[1, 1, 3, 3], [2, 2, 4, 4]]
    assert batch["count"].tolist() == [1, 1]
    assert batch["label"].tolist() == [2, 2]
    with pytest.raises(ValueError, match=r"one size, got \(8, 8\) and \(9, 8\)"):
        collate_boxes([one, picture((9, 8), (1, 1, 3, 3))])
