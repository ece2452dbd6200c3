"""NWPU-Crowd (Wang et al., "NWPU-Crowd: A Large-Scale Benchmark for Crowd Counting and Localization", TPAMI 2020)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from typing_extensions import override

from dotally.data.crowd import Split
from dotally.data.crowd_dataset import Record, Sigma
from dotally.data.nwpu_crowd_files import NWPU_CROWD
from dotally.data.published_module import PublishedDataModule
from dotally.data.resizing import Fit, clamped, fill_square_at_least, long_side
from dotally.data.sampling import carve


class NWPUCrowd(PublishedDataModule):
    """NWPU-Crowd as batches. Its test labels are on a server, so papers measure on what its authors call val.

    We do so too: "test" is the authors' 500 val pictures, and "val" a part carved out of their train, so that no
    checkpoint is chosen on what it is measured on.

    Args:
        sigma: Width of a head.
        resize: How large pictures are: "nwpu" (sample code: filling 2048 x 2048, at least 768 x 576, multiples of
            16), "dm-count" (sides 384 to 1920, multiples of 16), "pet" (longer side at most 2048). See
            ``dotally.data.resizing``.
        options: See :class:`PublishedDataModule`.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = NWPU_CROWD
    fits: ClassVar[Mapping[str, Fit]] = {
        "nwpu": partial(fill_square_at_least, side=2048, least=(576, 768)),
        "dm-count": partial(clamped, least=384, most=1920),
        "pet": partial(long_side, most=2048),
    }

    def __init__(
        self,
        *,
        sigma: Sigma = "adaptive",
        resize: Literal["nwpu", "dm-count", "pet"] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(sigma=sigma, resize=resize, **options)

    @override
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        if split == "test":
            return self.published.records(roots, "val")
        return carve(self.published.records(roots, "train"), self.val_fraction, self.split_seed)[split == "val"]
