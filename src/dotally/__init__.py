"""dotally: dots in, tallies out. Crowd counting and weakly supervised localization in PyTorch Lightning."""

from typing import TYPE_CHECKING

from dotally.lazy import passing_on
from dotally.version import __version__

if TYPE_CHECKING:
    from dotally.predict.counter import Counter
    from dotally.predict.localizer import Localizer

__all__ = ["Counter", "Localizer", "__version__"]

# PyTorch takes a second to import
__getattr__ = passing_on(__name__, {"predict.counter": "Counter", "predict.localizer": "Localizer"})
