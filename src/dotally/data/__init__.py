"""Data sets: what is on disk -> batches. One data set, one file."""

from typing import TYPE_CHECKING, Any

from dotally.data.sample import CrowdBatch, CrowdSample

if TYPE_CHECKING:
    from dotally.data.crowd import CrowdDataModule
    from dotally.data.shanghaitech import ShanghaiTech
    from dotally.data.synthetic_crowd import SyntheticCrowd

__all__ = ["CrowdBatch", "CrowdDataModule", "CrowdSample", "ShanghaiTech", "SyntheticCrowd"]

# name -> its module; imported when asked for, because Lightning takes seconds to import
_LAZY = {
    "CrowdDataModule": "dotally.data.crowd",
    "ShanghaiTech": "dotally.data.shanghaitech",
    "SyntheticCrowd": "dotally.data.synthetic_crowd",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
