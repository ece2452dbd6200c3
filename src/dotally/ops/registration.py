"""Registering operators with ``torch.library``, without what ``torch.library.custom_op`` costs at the first call.

A ``custom_op`` imports PyTorch's compiler when it is first called, SymPy included: more CPU time than importing PyTorch
itself, for programs that never compile anything.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Operator:
    """An operator that returns new tensors: for eager calls, ``torch.compile`` and ``torch.export``.

    Used as a decorator of its implementation on the CPU, whose annotations are the schema::

        @Operator.define("dotally::double")
        def double(x: Tensor) -> Tensor:
            return 2 * x

    Implementations must not return what they were given, nor views of it (``torch.library.opcheck`` finds out).

    Args:
        name: With its namespace.
        function: The implementation.
        device_type: Whose it is; "default" for all devices.
    """

    def __init__(self, name: str, function: Callable[..., Any], *, device_type: str) -> None:
        schema = torch.library.infer_schema(function, mutates_args=())
        # the tags of a custom_op: it has a fake, and compiled code hands it the strides that eager code would
        tags = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides)
        torch.library.define(name, schema, tags=tags)
        torch.library.impl(name, device_type)(function)
        namespace, _, own = name.partition("::")
        self.name, self.__doc__ = name, function.__doc__
        self.default: torch._ops.OpOverload[..., Any] = getattr(getattr(torch.ops, namespace), own).default

    @classmethod
    def define(cls, name: str, *, device_type: str = "cpu") -> Callable[[Callable[..., Any]], "Operator"]:
        """Return a decorator that registers an implementation as the operator ``name``."""
        return lambda function: cls(name, function, device_type=device_type)

    def __call__(self, *args: Any) -> Any:
        """Call the operator through PyTorch's dispatcher."""
        return self.default(*args)

    def register_kernel(self, device_type: str) -> Callable[[_Function], _Function]:
        """Return a decorator that registers the implementation for another device."""

        def register(function: _Function) -> _Function:
            torch.library.impl(self.name, device_type)(function)
            return function

        return register

    def register_fake(self, function: _Function) -> _Function:
        """Register what gives results their shapes and strides without computing them."""
        torch.library.register_fake(self.name)(function)
        return function

    def register_autograd(self, backward: Callable[..., Any], *, setup_context: Callable[..., Any]) -> None:
        """Register the gradient, as ``torch.library.register_autograd`` takes it."""
        torch.library.register_autograd(self.name, backward, setup_context=setup_context)
