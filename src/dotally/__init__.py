"""dotally: dots in, tallies out. Crowd counting and weakly supervised localization in PyTorch Lightning."""

from dotally.version import __version__

__all__ = ["__version__"]
