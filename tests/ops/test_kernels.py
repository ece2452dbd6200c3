"""The door to the Triton kernels."""

import sys
from types import ModuleType

import pytest

from dotally.ops.kernels import kernel_module


def test_a_foreign_package_of_the_same_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton_kernels", ModuleType("triton_kernels"))
    with pytest.raises(ImportError, match="another project"):
        kernel_module("density")


def test_our_own_package_opens() -> None:
    assert hasattr(kernel_module("density"), "render_density")
