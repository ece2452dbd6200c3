"""CARPK (Hsieh et al., "Drone-based Object Counting by Spatially Regularized Regional Proposals", ICCV 2017)."""

from dotally.data.carpk_files import CARPK_SET
from dotally.data.published_module import FilmDataModule


class CARPK(FilmDataModule):
    """CARPK as batches: cars on car parks from above, counted by the middles of their boxes.

    Validation is one stretch of the train list, because neighbours in it overlap.

    Args:
        options: See :class:`PublishedDataModule`; there is no rule for the size, pictures are 720 x 1280.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = CARPK_SET
