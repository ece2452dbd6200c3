"""JHU-CROWD++ (Sindagi et al., "JHU-CROWD++: Large-Scale Crowd Counting Dataset and A Benchmark Method", 2020)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from typing_extensions import override

from dotally.data.crowd import Split
from dotally.data.crowd_dataset import Record, Sigma
from dotally.data.jhu_crowd_files import JHU_CROWD
from dotally.data.published_module import PublishedDataModule
from dotally.data.resizing import Fit, at_least, both_sides, long_side
from dotally.data.sampling import carve


class JHUCrowd(PublishedDataModule):
    """JHU-CROWD++ as batches, in its own split.

    Args:
        split: "official" validates on the authors' validation pictures; "seed" carves a part out of train instead,
            and leaves theirs out.
        sigma: Width of a head.
        resize: How large pictures are: "fidtm" (FIDTM: longer side at most 2048, shorter at least 512), "pet"
            (longer side at most 2048), "iim" (at least 1024 x 768, multiples of 16). See ``dotally.data.resizing``.
        options: See :class:`PublishedDataModule`.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = JHU_CROWD
    validation_lists = True
    fits: ClassVar[Mapping[str, Fit]] = {
        "fidtm": partial(both_sides, least=512, most=2048),
        "pet": partial(long_side, most=2048),
        "iim": partial(at_least, least=(768, 1024), grow=False),
    }

    def __init__(
        self,
        *,
        split: Literal["seed", "official"] = "official",
        sigma: Sigma = "adaptive",
        resize: Literal["fidtm", "pet", "iim"] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(split=split, sigma=sigma, resize=resize, **options)

    @override
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        if split == "test" or self.split == "official":
            return self.published.records(roots, split)
        return carve(self.published.records(roots, "train"), self.val_fraction, self.split_seed)[split == "val"]
