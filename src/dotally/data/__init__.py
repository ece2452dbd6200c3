"""Data sets: what is on disk -> batches. One data set, one file."""

from typing import TYPE_CHECKING, Any

from dotally.data.box_sample import BoxBatch, BoxSample
from dotally.data.sample import CrowdBatch, CrowdSample

if TYPE_CHECKING:
    from dotally.data.box_folder import BoxFolder
    from dotally.data.crowd import CrowdDataModule
    from dotally.data.cub import CUBLocalization
    from dotally.data.imagenet import ImageNetLocalization
    from dotally.data.localization import LocalizationDataModule
    from dotally.data.shanghaitech import ShanghaiTech
    from dotally.data.synthetic_crowd import SyntheticCrowd
    from dotally.data.synthetic_shapes import SyntheticShapes
    from dotally.data.tiny_imagenet import TinyImageNetLocalization
    from dotally.data.voc import VOCLocalization

__all__ = [
    "BoxBatch",
    "BoxFolder",
    "BoxSample",
    "CUBLocalization",
    "CrowdBatch",
    "CrowdDataModule",
    "CrowdSample",
    "ImageNetLocalization",
    "LocalizationDataModule",
    "ShanghaiTech",
    "SyntheticCrowd",
    "SyntheticShapes",
    "TinyImageNetLocalization",
    "VOCLocalization",
]

# name -> its module; imported when asked for, because Lightning takes seconds to import
_LAZY = {
    "BoxFolder": "dotally.data.box_folder",
    "CUBLocalization": "dotally.data.cub",
    "CrowdDataModule": "dotally.data.crowd",
    "ImageNetLocalization": "dotally.data.imagenet",
    "LocalizationDataModule": "dotally.data.localization",
    "ShanghaiTech": "dotally.data.shanghaitech",
    "SyntheticCrowd": "dotally.data.synthetic_crowd",
    "SyntheticShapes": "dotally.data.synthetic_shapes",
    "TinyImageNetLocalization": "dotally.data.tiny_imagenet",
    "VOCLocalization": "dotally.data.voc",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
