"""MTC, Maize Tassels Counting (Lu et al., "TasselNet", Plant Methods 2017)."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from dotally.data.crowd_dataset import Sigma
from dotally.data.mtc_files import MTC_SET
from dotally.data.published_module import FilmDataModule
from dotally.data.resizing import Fit, shrunk


class MTC(FilmDataModule):
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
