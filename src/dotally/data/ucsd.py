"""UCSD pedestrians (Chan et al., "Privacy Preserving Crowd Monitoring", CVPR 2008): 2000 grey frames of a walkway."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

from dotally.data.crowd_dataset import Sigma
from dotally.data.published_module import FilmDataModule
from dotally.data.resizing import Fit, exactly
from dotally.data.ucsd_files import UCSD, UPSCALED


class UCSDPedestrian(FilmDataModule):
    """UCSD pedestrians as batches: frames 601 to 1400 train, the others test; only people on the walkway count.

    Frames and dots are cut to the walkway before anything else is done, as in CSRNet (CVPR 2018).
    Validation is one stretch of the train frames.

    Args:
        sigma: CSRNet's is 3 (table 2), here in pixels of the resized frame.
        resize: "csrnet" enlarges the frames of 158 x 238 to 632 x 952.
        options: See :class:`PublishedDataModule`.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = UCSD
    fits: ClassVar[Mapping[str, Fit]] = {"csrnet": partial(exactly, target=UPSCALED)}

    def __init__(self, *, sigma: Sigma = 3.0, resize: Literal["csrnet"] | None = None, **options: Any) -> None:
        super().__init__(sigma=sigma, resize=resize, **options)
