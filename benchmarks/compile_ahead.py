"""Compile every kernel for GPUs that are not there, and hold its resources against a checked-in budget.

    python -m benchmarks.compile_ahead                       # all architectures
    python -m benchmarks.compile_ahead --arch 90             # one of 80 (A100), 90 (H100/H200), 100 (B200)

Each kernel is specialised as a real launch would specialise it. Exit code 1 where a budget is exceeded. Register
counts move between Triton versions, so budgets bound them loosely; a spill is never allowed. Must not run with
TRITON_INTERPRET=1, which replaces the compiler.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from triton_kernels import density

BUDGETS = Path(__file__).parent / "budgets.json"
ARCHITECTURES = (80, 90, 100)
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kernel at one set of compile-time constants, with the argument types of a real launch."""

    name: str
    kernel: Any
    types: dict[str, str]
    constants: dict[str, Any]
    options: dict[str, Any]


def cases() -> Iterator[Case]:
    """Yield every kernel in the forms the operators launch it in."""
    heads = {"radius": "*i32", "sigma": "*fp32"}
    for cut in (True, False):
        yield Case(
            name=f"density_mass_{'cut' if cut else 'whole'}",
            kernel=density._mass_kernel,
            types={"center": "*i32", **heads, "limit": "*i32", "mass": "*fp32", "N": "i32"},
            constants={"CUT": cut, "BLOCK_N": density.BLOCK_N, "BLOCK_K": density.BLOCK_K},
            options={},
        )
    for stride in (1, 4, 8):
        yield Case(
            name=f"density_stride{stride}",
            kernel=density._density_kernel,
            types={
                **{"row": "*i32", "column": "*i32", **heads, "weight": "*fp32", "start": "*i64"},
                **{"valid": "*i64", "out": "*fp32", "H": "i32", "W": "i32"},
            },
            constants={"STRIDE": stride, "TILE": density.TILE, "BLOCK_N": density.BLOCK_N},
            options={},
        )


def resources(case: Case, architecture: int) -> dict[str, int]:
    """Compile a case and read registers, spills and shared memory off the machine code."""
    names = case.kernel.arg_names
    aligned = {(names.index(n),): [["tt.divisibility", 16]] for n, t in case.types.items() if t[0] == "*"}
    source = ASTSource(
        fn=case.kernel,
        signature={name: case.types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in case.constants.items()},
        attrs=aligned,
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=case.options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage, sass = _run("cuobjdump", "--dump-resource-usage", file.name), _run("nvdisasm", "-c", file.name)
    match = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    if match is None:
        raise RuntimeError(f"cuobjdump reported no resources for {case.name}: {usage}")
    return {
        "registers": int(match[1]),
        "stack": int(match[2]),
        "spills": len(re.findall(r"\b(?:LDL|STL)\b", sass)),
        "shared": compiled.metadata.shared,
        "fma": len(re.findall(r"\bFFMA", sass)),
    }


def _run(tool: str, *arguments: str) -> str:
    return subprocess.run([TOOLS / tool, *arguments], capture_output=True, text=True, check=True).stdout


def excesses(used: dict[str, int], budget: dict[str, int]) -> list[str]:
    """Return one line per resource beyond its budget; ``min_*`` entries are lower bounds."""
    lines = []
    for key, bound in budget.items():
        if key.startswith("min_") and used[key[4:]] < bound:
            lines.append(f"{key[4:]} {used[key[4:]]} below {bound}")
        elif not key.startswith("min_") and used[key] > bound:
            lines.append(f"{key} {used[key]} above {bound}")
    return lines


def main() -> int:
    """Print one line per kernel and architecture; return 1 if any exceeds its budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arch", type=int, nargs="*", default=ARCHITECTURES, choices=ARCHITECTURES)
    budgets = json.loads(BUDGETS.read_text())
    failed = 0
    for architecture in parser.parse_args().arch:
        for case in cases():
            used = resources(case, architecture)
            over = excesses(used, budgets[case.name])
            failed += bool(over)
            print(f"sm_{architecture} {case.name:24} {used} {'; '.join(over) or 'ok'}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
