"""UCF-QNRF (Idrees et al., "Composition Loss for Counting, Density Map Estimation and Localization", ECCV 2018)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from typing_extensions import override

from dotally.data.crowd import Split
from dotally.data.crowd_dataset import Record, Sigma
from dotally.data.published_module import PublishedDataModule
from dotally.data.resizing import Fit, at_least, both_sides, fill_square, long_side, short_side
from dotally.data.sampling import carve
from dotally.data.ucf_qnrf_files import UCF_QNRF, validation_names


class UCFQNRF(PublishedDataModule):
    """UCF-QNRF as batches.

    With ``split="seed"`` validation is a random tenth of train; with ``split="official"`` it is the 120 pictures of
    Bayesian loss and DM-Count, which leave 1081.

    Args:
        sigma: Width of a head; the authors publish none.
        resize: How large pictures are: "bl" (Bayesian loss, DM-Count: shorter side 512 to 2048), "c3" (C^3 Framework:
            filling 1024 x 1024, multiples of 16), "fidtm" (FIDTM, CLTR: longer side at most 2048, shorter at least
            512; FIDTM's script has 1024 for the test pictures), "pet" (longer side at most 1536), "iim" (at least
            1024 x 768, multiples of 16). See ``dotally.data.resizing``.
        options: See :class:`PublishedDataModule`.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = UCF_QNRF
    validation_lists = True
    fits: ClassVar[Mapping[str, Fit]] = {
        "bl": partial(short_side, least=512, most=2048),
        "c3": partial(fill_square, side=1024),
        "fidtm": partial(both_sides, least=512, most=2048),
        "pet": partial(long_side, most=1536),
        "iim": partial(at_least, least=(768, 1024), grow=True),
    }

    def __init__(
        self,
        *,
        sigma: Sigma = "adaptive",
        resize: Literal["bl", "c3", "fidtm", "pet", "iim"] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(sigma=sigma, resize=resize, **options)

    @override
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        if split == "test":
            return self.published.records(roots, "test")
        train = self.published.records(roots, "train")
        if self.split == "official":
            held_out = validation_names()
            return [record for record in train if (record.name in held_out) == (split == "val")]
        return carve(train, self.val_fraction, self.split_seed)[split == "val"]
