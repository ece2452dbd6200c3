"""Mall (Chen et al., "Feature Mining for Localised Crowd Counting", BMVC 2012): 2000 frames of one camera."""

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from dotally.data.crowd import Split
from dotally.data.crowd_dataset import Record
from dotally.data.mall_files import MALL
from dotally.data.published_module import PublishedDataModule, carve_block


class Mall(PublishedDataModule):
    """Mall as batches: frames 1 to 800 train, 801 to 2000 test; validation is one stretch of the train frames.

    Args:
        options: See :class:`PublishedDataModule`; there is no rule for the size.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = MALL

    @override
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        if split == "test":
            return self.published.records(roots, "test")
        return carve_block(self.published.records(roots, "train"), self.val_fraction, self.split_seed)[split == "val"]
