"""What the data modules of published crowd data sets have in common: named sizes, and regions that count."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from dotally.data.collate import PaddedBatch
from dotally.data.crowd import CrowdDataModule, Split
from dotally.data.crowd_dataset import CrowdDataset, Record, Sigma
from dotally.data.published import PublishedDataset, PublishedSet, visible_cells
from dotally.data.resizing import Fit
from dotally.data.roots import data_roots
from dotally.data.sample import CrowdBatch
from dotally.data.sampling import Item, derive_seed
from dotally.data.transforms import Augmentation


class PublishedDataModule(CrowdDataModule):
    """Base of the published data sets. A subclass names its set and implements :meth:`records`.

    Attributes:
        published: The data set.
        fits: Its named sizes.
        validation_lists: Whether there are published validation pictures beside those to test on.

    Args:
        sigma: See :class:`CrowdDataset`; a fixed width is in pixels of the resized picture.
        resize: Name of the rule for the size of the pictures; None keeps it.
        draft: Whether large JPEG pictures that are scaled down are decoded at a fraction of their size; see
            :class:`PublishedDataset`. ``dotally predict`` does not, and says so of such weights.
        options: See :class:`CrowdDataModule`.

    Raises:
        ValueError: If ``resize`` is unknown or meets another rule for the size, ``split`` asks for lists that do not
            exist, or an option is out of range.
    """

    published: ClassVar[PublishedSet]
    fits: ClassVar[Mapping[str, Fit]] = {}
    validation_lists: ClassVar[bool] = False

    def __init__(
        self, *, sigma: Sigma = "adaptive", resize: str | None = None, draft: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        if resize is not None and resize not in self.fits:
            raise ValueError(f"resize must be None or one of {', '.join(self.fits)}, got {resize!r}")
        if resize is not None and (self.target == "official" or self.reading["longest_side"] is not None):
            raise ValueError("resize excludes longest_side and target='official', which decide on the size themselves")
        if self.split == "official" and not self.validation_lists:
            raise ValueError(
                f"{self.published.name} has no published validation pictures beside those we test on: use split='seed'"
            )
        self.sigma, self.resize, self.draft = sigma, resize, draft

    @abstractmethod
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        """Return the pictures of one split; "val" is never part of "test"."""

    @override
    def dataset(self, split: Split, augmentation: Augmentation | None = None) -> CrowdDataset:
        return PublishedDataset(
            self.records(data_roots(self.data_root), split),
            self.published,
            sigma=self.sigma,
            fit=None if self.resize is None else self.fits[self.resize],
            draft=self.draft,
            augmentation=augmentation,
            **self.reading,
        )

    @override
    def on_after_batch_transfer(self, batch: PaddedBatch, dataloader_idx: int) -> CrowdBatch:
        ready = super().on_after_batch_transfer(batch, dataloader_idx)
        if self.published.region is not None:
            height, width = ready["mask"].shape[-2:]
            ready["mask"] = ready["mask"] * visible_cells(ready["image"], self.stride)[..., :height, :width]
        return ready


class FilmDataModule(PublishedDataModule):
    """Base of the published sets in which neighbours look alike: validation is one stretch of train."""

    @override
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        if split == "test":
            return self.published.records(roots, "test")
        return carve_block(self.published.records(roots, "train"), self.val_fraction, self.split_seed)[split == "val"]


def carve_block(items: Sequence[Item], fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Split the frames of a film into (train, val): val is one stretch, because neighbours look alike.

    Args:
        items: In the order of the film, at least two.
        fraction: Part of them that validates, within 0 and 1; at least one item, at most all but one.
        seed: Decides where the stretch begins.
    """
    count = min(max(1, round(len(items) * fraction)), len(items) - 1)
    start = derive_seed(seed, "carve block") % (len(items) - count + 1)
    return [*items[:start], *items[start + count :]], list(items[start : start + count])
