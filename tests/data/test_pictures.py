import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from dotally.data.pictures import natural_key, open_picture, picture_files, picture_size
from dotally.errors import DataError, PictureError

GREY = np.array([[0, 85], [170, 255]], dtype=np.uint8)


def rgb(height: int = 20, width: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(folder: Path, name: str, image: Image.Image, **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def png_header(width: int, height: int) -> bytes:
    """A PNG of any size that ends after its header: nothing of it can be decoded."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"")
    parts = [struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in (chunk, pixels)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm"])
def test_an_rgb_picture_comes_back_as_it_is(suffix: str, tmp_path: Path) -> None:
    picture = open_picture(saved(tmp_path, f"a.{suffix}", Image.fromarray(rgb())))
    assert np.array_equal(picture.image, rgb())
    assert picture.flags == ()
    assert picture.image.flags.writeable
    assert picture.image.flags.c_contiguous


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_orientation_turns_the_picture_upright(suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    left_is_dark = np.zeros((20, 40, 3), dtype=np.uint8)
    left_is_dark[:, 20:] = 255
    picture = open_picture(saved(tmp_path, f"a.{suffix}", Image.fromarray(left_is_dark), exif=exif))
    # orientation 6 is shown turned clockwise, which takes the left edge to the top
    assert picture.image.shape == (40, 20, 3)
    assert picture_size(tmp_path / f"a.{suffix}") == (40, 20)
    assert picture.image[:15].max() < 50 < 200 < picture.image[25:].min()
    assert picture.flags == ("rotated",)


def test_the_size_is_known_without_decoding(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_header(40000, 30000))
    assert picture_size(tmp_path / "a.png") == (30000, 40000)
    (tmp_path / "b.png").touch()
    with pytest.raises(PictureError, match=r"b\.png: the file is empty"):
        picture_size(tmp_path / "b.png")


def test_a_turned_picture_is_decoded_for_its_size_up_to_the_limit_only(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, "a.png", Image.new("L", (2000, 1000)), exif=exif)
    assert picture_size(path, max_megapixels=2) == (2000, 1000)
    with pytest.raises(PictureError, match=r"a\.png: 2000 x 1000 pixels are 2 megapixels, more than the limit of 1.9"):
        picture_size(path, max_megapixels=1.9)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.jpg", Image.fromarray(rgb()), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert open_picture(path).image.shape == (20, 40, 3)


@pytest.mark.parametrize("depth", [10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_deep_grey_is_scaled_and_not_clipped(suffix: str, depth: int, tmp_path: Path) -> None:
    values = np.rint(GREY / 255 * (2**depth - 1)).astype(np.uint16)
    picture = open_picture(saved(tmp_path, f"a.{suffix}", Image.fromarray(values)))
    assert np.array_equal(picture.image, np.repeat(GREY[..., None], 3, axis=2))
    assert picture.flags == ("rescaled",)


def test_eight_bits_in_a_deep_file_stay_as_they_are(tmp_path: Path) -> None:
    picture = open_picture(saved(tmp_path, "a.png", Image.fromarray(GREY.astype(np.uint16))))
    assert np.array_equal(picture.image[..., 0], GREY)
    assert picture.flags == ()


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_floats_and_negative_numbers_are_stretched(dtype: type, tmp_path: Path) -> None:
    values = (GREY.astype(dtype) - 100) * 3
    picture = open_picture(saved(tmp_path, "a.tif", Image.fromarray(values)))
    assert np.array_equal(picture.image[..., 1], GREY)
    assert picture.flags == ("rescaled",)


def test_a_constant_float_picture_is_black(tmp_path: Path) -> None:
    picture = open_picture(saved(tmp_path, "a.tif", Image.fromarray(np.full((2, 3), 0.5, dtype=np.float32))))
    assert not picture.image.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floats_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    path = saved(tmp_path, "a.tif", Image.fromarray(np.array([[0, value]], dtype=np.float32)))
    with pytest.raises(PictureError, match="not finite"):
        open_picture(path)


def transparent_red(mode: str) -> Image.Image:
    red = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    if mode == "P":
        palette = Image.new("P", (4, 4), 0)
        palette.putpalette([255, 0, 0])
        palette.info["transparency"] = 0
        return palette
    return red.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(mode: str, tmp_path: Path) -> None:
    picture = open_picture(saved(tmp_path, "a.png", transparent_red(mode)))
    assert (picture.image == 255).all()
    assert picture.flags == ("transparent",)


def test_half_transparency_mixes_with_white(tmp_path: Path) -> None:
    picture = open_picture(saved(tmp_path, "a.png", Image.new("RGBA", (2, 2), (255, 0, 0, 128))))
    assert picture.image[0, 0] == pytest.approx([255, 127, 127], abs=1)


def test_an_opaque_alpha_channel_is_nothing_to_report(tmp_path: Path) -> None:
    picture = open_picture(saved(tmp_path, "a.png", Image.fromarray(rgb()).convert("RGBA")))
    assert np.array_equal(picture.image, rgb())
    assert picture.flags == ()


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LAB", "YCbCr"])
def test_other_colour_spaces_become_rgb(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(np.repeat(np.array([[0, 255], [255, 0]], np.uint8)[..., None], 3, axis=2))
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        stored = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    else:
        stored = image.convert(mode)
    assert stored is not None
    picture = open_picture(saved(tmp_path, "a.tif", stored))
    assert picture.image == pytest.approx(np.asarray(image).astype(float), abs=1)
    assert picture.flags == ()


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_only_the_first_page_is_read_and_the_others_are_counted(suffix: str, tmp_path: Path) -> None:
    pages = [Image.new("L", (8, 6), value).convert("RGB") for value in (0, 120, 255)]
    path = saved(tmp_path, f"a.{suffix}", pages[0], save_all=True, append_images=pages[1:])
    picture = open_picture(path)
    assert picture.image.shape == (6, 8, 3)
    assert picture.image.max() < 5
    assert picture.flags == ("3 pages",)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp", "gif", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    path = saved(tmp_path, f"a.{suffix}", Image.fromarray(rgb(64, 64)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(PictureError, match=r"a\.\w+: (damaged or truncated|not a picture)"):
        open_picture(path)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "the file is empty"), (b"GIMME", "not a picture"), (b"%!PS-Adobe-3.0 EPSF", "not a")]
)
def test_what_is_no_picture_says_so(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(PictureError, match=reason):
        open_picture(tmp_path / "a.jpg")


def test_paths_that_are_no_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"b\.jpg: no such file"):
        open_picture(tmp_path / "b.jpg")
    with pytest.raises(PictureError, match="a folder, not a picture"):
        open_picture(tmp_path)


@pytest.mark.parametrize("megapixels", [1, 100, 180, 400, 4e6])
def test_too_large_pictures_are_refused_from_their_header_alone(megapixels: float, tmp_path: Path) -> None:
    side = int((megapixels * 1e6) ** 0.5)
    (tmp_path / "a.png").write_bytes(png_header(side, side))
    guard = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PictureError, match=rf"{side} x {side} pixels .* the limit of 0.5"):
            open_picture(tmp_path / "a.png", max_megapixels=0.5)
    assert guard == Image.MAX_IMAGE_PIXELS


def test_a_picture_between_pillows_limit_and_ours_opens_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, "a.tif", Image.fromarray(rgb()))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(open_picture(path).image, rgb())
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_pictures_without_pixels_are_refused(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_header(*size))
    with pytest.raises(PictureError):
        open_picture(tmp_path / "a.png")


def test_files_come_in_natural_order_from_all_folders(tmp_path: Path) -> None:
    names = ["IMG_2.jpg", "IMG_10.JPG", "IMG_1.png", "sub/IMG_3.jpeg", "sub/deep/x.tiff"]
    others = ["notes.txt", ".IMG_4.jpg", "__MACOSX/IMG_5.jpg", "sub/._IMG_3.jpeg", "IMG_6.mat"]
    for name in names + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in picture_files(tmp_path)]
    assert found == ["IMG_1.png", "IMG_2.jpg", "IMG_10.JPG", "sub/deep/x.tiff", "sub/IMG_3.jpeg"]


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "frame.0001").touch()
    assert picture_files(tmp_path / "frame.0001") == [tmp_path / "frame.0001"]


def test_nothing_to_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures here or below"):
        picture_files(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        picture_files(tmp_path / "absent")


def test_natural_order_holds_for_numbers_at_any_place() -> None:
    names = ["10.jpg", "9.jpg", "a1b10", "a1b9", "a", "A2", "IMG_02.jpg", "IMG_2.jpg"]
    expected = ["9.jpg", "10.jpg", "a", "a1b9", "a1b10", "A2", "IMG_02.jpg", "IMG_2.jpg"]
    assert sorted(names, key=natural_key) == expected


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.png", Image.fromarray(rgb()))
    path.chmod(0)
    with pytest.raises(PictureError, match="permission denied"):
        open_picture(path)
