"""Operators registered by our own decorator: eager calls load no compiler, and compiled code still takes them whole."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

import dotally.ops  # noqa: F401  (registers the operators)
from dotally.ops.registration import Operator

CALLS = {
    "topdown": "td_linear(torch.ones(1, 3), torch.ones(2, 3), torch.ones(1, 2))",
    "gaussian": "gaussian_conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 1, requires_grad=True), torch.zeros(1, 2), "
    "torch.tensor(0.5), max_offset=1, execution='separable').sum().backward()",
}


@pytest.mark.parametrize("name", CALLS)
def test_a_first_call_does_not_import_the_compiler(name: str) -> None:
    code = f"import sys, torch; from dotally.ops import *; {CALLS[name]}; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def twice() -> Operator:
    @Operator.define("dotally_test::twice")
    def twice(x: Tensor, times: list[int]) -> Tensor:
        return x * times[0]

    twice.register_fake(lambda x, times: torch.empty_like(x))
    return twice


def test_an_operator_is_checked_by_pytorch(twice: Operator) -> None:
    torch.library.opcheck(twice.default, (torch.ones(2, 3), [2]))
    assert twice(torch.ones(2), [2]).tolist() == [2, 2]


TOP_DOWN = "conv2d conv2d_selection linear linear_selection bridge max_pool2d avg_pool2d adaptive_avg_pool2d"


@pytest.mark.parametrize("name", ["render_density", *(f"td_{name}" for name in TOP_DOWN.split())])
def test_operators_have_an_implementation_on_cuda(name: str) -> None:
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"dotally::{name}", "CUDA")
