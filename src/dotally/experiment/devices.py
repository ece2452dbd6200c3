"""One run on several devices: its process starts the script again for each other one, to help it train."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pytorch_lightning import Trainer
from torch import distributed
from torch.nn.modules.batchnorm import _BatchNorm

from dotally.errors import DotallyError
from dotally.experiment.spec import Data, Task
from dotally.predict.terminal import say

_LEADER = "DOTALLY_LEADER"  # holds the ID of the process that claimed the run and writes its files
# what Lightning sets in a process that starts others
_LIGHTNING = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
GRACE = 30.0  # seconds for the leader to note a failure of its own, before Lightning kills it for a helper's


def is_helper() -> bool:
    """Tell whether this process was started by a run of ours, to train one of its devices."""
    return os.environ.get(_LEADER) == str(os.getppid())


@contextmanager
def several(number: int) -> Iterator[None]:
    """Train on so many devices within; afterwards this process is alone, as if it had always been.

    Raises:
        DotallyError: Another launcher has started several processes already.
    """
    if number == 1:
        yield
        return
    if not is_helper():
        if "LOCAL_RANK" in os.environ:
            raise DotallyError(
                "--devices starts its own processes: run the script without torchrun or mpirun (LOCAL_RANK is set); "
                "under torchrun use `dotally fit`"
            )
        os.environ[_LEADER] = str(os.getpid())
    try:
        yield
        # a metric would wait for the others in the test that follows, which is read here alone
        if distributed.is_initialized():
            distributed.destroy_process_group()
    finally:
        if not is_helper():
            for name in (_LEADER, *_LIGHTNING):
                os.environ.pop(name, None)


def share(task: Task, data: Data, trainer: Trainer) -> None:
    """Give each device its part of every batch, so that the steps are those of one device.

    Raises:
        DotallyError: The steps would be others.
    """
    number = trainer.world_size
    if number == 1:
        return
    if data.batch_size % number:
        raise DotallyError(
            f"--devices {number} cannot share batches of {data.batch_size}, which belong to the table: choose a number "
            f"that divides them, or train with other batches by `dotally fit --trainer.devices {number}`"
        )
    normalizing = any(isinstance(module, _BatchNorm) for module in task.modules())
    if normalizing and trainer.strategy.root_device.type == "cpu":
        raise DotallyError(
            f"--devices {number} on the CPU would normalize each process's part of a batch by itself: use --devices 1, "
            f"or accept other results with `dotally fit --trainer.devices {number}`"
        )
    data.batch_size //= number


@contextmanager
def helping() -> Iterator[None]:
    """End with the leader, whatever it dies of; leave a failure time to reach the leader by itself."""
    leader = os.getppid()

    def follow() -> None:
        while os.getppid() == leader:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    try:
        yield
    except Exception as error:
        say(f"device {os.environ['LOCAL_RANK']}: {type(error).__name__}: {error}", stderr=True)
        if distributed.is_initialized() and distributed.get_backend() == "gloo":
            os._exit(0)  # the lost connection fails the leader, which Lightning would kill for any other code
        time.sleep(GRACE)
        os._exit(1)  # at once: nothing here is worth waiting for the others
