"""Opening pictures of every kind as 8-bit RGB, or saying clearly why they cannot be opened."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dotally.errors import DataError, PictureError

# rasters only: others run programs (EPS starts Ghostscript) or have no first bytes to know them by
_FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "BMP", "DIB", "GIF", "WEBP", "PPM", "JPEG2000", "AVIF")
_ORIENTATION = 0x0112
_DEPTHS = (8, 10, 12, 14, 16)
_guard = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as networks take it.

    Attributes:
        image: ``[H, W, 3]`` uint8, RGB, contiguous.
        flags: What was done to it: "rotated" (turned as its EXIF orientation asks), "rescaled" (had more
            than 8 bits, or floating-point values), "transparent" (laid on white), "N pages" (this is one).
    """

    image: np.ndarray
    flags: tuple[str, ...] = ()


def open_picture(path: Path, *, max_megapixels: float = 200) -> Picture:
    """Open a picture as 8-bit RGB, upright.

    Grey pictures of more than 8 bits are scaled by the smallest sensor depth (8, 10, 12, 14 or 16 bits) that
    holds their brightest pixel; floating-point and other integers are stretched from minimum to maximum.

    Args:
        path: The file; its content, not its suffix, decides the format.
        max_megapixels: Larger pictures are refused before anything is decoded.

    Raises:
        PictureError: No such file, empty, no picture, truncated, too large, without pixels, or not finite.
    """
    with _readable(path), _opened(path) as image:
        _check_size(path, image.size, max_megapixels)
        # read before the pixels are, because Pillow turns TIFF files by itself and then forgets about it
        flags = ["rotated"] if _orientation(image) > 1 else []
        with _unguarded() if _is_large(image.size) else nullcontext():
            image.load()
        pixels, more = _to_rgb(path, ImageOps.exif_transpose(image) if flags else image)
        flags += more
        pages = getattr(image, "n_frames", 1)
    return Picture(image=pixels, flags=(*flags, *([f"{pages} pages"] if pages > 1 else [])))


def picture_size(path: Path, *, max_megapixels: float = 200) -> tuple[int, int]:
    """Return (height, width) of a picture as :func:`open_picture` gives it, without decoding it unless it is turned.

    Args:
        path: The file.
        max_megapixels: Larger pictures are refused if they are turned.

    Raises:
        PictureError: No such file, empty, or no picture.
    """
    with _readable(path), _opened(path) as image:
        (width, height), turned = image.size, _orientation(image) >= 5
    if turned:  # whether the size is that before or after turning depends on the format and on Pillow's version
        height, width = open_picture(path, max_megapixels=max_megapixels).image.shape[:2]
    return height, width


def picture_files(source: Path) -> list[Path]:
    """List the pictures in a folder and below it in natural order, or the one file that was named.

    Hidden files and folders and ``__MACOSX`` are left out.

    Raises:
        DataError: There is no such file or folder, or no picture in it.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(f"{source}: no such file or folder")
    suffixes = {suffix for suffix, name in Image.registered_extensions().items() if name in _FORMATS}
    files = [
        path
        for path in source.rglob("*")
        if path.suffix.lower() in suffixes and not _is_hidden(path.relative_to(source)) and path.is_file()
    ]
    if not files:
        raise DataError(f"{source}: no pictures here or below ({', '.join(sorted(suffixes))})")
    return sorted(files, key=natural_key)


def natural_key(path: Path | str) -> tuple[list[str | int], str]:
    """Return a sort key that puts IMG_2 before IMG_10."""
    text = path.as_posix() if isinstance(path, Path) else path
    # text and numbers alternate, so that the same position always compares like with like
    parts: list[str | int] = list(re.split(r"(\d+)", text.casefold()))
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts, text


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn everything that goes wrong into one error that names the file."""
    try:
        yield
    except PictureError:
        raise
    except Exception as error:  # a damaged file leaves Pillow's decoders by a dozen different doors
        raise PictureError(f"{path}: {_reason(path, error)}") from error


@contextmanager
def _unguarded() -> Iterator[None]:
    """Lift Pillow's own size limit, which is lower than ours and known only as a global."""
    with _guard:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _opened(path: Path) -> Image.Image:
    Image.init()
    # Pillow is asked only for formats that this build of it knows
    formats = [name for name in _FORMATS if name in Image.OPEN]
    with _unguarded():
        return Image.open(path, formats=formats)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation: 1 is upright, 5 to 8 exchange width and height."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken metadata is no reason to refuse the picture
        return 1
    return value if value in range(1, 9) else 1


def _is_large(size: tuple[int, int]) -> bool:
    return Image.MAX_IMAGE_PIXELS is not None and size[0] * size[1] > Image.MAX_IMAGE_PIXELS


def _check_size(path: Path, size: tuple[int, int], max_megapixels: float) -> None:
    width, height = size
    if width * height == 0:
        raise PictureError(f"{path}: a picture of {width} x {height} holds no pixels")
    if width * height > max_megapixels * 1e6:
        raise PictureError(
            f"{path}: {width} x {height} pixels are {width * height / 1e6:.3g} megapixels, more than the "
            f"limit of {max_megapixels:g}; shrink or cut the picture, or raise the limit (max_megapixels)"
        )


def _to_rgb(path: Path, image: Image.Image) -> tuple[np.ndarray, list[str]]:
    if image.mode == "F" or image.mode.startswith("I"):
        grey, rescaled = _to_8_bits(path, np.asarray(image))
        return np.repeat(grey[..., None], 3, axis=2), ["rescaled"] if rescaled else []
    if not image.has_transparency_data:
        return np.array(image.convert("RGB")), []
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    flags = ["transparent"] if np.asarray(layer.getchannel("A")).min() < 255 else []
    return np.array(Image.alpha_composite(white, layer).convert("RGB")), flags


def _to_8_bits(path: Path, values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Bring ``[H, W]`` numbers of any type to uint8; also return whether that changed their scale."""
    if not np.isfinite(values).all():
        raise PictureError(f"{path}: holds values that are not finite (NaN or infinity)")
    low, high = float(values.min()), float(values.max())
    ceilings = [2**depth - 1 for depth in _DEPTHS if high < 2**depth]
    if values.dtype.kind == "f" or low < 0 or not ceilings:
        scale = 255 / (high - low) if high > low else 0.0
        return np.rint((values - low) * scale).astype(np.uint8), True
    return np.rint(values * (255 / ceilings[0])).astype(np.uint8), ceilings[0] > 255


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _reason(path: Path, error: Exception) -> str:
    if not path.exists():
        return "no such file"
    if path.is_dir():
        return "a folder, not a picture"
    if path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, PermissionError):
        return "may not be read (permission denied)"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a format that can be read"
    return f"damaged or truncated ({error or type(error).__name__})"
