"""Noticing a loss that is no number without making the host wait for the device."""

from collections.abc import Callable

import torch
from torch import Tensor

from dotally.errors import TrainingError

EVERY = 20  # steps between two losses that a GPU sends back


class LossWatch:
    """Stop a training that has broken down.

    On the CPU every loss is looked at. A GPU sends that of every 20th step back while it goes on, and it is looked at
    once it has arrived: a loss that has broken down stays so.
    """

    def __init__(self) -> None:
        self._sent: tuple[Tensor, torch.cuda.Event, Callable[[str], str]] | None = None

    def see(self, loss: Tensor, step: int, explain: Callable[[str], str]) -> None:
        """Look at a loss, or at an earlier one.

        Args:
            loss: Scalar.
            step: Its number within the epoch.
            explain: Makes the error's text of the loss in words.

        Raises:
            TrainingError: It is infinite or NaN.
        """
        if not loss.is_cuda:
            _check(loss, explain)
        elif step % EVERY == 0:
            self.read()
            self._send(loss, explain)

    def read(self, *, wait: bool = False) -> None:
        """Look at the loss that was sent, if it has arrived or is waited for; TrainingError as in :meth:`see`."""
        if self._sent is None:
            return
        loss, arrival, explain = self._sent
        if wait:
            arrival.synchronize()
        if arrival.query():  # type: ignore[no-untyped-call]
            self._sent = None
            _check(loss, explain)

    def _send(self, loss: Tensor, explain: Callable[[str], str]) -> None:
        if self._sent is None:
            arriving = loss.detach().to("cpu", non_blocking=True)  # into pinned memory, which PyTorch provides
            arrival = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrival.record()
            self._sent = arriving, arrival, explain


def _check(loss: Tensor, explain: Callable[[str], str]) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(explain(str(loss.item())))
