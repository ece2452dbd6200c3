"""The one door to ``triton_kernels``: opened late, because only a GPU needs it, and only to our own package."""

import importlib
from types import ModuleType


def kernel_module(name: str) -> ModuleType:
    """Import ``triton_kernels.<name>``.

    Raises:
        ImportError: If Triton is missing, or another project's package of the same name shadows ours.
    """
    package = importlib.import_module("triton_kernels")
    if getattr(package, "OWNER", None) != "dotally":
        raise ImportError(
            f"'triton_kernels' comes from another project ({getattr(package, '__file__', None)}): "
            "install dotally into an environment of its own"
        )
    try:
        return importlib.import_module(f"triton_kernels.{name}")
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        raise ImportError("tensors on a GPU need Triton: pip install triton, or compute on the CPU") from error
