"""Random state in the checkpoint: what makes a resumed run equal the uninterrupted one."""

import random
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback
from typing_extensions import override


class RandomState(Callback):
    """Save the generators of PyTorch, NumPy and Python with every checkpoint and restore them on resume.

    The data modules draw from seeds of their own; this serves networks that draw, such as those with dropout.
    """

    @override
    def state_dict(self) -> dict[str, Any]:
        _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {
            "torch": torch.get_rng_state(),
            "cuda": cuda,
            # as tensors and plain values, which weights_only=True can read back
            "numpy": (torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached),
            "python": random.getstate(),
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        torch.set_rng_state(state_dict["torch"])
        if torch.cuda.is_available() and len(state_dict["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state_dict["cuda"])
        keys, position, has_gauss, cached = state_dict["numpy"]
        np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))
        version, internal, gauss = state_dict["python"]
        random.setstate((version, tuple(internal), gauss))
