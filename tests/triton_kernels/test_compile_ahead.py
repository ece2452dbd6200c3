"""Every kernel compiles for a GPU that is not there and stays within its budget: no spills, shared memory bounded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compile_ahead import excesses

ROOT = Path(__file__).parents[2]


def compile_ahead(*arguments: str) -> subprocess.CompletedProcess[str]:
    # a process of its own: the interpreter of the other tests replaces the compiler
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "benchmarks.compile_ahead", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_budget_bounds_both_ways_and_a_loop_that_was_not_found_exceeds_its_own() -> None:
    used = {"registers": 100.0, "fma": 8.0, "issue_ratio": 0.0}
    assert excesses(used, {"registers": 100, "min_fma": 8}) == []
    assert excesses(used, {"registers": 99, "min_fma": 9}) == ["registers 100.0 above 99", "fma 8.0 below 9"]
    assert excesses(used, {"issue_ratio": 1.0}) == ["issue_ratio not found"]


def test_kernels_stay_within_their_budgets_on_hopper() -> None:
    result = compile_ahead("--arch", "90", "--quick")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "density_stride8" in result.stdout


def test_gaussian_kernels_stay_within_their_budgets_on_ampere_and_blackwell() -> None:
    result = compile_ahead("--arch", "80", "100", "--quick", "--only", "gaussian")
    assert result.returncode == 0, result.stdout + result.stderr
    for architecture in ("sm_80", "sm_100"):
        for kernel in ("forward", "weight", "displacement", "blur", "prepare", "pack"):
            assert f"{architecture} gaussian_{kernel}" in result.stdout


def test_a_kernel_that_is_not_there_is_named() -> None:
    result = compile_ahead("--only", "gausian")
    assert result.returncode == 2
    assert "no kernel has a name that begins with 'gausian'" in result.stderr


@pytest.mark.slow
def test_kernels_stay_within_their_budgets_on_every_architecture() -> None:
    result = compile_ahead()
    assert result.returncode == 0, result.stdout + result.stderr
