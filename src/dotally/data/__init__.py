"""Data sets: what is on disk -> batches. One data set, one file."""

from typing import TYPE_CHECKING

from dotally.data.box_sample import BoxBatch, BoxSample
from dotally.data.sample import CrowdBatch, CrowdSample
from dotally.lazy import passing_on

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

# Lightning takes seconds to import
__getattr__ = passing_on(
    __name__,
    {
        "box_folder": "BoxFolder",
        "carpk": "CARPK",
        "crowd": "CrowdDataModule",
        "cub": "CUBLocalization",
        "imagenet": "ImageNetLocalization",
        "jhu_crowd": "JHUCrowd",
        "localization": "LocalizationDataModule",
        "mall": "Mall",
        "mtc": "MTC",
        "nwpu_crowd": "NWPUCrowd",
        "packed": "Packed",
        "point_folder": "PointFolder",
        "shanghaitech": "ShanghaiTech",
        "synthetic_crowd": "SyntheticCrowd",
        "synthetic_shapes": "SyntheticShapes",
        "tiny_imagenet": "TinyImageNetLocalization",
        "trancos": "TRANCOS",
        "ucf_cc_50": "UCFCC50",
        "ucf_qnrf": "UCFQNRF",
        "ucsd": "UCSDPedestrian",
        "voc": "VOCLocalization",
        "world_expo": "WorldExpo10",
    },
)
