"""Whatever a program holds a picture in -> 8-bit RGB."""

import io
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dotally.data.pictures import Picture, open_picture
from dotally.data.sample import CrowdSample
from dotally.data.transforms import resize
from dotally.errors import PictureError

PictureLike = str | Path | bytes | Image.Image | np.ndarray | Tensor

_ORIENTATION = 0x0112
# what each format keeps without loss; whatever is left becomes RGB
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_TIFF_MODES = ("I", "F", "CMYK", "YCbCr", "LAB")


def to_picture(source: PictureLike, *, max_megapixels: float = 200) -> Picture:
    """Bring a picture of any kind to 8-bit RGB, upright.

    Args:
        source: Path, bytes of a picture file, PIL image, uint8 array ``[H, W, 3]`` (RGB) or ``[H, W]`` (grey), or
            uint8 tensor ``[3, H, W]`` (RGB).
        max_megapixels: Larger files, bytes and PIL images are refused.

    Raises:
        PictureError: As :func:`dotally.data.pictures.open_picture`.
        ValueError: An array or tensor of another shape or dtype.
        TypeError: None of these kinds.
    """
    match source:
        case str() | Path():
            return open_picture(Path(source), max_megapixels=max_megapixels)
        case bytes():
            return _open_bytes(source, max_megapixels)
        case Image.Image():
            # through bytes: one place decides what becomes of orientation, depth, transparency and colour spaces
            return _open_bytes(_encoded(source), max_megapixels)
        case np.ndarray():
            return _from_array(source)
        case Tensor():
            return _from_tensor(source)
    raise TypeError(f"a picture is a path, bytes, a PIL image, an array or a tensor, not a {type(source).__name__}")


def shrink(image: np.ndarray, longest_side: int | None) -> np.ndarray:
    """Shrink a picture ``[H, W, 3]`` uint8 to a longest side in pixels, as data sets do, unless it is smaller."""
    height, width = image.shape[:2]
    if longest_side is None or max(height, width) <= longest_side:
        return image
    factor = longest_side / max(height, width)
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    sample = CrowdSample(name="", image=pixels, points=torch.zeros(0, 2), sigma=torch.zeros(0), adaptive=False)
    shrunk = resize(sample, (max(1, round(height * factor)), max(1, round(width * factor)))).image
    return np.ascontiguousarray(shrunk.permute(1, 2, 0).numpy())


def _open_bytes(content: bytes, max_megapixels: float) -> Picture:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture")
        path.write_bytes(content)
        try:
            return open_picture(path, max_megapixels=max_megapixels)
        except PictureError as error:
            raise PictureError(str(error).replace(str(path), "the picture in memory")) from error


def _encoded(image: Image.Image) -> bytes:
    """Write an image, and which way is up, losslessly in the format that keeps its mode."""
    try:
        image.load()  # first: a TIFF is turned upright by this, and then no longer says that it was not
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception as error:  # a damaged file leaves Pillow's decoders by a dozen different doors
        raise PictureError(f"the PIL image: damaged or truncated ({error})") from error
    if image.mode not in _PNG_MODES + _TIFF_MODES:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "TIFF" if image.mode in _TIFF_MODES else "PNG", exif=exif, compress_level=1)
    return buffer.getvalue()


def _from_array(array: np.ndarray) -> Picture:
    grey = array.ndim == 2
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] == 3)) or array.size == 0:
        raise ValueError(f"an array must be uint8 [H, W, 3] or [H, W], got {array.dtype} {list(array.shape)}")
    return Picture(image=np.repeat(array[..., None], 3, axis=2) if grey else np.array(array, order="C"))


def _from_tensor(tensor: Tensor) -> Picture:
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ValueError(f"a tensor must be uint8 [3, H, W], got {tensor.dtype} {list(tensor.shape)}")
    return _from_array(tensor.permute(1, 2, 0).cpu().numpy())
