"""What a network costs at a size: operations, traffic and memory, from one pass over shapes alone."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from typing_extensions import override

from dotally.nn import GaussianConv2d
from dotally.nn.cost import Counted, Positions, counting, flops_per_position, shadow


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one batch costs, run operation by operation as PyTorch does without a compiler.

    Operations are those of convolutions and linear layers, as in ``torch.utils.flop_counter``; poolings, norms and
    activations are a percent of them. What one operation needs while it runs, such as the planes of a Gaussian layer or
    a library's working space, is neither in the traffic nor in the memory. An optimizer's state comes on top: AdamW
    keeps 8 bytes a parameter.

    Attributes:
        parameters: Trained and fixed ones.
        flops: Of the forward pass; a multiplication and an addition are 2.
        training_flops: Of forward and backward pass; the gradient for a picture is not computed.
        moved: Bytes that the operations of a forward pass read and write.
        training_moved: Of forward and backward pass.
        memory: Largest number of bytes alive at once in a forward pass: weights, pictures and activations.
        training_memory: In a training step; gradients too.
        saved: Bytes that the forward pass keeps for the backward pass, beside weights and pictures.
        receptive_field: Side of the square of pixels an output cell depends on; None where it is not finite or the
            network does not say.
        stride: Pixels per output cell; None of a classifier.
    """

    parameters: int
    flops: int
    training_flops: int
    moved: int
    training_moved: int
    memory: int
    training_memory: int
    saved: int
    receptive_field: int | None
    stride: int | None


def network_cost(model: nn.Module, size: Sequence[int], *, batch: int = 1) -> Cost:
    """Compute what a batch of pictures costs a network; allocates neither weights nor maps.

    Args:
        model: Any network of one input and one output, on any device; it is not changed. ``with torch.device("meta")``
            around ``build_model`` saves the drawing of weights.
        size: (height, width) of the pictures in pixels; they have the channels and the dtype of the first layer.
        batch: Pictures.

    Raises:
        ValueError: If the network has no convolution, or does not take pictures of this size.
    """
    twin = _by_planes(shadow(model))
    first = next((x for x in twin.modules() if isinstance(x, Counted) and not isinstance(x, nn.Linear)), None)
    if first is None:
        raise ValueError(f"{type(model).__name__} has no convolution: nothing to count")
    pictures = torch.empty(batch, first.in_channels, *size, device="meta", dtype=first.weight.dtype)
    forward, found = _observed(twin.eval(), pictures, _evaluate)
    training, trained = _observed(twin.train(), pictures, _train)
    here = [*twin.parameters(), *twin.buffers(), pictures]
    resident = sum(tensor.nbytes for tensor in here)
    return Cost(
        parameters=sum(parameter.numel() for parameter in twin.parameters()),
        flops=_flops(twin, found),
        training_flops=_flops(twin, trained),
        moved=forward.moved,
        training_moved=training.moved,
        memory=resident + forward.peak,
        training_memory=resident + training.peak,
        saved=training.saved,
        receptive_field=getattr(model, "receptive_field", None),
        stride=getattr(model, "stride", None),
    )


def _by_planes(model: nn.Module) -> nn.Module:
    """Let Gaussian layers run as they do on large maps: by planes, which are not kept for the backward pass."""
    for layer in model.modules():
        if isinstance(layer, GaussianConv2d) and layer.execution == "auto" and layer.setting.sharing != "pair":
            layer.execution = "separable" if layer.setting.shift == "exact" else "bank"
    return model


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Add up the bytes that operations read and write, and those of tensors that are alive at once.

    Args:
        resident: Tensors that are there before and after, and not counted as alive.
    """

    def __init__(self, resident: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moved = self.alive = self.peak = self.saved = 0
        self._known = {_storage(tensor) for tensor in resident}

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        read, written = _tensors((args, kwargs)), _tensors(result)
        places = {_storage(tensor) for tensor in read}
        # a view moves nothing
        if func._schema.is_mutable or any(_storage(tensor) not in places for tensor in written):
            self.moved += sum(tensor.nbytes for tensor in (*read, *written))
        for tensor in written:
            self._note(tensor)
        return result

    def _note(self, tensor: Tensor) -> None:
        storage, place = tensor.untyped_storage(), _storage(tensor)
        if place in self._known:
            return
        self._known.add(place)
        self.alive += storage.nbytes()
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._forget, place, storage.nbytes())

    def _forget(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.alive -= size


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _observed(
    model: nn.Module, pictures: Tensor, run: Callable[[nn.Module, Tensor, _Ledger], None]
) -> tuple[_Ledger, Mapping[str, Positions]]:
    ledger = _Ledger([*model.parameters(), *model.buffers(), pictures])
    with counting(model) as found, ledger:
        try:
            run(model, pictures, ledger)
        except RuntimeError as error:
            raise ValueError(f"{type(model).__name__} takes no pictures of {list(pictures.shape)}: {error}") from error
    return ledger, found


def _evaluate(model: nn.Module, pictures: Tensor, ledger: _Ledger) -> None:
    with torch.no_grad():
        model(pictures)


def _train(model: nn.Module, pictures: Tensor, ledger: _Ledger) -> None:
    with torch.enable_grad():
        # in place of a loss; GoogLeNet with its auxiliary classifiers has three
        total: Any = reduce(add, (scores.sum() for scores in _tensors(model(pictures))))
    ledger.saved = ledger.alive - total.nbytes
    total.backward()


def _flops(model: nn.Module, found: Mapping[str, Positions]) -> int:
    each = {name: flops_per_position(layer) for name, layer in model.named_modules() if isinstance(layer, Counted)}
    return sum((times.forward + times.backward) * each[name] for name, times in found.items())
