"""Pictures in; counts or boxes, and overlays out: what one does with a trained network."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotally.predict.counter import Counted, Counter
    from dotally.predict.folder import predict
    from dotally.predict.localize_folder import localize
    from dotally.predict.localizer import Localized, Localizer
    from dotally.predict.weights_file import save_weights

__all__ = ["Counted", "Counter", "Localized", "Localizer", "localize", "predict", "save_weights"]

# name -> its module; imported when asked for, so that the command line can show its help at once
_LAZY = {
    "Counted": "dotally.predict.counter",
    "Counter": "dotally.predict.counter",
    "Localized": "dotally.predict.localizer",
    "Localizer": "dotally.predict.localizer",
    "localize": "dotally.predict.localize_folder",
    "predict": "dotally.predict.folder",
    "save_weights": "dotally.predict.weights_file",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
