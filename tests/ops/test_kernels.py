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


def test_a_missing_triton_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "triton_kernels.density", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ImportError, match="need Triton: pip install triton"):
        kernel_module("density")
