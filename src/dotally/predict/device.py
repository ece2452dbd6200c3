"""Where a network computes, and what it says when memory does not suffice there."""

import torch

from dotally.errors import DotallyError


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; "auto" is the GPU where there is one.

    Raises:
        DotallyError: A GPU was asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise DotallyError(
            f"--device {name}: PyTorch finds no GPU here; `dotally doctor` says more, --device cpu works"
        )
    return torch.device(name)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Say whether an error of PyTorch means that memory, of the GPU or of the machine, did not suffice."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
