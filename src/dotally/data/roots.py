"""Where the data sets are: the folders the user named, and nothing else."""

import os
from pathlib import Path

from dotally.errors import DataError

VARIABLE = "DOTALLY_DATA_ROOT"


def data_roots(data_root: str | Path | None = None) -> list[Path]:
    """Return the folders to look for data sets in, in the order they were named.

    Args:
        data_root: One folder, or several as the environment variable has them; None reads DOTALLY_DATA_ROOT,
            in which several folders are separated by ``os.pathsep`` (``:``, on Windows ``;``).

    Returns:
        Those that exist, at least one.

    Raises:
        DataError: Nothing was named, or nothing that was named is a folder.
    """
    named = os.environ.get(VARIABLE, "") if data_root is None else str(data_root)
    folders = [Path(name).expanduser() for name in named.split(os.pathsep) if name.strip()]
    if not folders:
        raise DataError(
            f"no folder with data sets was named: pass --data-root FOLDER or set {VARIABLE}; "
            "`dotally data list` says where each set comes from"
        )
    roots = [folder for folder in folders if folder.is_dir()]
    if not roots:
        source = VARIABLE if data_root is None else "--data-root"
        raise DataError(
            f"{source} names no folder that exists; looked at: {', '.join(map(str, folders))}. "
            "Create it or correct the path"
        )
    return roots
