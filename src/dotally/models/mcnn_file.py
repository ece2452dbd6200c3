"""The HDF5 files in which crowdcount-mcnn published MCNN's weights."""

from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from dotally.errors import WeightsError

# crowdcount-mcnn counts a convolution and its ReLU as one layer, MCNN as two
_NAMES = {
    f"DME.{column}.{published}.conv.{kind}": f"{column}.{ours}.{kind}"
    for column in ("branch1", "branch2", "branch3", "fuse")
    for published, ours in ((0, 0), (2, 3), (4, 6), (5, 8))
    if column != "fuse" or published == 0
    for kind in ("weight", "bias")
}


def is_hdf5(path: Path) -> bool:
    """Return whether a file is HDF5; False where it cannot be read."""
    return bool(h5py.is_hdf5(path))


def read_mcnn_h5(path: Path) -> dict[str, Tensor]:
    """Read the weights, named as :class:`dotally.models.MCNN` names them.

    Raises:
        WeightsError: The file is damaged, or holds something else.
    """
    try:
        with h5py.File(path, "r") as file:
            arrays = {name: np.asarray(item, np.float32) for name, item in file.items() if name in _NAMES}
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError and more, by what is damaged
        raise WeightsError(f"{path}: damaged HDF5 file ({type(error).__name__}); fetch it again") from error
    missing = _NAMES.keys() - arrays.keys()
    if missing:
        raise WeightsError(
            f"{path}: not the MCNN weights of crowdcount-mcnn, the only HDF5 weights known here: "
            f"{len(missing)} of {len(_NAMES)} arrays are missing, {min(missing)} among them"
        )
    return {_NAMES[name]: torch.from_numpy(array) for name, array in arrays.items()}
