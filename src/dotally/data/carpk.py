"""CARPK (Hsieh et al., "Drone-based Object Counting by Spatially Regularized Regional Proposals", ICCV 2017)."""

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from dotally.data.carpk_files import CARPK_SET
from dotally.data.crowd import Split
from dotally.data.crowd_dataset import Record
from dotally.data.published_module import PublishedDataModule, carve_block


class CARPK(PublishedDataModule):
    """CARPK as batches: cars on car parks from above, counted by the middles of their boxes.

    Validation is one stretch of the train list, because neighbours in it overlap.

    Args:
        options: See :class:`PublishedDataModule`; there is no rule for the size, pictures are 720 x 1280.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = CARPK_SET

    @override
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        if split == "test":
            return self.published.records(roots, "test")
        return carve_block(self.published.records(roots, "train"), self.val_fraction, self.split_seed)[split == "val"]
