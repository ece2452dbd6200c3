"""``dotally fit``, ``validate`` and ``test``: Lightning's command line over our task and data modules."""

import logging
import warnings
from importlib.util import find_spec

from dotally.errors import DotallyError
from dotally.training.flags import SUBCOMMANDS, read_flags

# what Lightning warns of and is meant to be so here
_EXPECTED = (
    r"Checkpoint directory .* exists and is not empty",  # a resume
    r"Be aware that when using `ckpt_path`, callbacks",  # measuring needs none of those of the training
    r"The dirpath has changed from",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"The number of training batches .* is smaller than the logging interval",  # we log epochs, not steps
)


def run(subcommand: str, arguments: list[str]) -> int:
    """Train, validate or test as the command line says.

    Args:
        subcommand: "fit", "validate" or "test".
        arguments: What was typed after it.

    Returns:
        0 done, 1 interrupted, 2 wrong use that a parser has explained.

    Raises:
        DotallyError: What the user can act on; ``exit_code`` 1 where training broke down, else 2.
        ValueError: ``subcommand`` is none of the three.
    """
    if subcommand not in SUBCOMMANDS:
        raise ValueError(f"subcommand must be one of {', '.join(SUBCOMMANDS)}, got {subcommand!r}")
    try:
        flags = read_flags(subcommand, arguments)
        _check_installed()
        # devices that are absent and advertisements are no news; what Lightning warns of still is
        logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
        from dotally.training.session import fit, measure

        with warnings.catch_warnings():
            for message in _EXPECTED:
                warnings.filterwarnings("ignore", message)
            return fit(flags) if subcommand == "fit" else measure(flags)
    except SystemExit as left:  # a parser after its help or its complaint
        return left.code if isinstance(left.code, int) else int(left.code is not None)


def _check_installed() -> None:
    for package in ("jsonargparse", "docstring_parser", "typeshed_client"):
        if find_spec(package) is None:
            raise DotallyError(f"dotally fit needs {package}: pip install 'jsonargparse[signatures]'")
