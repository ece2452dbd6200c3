import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dotally.data.pictures import open_picture
from dotally.errors import PictureError
from dotally.predict.inputs import to_picture

RGB = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)


def pil(mode: str) -> Image.Image:
    image = Image.fromarray(RGB)
    if mode == "I;16":
        return Image.fromarray(RGB[..., 0].astype(np.uint16) * 257)
    if mode in ("I", "F"):
        return Image.fromarray(
            (RGB[..., 0].astype(np.int32) * 300 - 1000).astype(np.int32 if mode == "I" else np.float32)
        )
    if mode == "LAB":
        return Image.frombytes("LAB", (40, 20), RGB.tobytes())
    if mode in ("RGBA", "PA", "LA", "La", "RGBa"):
        image.putalpha(100)
        return image.convert("L").convert("PA") if mode == "PA" else image.convert(mode)
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "I", "F", "CMYK", "YCbCr", "LAB"])
def test_a_pil_image_is_what_its_file_would_be(mode: str, tmp_path: Path) -> None:
    pil(mode).save(tmp_path / ("a.png" if mode in ("LA", "RGBA") else "a.tif"))
    from_file, from_image = open_picture(tmp_path / next(tmp_path.iterdir()).name), to_picture(pil(mode))
    assert np.array_equal(from_file.image, from_image.image)
    assert from_file.flags == from_image.flags


@pytest.mark.parametrize("mode", ["HSV", "PA", "RGBX", "RGBa"])
def test_pil_modes_that_no_file_has_become_rgb(mode: str) -> None:
    assert to_picture(pil(mode)).image.shape == (20, 40, 3)


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
@pytest.mark.parametrize("loaded", [True, False])
def test_a_pil_image_is_turned_upright_once(suffix: str, loaded: bool, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        if loaded:
            image.load()
        turned = to_picture(image).image
    assert np.array_equal(turned, open_picture(tmp_path / f"a.{suffix}").image)


def test_a_truncated_pil_image_is_an_error() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.resize(RGB, (200, 200, 3))).save(buffer, "JPEG")
    with (
        Image.open(io.BytesIO(buffer.getvalue()[:5000])) as image,
        pytest.raises(PictureError, match="PIL image: damaged"),
    ):
        to_picture(image)


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"GIMME", "not a picture")])
def test_bytes_that_are_no_picture_say_so_and_name_no_file(content: bytes, reason: str) -> None:
    with pytest.raises(PictureError, match=f"^the picture in memory: .*{reason}"):
        to_picture(content)


def test_arrays_and_tensors_come_back_as_they_are() -> None:
    assert np.array_equal(to_picture(RGB).image, RGB)
    assert np.array_equal(to_picture(RGB[::2, ::-3]).image, RGB[::2, ::-3])
    assert np.array_equal(to_picture(torch.from_numpy(RGB).permute(2, 0, 1)).image, RGB)
    grey = to_picture(RGB[..., 0]).image
    assert grey.shape == (20, 40, 3)
    assert np.array_equal(grey[..., 2], RGB[..., 0])


def test_an_array_is_not_shared_with_the_caller() -> None:
    array = RGB.copy()
    image = to_picture(array).image
    array[:] = 0
    assert np.array_equal(image, RGB)


@pytest.mark.parametrize(
    "wrong",
    [
        RGB.astype(np.float32),
        RGB[..., :2],
        RGB.transpose(2, 0, 1),
        RGB[:0],
        np.zeros(3, dtype=np.uint8),
        torch.zeros(3, 8, 8),
        torch.zeros(1, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
    ],
)
def test_other_arrays_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        to_picture(wrong)  # type: ignore[arg-type]


def test_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="not a list"):
        to_picture([[0]])  # type: ignore[arg-type]
