"""TRANCOS (Guerrero-Gomez-Olmedo et al., "Extremely Overlapping Vehicle Counting", IbPRIA 2015): traffic cameras."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from typing_extensions import override

from dotally.data.crowd import Split
from dotally.data.crowd_dataset import Record, Sigma
from dotally.data.published_module import PublishedDataModule
from dotally.data.sampling import carve
from dotally.data.trancos_files import TRANCOS_SET


class TRANCOS(PublishedDataModule):
    """TRANCOS as batches; only vehicles on the road count, and pictures and maps are masked with it.

    Args:
        split: "official" validates on the authors' validation pictures; "seed" carves a part out of these and the
            training pictures together.
        sigma: CSRNet's is 10 (CVPR 2018, table 2).
        options: See :class:`PublishedDataModule`; there is no rule for the size.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = TRANCOS_SET
    validation_lists = True

    def __init__(self, *, split: Literal["seed", "official"] = "official", sigma: Sigma = 10.0, **options: Any) -> None:
        super().__init__(split=split, sigma=sigma, **options)

    @override
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        if split == "test" or self.split == "official":
            return self.published.records(roots, split)
        return carve(self.published.records(roots, "train", "val"), self.val_fraction, self.split_seed)[split == "val"]
