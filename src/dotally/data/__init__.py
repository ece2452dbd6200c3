"""Data sets: what is on disk -> batches. One data set, one file."""

from typing import TYPE_CHECKING, Any

from dotally.data.box_sample import BoxBatch, BoxSample
from dotally.data.sample import CrowdBatch, CrowdSample

if TYPE_CHECKING:
    from dotally.data.box_folder import BoxFolder
    from dotally.data.carpk import CARPK
    from dotally.data.crowd import CrowdDataModule
    from dotally.data.cub import CUBLocalization
    from dotally.data.imagenet import ImageNetLocalization
    from dotally.data.jhu_crowd import JHUCrowd
    from dotally.data.localization import LocalizationDataModule
    from dotally.data.mall import Mall
    from dotally.data.mtc import MTC
    from dotally.data.nwpu_crowd import NWPUCrowd
    from dotally.data.packed import Packed
    from dotally.data.point_folder import PointFolder
    from dotally.data.shanghaitech import ShanghaiTech
    from dotally.data.synthetic_crowd import SyntheticCrowd
    from dotally.data.synthetic_shapes import SyntheticShapes
    from dotally.data.tiny_imagenet import TinyImageNetLocalization
    from dotally.data.trancos import TRANCOS
    from dotally.data.ucf_cc_50 import UCFCC50
    from dotally.data.ucf_qnrf import UCFQNRF
    from dotally.data.ucsd import UCSDPedestrian
    from dotally.data.voc import VOCLocalization
    from dotally.data.world_expo import WorldExpo10

__all__ = [
    "CARPK",
    "MTC",
    "TRANCOS",
    "UCFCC50",
    "UCFQNRF",
    "BoxBatch",
    "BoxFolder",
    "BoxSample",
    "CUBLocalization",
    "CrowdBatch",
    "CrowdDataModule",
    "CrowdSample",
    "ImageNetLocalization",
    "JHUCrowd",
    "LocalizationDataModule",
    "Mall",
    "NWPUCrowd",
    "Packed",
    "PointFolder",
    "ShanghaiTech",
    "SyntheticCrowd",
    "SyntheticShapes",
    "TinyImageNetLocalization",
    "UCSDPedestrian",
    "VOCLocalization",
    "WorldExpo10",
]

# name -> its module; imported when asked for, because Lightning takes seconds to import
_LAZY = {
    "BoxFolder": "dotally.data.box_folder",
    "CARPK": "dotally.data.carpk",
    "CUBLocalization": "dotally.data.cub",
    "CrowdDataModule": "dotally.data.crowd",
    "ImageNetLocalization": "dotally.data.imagenet",
    "JHUCrowd": "dotally.data.jhu_crowd",
    "LocalizationDataModule": "dotally.data.localization",
    "MTC": "dotally.data.mtc",
    "Mall": "dotally.data.mall",
    "NWPUCrowd": "dotally.data.nwpu_crowd",
    "Packed": "dotally.data.packed",
    "PointFolder": "dotally.data.point_folder",
    "ShanghaiTech": "dotally.data.shanghaitech",
    "SyntheticCrowd": "dotally.data.synthetic_crowd",
    "SyntheticShapes": "dotally.data.synthetic_shapes",
    "TRANCOS": "dotally.data.trancos",
    "TinyImageNetLocalization": "dotally.data.tiny_imagenet",
    "UCFCC50": "dotally.data.ucf_cc_50",
    "UCFQNRF": "dotally.data.ucf_qnrf",
    "UCSDPedestrian": "dotally.data.ucsd",
    "VOCLocalization": "dotally.data.voc",
    "WorldExpo10": "dotally.data.world_expo",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
