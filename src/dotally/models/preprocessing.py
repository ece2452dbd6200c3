"""What a network's weights expect of a picture: this travels with the weights, not with the data set."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How bytes become the numbers a network was trained on: ``(byte / scale - mean) / std``.

    Attributes:
        grey: One channel, Pillow's ``convert("L")``, instead of RGB.
        scale: What the bytes are divided by first.
        mean: One per channel, subtracted after that; empty for none.
        std: One per channel, what it is divided by last; empty for none.
        multiple: Sides are resized down to a multiple of this, at least to itself.
    """

    grey: bool = False
    scale: float = 255.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    multiple: int = 1


PRESETS = {
    # PyTorch's published ImageNet weights
    "imagenet": Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "unit": Preprocessing(),
    # the published MCNN weights (crowdcount-mcnn): grey 0..255
    "mcnn": Preprocessing(grey=True, scale=1.0, multiple=4),
}


def preprocess(image: Tensor, size: Tensor, preset: Preprocessing) -> Tensor:
    """Turn a padded batch of pictures into a network's input, on the batch's device.

    Resizing is bilinear without antialiasing, as OpenCV's. It is done on the pictures without their padding, so
    the pictures of a batch that needs it must have one size; a preset with ``multiple`` 1 takes any mixture
    and does not wait for the device.

    Args:
        image: ``[B, 3, H, W]`` uint8, RGB, padded on the right and at the bottom.
        size: ``[B, 2]`` int64, (height, width) of each picture before padding.
        preset: What the weights expect, for instance ``PRESETS["imagenet"]``.

    Returns:
        ``[B, C, H', W']`` float32, C = 1 if ``preset.grey`` else 3; pixels of the padding are exactly 0.
        ``(H', W') == (H, W)``, unless pictures had to be resized: then it is their new size.

    Raises:
        ValueError: If the pictures need resizing and differ in size, or ``image`` is not ``[B, 3, H, W]`` uint8.
    """
    if image.dtype != torch.uint8 or image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"image must be uint8 [B, 3, H, W], got {image.dtype} {list(image.shape)}")
    x = (_grey(image) if preset.grey else image).float()
    if preset.multiple > 1:
        x, size = _resize_to_multiple(x, size, preset)
    x = x.div_(preset.scale)
    # channel by channel: a tensor of the means would have to be copied to the device, and that waits for it
    for channel, (mean, std) in enumerate(zip(preset.mean, preset.std, strict=True)):
        x[:, channel].sub_(mean).div_(std)
    return x.masked_fill_(~_inside(size, x.shape[-2], x.shape[-1]), 0.0)


def _grey(image: Tensor) -> Tensor:
    # Pillow's fixed-point ITU-R 601 luma; a float product would differ in the last bit of some pixels
    red, green, blue = image.int().unbind(dim=1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).unsqueeze(1)


def fitted_size(size: Tensor, preset: Preprocessing) -> Tensor:
    """Return ``[B, 2]`` (height, width) of the pictures as the network sees them."""
    return (size // preset.multiple * preset.multiple).clamp(min=preset.multiple)


def _resize_to_multiple(x: Tensor, size: Tensor, preset: Preprocessing) -> tuple[Tensor, Tensor]:
    target = fitted_size(size, preset)
    if torch.equal(target, size):
        return x, size
    if (size != size[0]).any():
        raise ValueError(
            f"these weights need sides that are multiples of {preset.multiple}, and resizing a batch needs pictures of "
            "one size: use a batch size of 1"
        )
    height, width = size[0].tolist()
    resized = F.interpolate(x[..., :height, :width], size=target[0].tolist(), mode="bilinear", antialias=False)
    return resized, target


def _inside(size: Tensor, height: int, width: int) -> Tensor:
    rows = torch.arange(height, device=size.device) < size[:, :1]  # [B, H]
    columns = torch.arange(width, device=size.device) < size[:, 1:]  # [B, W]
    return rows[:, None, :, None] & columns[:, None, None, :]
