"""Pictures in; counts or boxes, and overlays out: what one does with a trained network."""

from typing import TYPE_CHECKING

from dotally.lazy import passing_on

if TYPE_CHECKING:
    from dotally.predict.counter import Counted, Counter
    from dotally.predict.folder import predict
    from dotally.predict.localize_folder import localize
    from dotally.predict.localizer import Localized, Localizer
    from dotally.predict.weights_file import save_weights

__all__ = ["Counted", "Counter", "Localized", "Localizer", "localize", "predict", "save_weights"]

# the command line shows its help at once
__getattr__ = passing_on(
    __name__,
    {
        "counter": "Counted Counter",
        "folder": "predict",
        "localize_folder": "localize",
        "localizer": "Localized Localizer",
        "weights_file": "save_weights",
    },
)
