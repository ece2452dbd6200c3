"""Mall (Chen et al., "Feature Mining for Localised Crowd Counting", BMVC 2012): 2000 frames of one camera."""

from dotally.data.mall_files import MALL
from dotally.data.published_module import FilmDataModule


class Mall(FilmDataModule):
    """Mall as batches: frames 1 to 800 train, 801 to 2000 test; validation is one stretch of the train frames.

    Args:
        options: See :class:`PublishedDataModule`; there is no rule for the size.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = MALL
