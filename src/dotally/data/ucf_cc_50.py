"""UCF_CC_50 (Idrees et al., "Multi-Source Multi-Scale Counting in Extremely Dense Crowd Images", CVPR 2013)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from typing_extensions import override

from dotally.data.crowd import Split
from dotally.data.crowd_dataset import Record, Sigma
from dotally.data.published_module import PublishedDataModule
from dotally.data.resizing import Fit, nearest_multiples
from dotally.data.sampling import carve
from dotally.data.ucf_cc_50_files import UCF_CC_50, Folds, fold_numbers


class UCFCC50(PublishedDataModule):
    """One of the five folds of UCF_CC_50 as batches: ten pictures to test, forty to train and validate.

    A result is the mean over the folds 1 to 5, and depends on how they are made, see ``fold_numbers``.

    Args:
        fold: 1 to 5.
        folds: "order" (pictures 1-10, 11-20, ...) or "seed" (drawn by ``fold_seed``).
        fold_seed: Draws the folds of "seed".
        sigma: Adaptive in CSRNet (CVPR 2018, table 2).
        resize: "c3" rounds the sides to multiples of 16.
        options: See :class:`PublishedDataModule`.

    Raises:
        ValueError: If there is no such fold, or an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = UCF_CC_50
    fits: ClassVar[Mapping[str, Fit]] = {"c3": nearest_multiples}

    def __init__(
        self,
        fold: int = 1,
        *,
        folds: Folds = "order",
        fold_seed: int = 0,
        sigma: Sigma = "adaptive",
        resize: Literal["c3"] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(sigma=sigma, resize=resize, **options)
        self.test_numbers = fold_numbers(fold, folds, fold_seed)

    @override
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        tested = {f"{number}.jpg" for number in self.test_numbers}
        everything = self.published.records(roots, "all")
        if split == "test":
            return [record for record in everything if record.name in tested]
        others = [record for record in everything if record.name not in tested]
        return carve(others, self.val_fraction, self.split_seed)[split == "val"]
