"""MTC, Maize Tassels Counting (Lu et al., "TasselNet", Plant Methods 2017)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from dotally.data.crowd import Split
from dotally.data.crowd_dataset import Record, Sigma
from dotally.data.mtc_files import MTC_SET
from dotally.data.published_module import PublishedDataModule, carve_block
from dotally.data.resizing import Fit, shrunk


class MTC(PublishedDataModule):
    """Maize tassels in fields as batches, counted by the middles of their boxes.

    Validation is one stretch of the ``trainval`` pictures in the order of their names, which is that of camera and
    time: neighbours show the same plants.

    Args:
        sigma: TasselNetV2+ uses 10 at its size (80 pixels of the picture as it is).
        resize: "tasselnet" brings both sides to an eighth, as TasselNetV2+ does; None keeps the size.
        options: See :class:`PublishedDataModule`.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = MTC_SET
    fits: ClassVar[Mapping[str, Fit]] = {"tasselnet": partial(shrunk, factor=0.125)}

    def __init__(self, *, sigma: Sigma = 10.0, resize: str | None = "tasselnet", **options: Any) -> None:
        super().__init__(sigma=sigma, resize=resize, **options)

    @override
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        if split == "test":
            return self.published.records(roots, "test")
        return carve_block(self.published.records(roots, "train"), self.val_fraction, self.split_seed)[split == "val"]
