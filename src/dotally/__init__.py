"""dotally: dots in, tallies out. Crowd counting and weakly supervised localization in PyTorch Lightning."""

from typing import TYPE_CHECKING, Any

from dotally.version import __version__

if TYPE_CHECKING:
    from dotally.predict.counter import Counter
    from dotally.predict.localizer import Localizer

__all__ = ["Counter", "Localizer", "__version__"]


def __getattr__(name: str) -> Any:
    # imported when asked for, because PyTorch and Lightning take seconds to import
    if name not in ("Counter", "Localizer"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dotally import predict

    return getattr(predict, name)
