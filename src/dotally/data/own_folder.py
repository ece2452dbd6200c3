"""Where a folder of one's own pictures lies: where it was named, or below a data root, to which it was added."""

from pathlib import Path

from dotally.data.roots import data_roots
from dotally.errors import DataError


def located(folder: str | Path, data_root: str | Path | None = None) -> Path:
    """Return a folder, which ``~`` may begin; a relative one that is not there may be below a data root.

    Args:
        folder: As it was named.
        data_root: See :func:`dotally.data.roots.data_roots`.
    """
    folder = Path(folder).expanduser()
    if folder.is_absolute() or folder.exists():
        return folder
    try:
        roots = data_roots(data_root)
    except DataError:  # none is needed where the folder is named in full
        return folder
    return next((root / folder for root in roots if (root / folder).is_dir()), folder)
