"""Batches on their way out of the processes that load them.

PyTorch hands every tensor over in shared memory of its own, and for each the receiver opens a connection to the worker.
That costs a millisecond, more than the heads of a batch are worth; where pictures are read and not decoded it is what
an epoch waits for.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_LARGE = 1 << 20  # bytes from which shared memory is cheaper than a copy through the pipe


class LightCollate:
    """Collate, and let all but the large tensors travel as plain bytes within the batch's one message.

    What arrives is what ``collate`` made. Only for workers: within one process nothing is sent, so nothing arrives.

    Args:
        collate: Makes a batch, a dictionary, of a list of samples.
    """

    def __init__(self, collate: Callable[[Any], Any]) -> None:
        self.collate = collate

    def __call__(self, samples: list[Any]) -> dict[str, Any]:
        """Return a batch to be sent."""
        return {name: _light(value) for name, value in self.collate(samples).items()}


def _light(value: object) -> object:
    return _Bytes(value) if isinstance(value, Tensor) and value.nbytes < _LARGE else value


class _Bytes:
    """A tensor that is itself again where it is unpickled."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Callable[..., Tensor], tuple[object]]:
        return torch.from_numpy, (self.tensor.numpy(),)
