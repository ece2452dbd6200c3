"""Compile every kernel for GPUs that are not there, and hold its resources against a checked-in budget.

    python -m benchmarks.compile_ahead                       # all architectures
    python -m benchmarks.compile_ahead --arch 90             # one of 80 (A100), 90 (H100/H200), 100 (B200)
    python -m benchmarks.compile_ahead --quick               # one form of each kernel
    python -m benchmarks.compile_ahead --only gaussian       # kernels whose names begin so
    python -m benchmarks.compile_ahead --out kernels.json    # the resources as JSON too

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
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from benchmarks import gaussian_forms, topdown_forms
from triton_kernels import density, gaussian_blur, gaussian_conv, gaussian_grad

BUDGETS = Path(__file__).parent / "budgets.json"
ARCHITECTURES = (80, 90, 100)
# what a product must run on, and how many 16-bit floating point operations an SM's tensor cores do per clock
TENSOR_CORE = {80: r"\bHMMA\.", 90: r"\bHGMMA\.", 100: r"\bUTC\w*MMA\b"}
FLOP_PER_CLOCK = {80: 2048, 90: 4096, 100: 8192}
INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]{4,}\*/")
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kernel at one set of compile-time constants, with the argument types of a real launch.

    Attributes:
        divisible: Integer arguments that are multiples of 16 in a real launch, as Triton would find out.
        flop: Operations of one pass of the loop that holds a product; in TF32 each counts twice.
        quick: Whether this form stands for its kernel in the quick run.
    """

    name: str
    kernel: Any
    types: dict[str, str]
    constants: dict[str, Any]
    options: dict[str, Any]
    divisible: tuple[str, ...] = ()
    flop: int = 0
    quick: bool = True


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

    yield from gaussian_cases()
    yield from (Case(**form) for form in gaussian_forms.forms())
    yield from (Case(**form) for form in topdown_forms.forms())


def gaussian_cases() -> Iterator[Case]:
    """Yield the kernels of the bilinear Gaussian convolution at 512 channels, in the tiles their launchers choose."""
    forms = (
        ("bf16", torch.bfloat16, "ieee", (512, 128, 64), True),
        ("fp16", torch.float16, "ieee", (512,), False),
        ("tf32", torch.float32, "tf32", (512,), False),
        ("fp32", torch.float32, "ieee", (512,), False),
    )
    for label, dtype, precision, widths, quick in forms:
        for width in widths:
            for small in (False, True):
                tile = gaussian_conv.tile_of(512, width, dtype=dtype, precision=precision, small=small)
                name = f"gaussian_forward_{label}_{tile.y * tile.x}x{tile.outputs}x{tile.channels}"
                if label != "fp32" or not small:  # one tile serves both
                    yield _gaussian_forward(name, tile, dtype, precision, quick and width == 512 and not small)
        kind = label if label == "tf32" else "ieee" if label == "fp32" else "half"
        pointers = _pointer(dtype)
        tall, block_c, block_o = gaussian_grad.WEIGHT_TILE[kind]
        yield Case(
            name=f"gaussian_weight_{label}",
            kernel=gaussian_grad._weight_kernel,
            types={
                **dict.fromkeys(("plane", "grad"), pointers),
                **{"offset": "*i32", "fraction": "*fp32", "partial": "*fp32"},
                **dict.fromkeys(("H", "W", "HP", "WP", "N", "NP", "PATCHES", "SHARE"), "i32"),
            },
            constants={**_geometry(tall, block_c, block_o, precision), "C": 512},
            options={"num_warps": gaussian_grad.WARPS, "num_stages": 2},
            divisible=("N", "NP"),
            flop=_flop(tall * 16 * block_c * block_o, precision),
            quick=quick,
        )
        tall, block_c, block_o, stages = gaussian_grad.UNIT_TILE[kind]
        for exact in (True, False):
            yield Case(
                name=f"gaussian_displacement_{label}_{'exact' if exact else 'dau'}",
                kernel=gaussian_grad._displacement_kernel,
                types={
                    **dict.fromkeys(("grad", "weight", "plane", "plane_y", "plane_sigma"), pointers),
                    **{"offset": "*i32", "fraction": "*fp32", "partial": "*fp32"},
                    **dict.fromkeys(("H", "W", "HP", "WP", "N"), "i32"),
                },
                constants={**_geometry(tall, block_c, block_o, precision), "CP": 512, "NP": 512, "EXACT": exact},
                options={"num_warps": gaussian_grad.WARPS, "num_stages": stages},
                divisible=("N",),
                flop=_flop(tall * 16 * block_c * block_o, precision),
                quick=quick and exact,
            )
    for label, radius in (("bf16", 3), ("bf16", 8), ("bf16", 12), ("fp32", 8)):
        for terms in (1, 2):
            yield Case(
                name=f"gaussian_blur_{label}_radius{radius}_terms{terms}",
                kernel=gaussian_blur._blur_kernel,
                types={
                    **{"x": f"*{label}", "taps": "*fp32", "plane": f"*{label}"},
                    **dict.fromkeys(("H", "W", "C", "HP", "WP"), "i32"),
                },
                constants={
                    **{"CP": 512, "TERMS": terms, "RADIUS": radius, "DILATION_Y": 1, "DILATION_X": 1, "PAD": 5},
                    **{"CROP": False, "TILE_Y": gaussian_blur.TILE_Y, "TILE_X": gaussian_blur.TILE_X},
                    "BLOCK_C": gaussian_blur.BLOCK_C,
                },
                options={"num_warps": gaussian_blur.WARPS},
                divisible=("C",),
                quick=(label, radius) == ("bf16", 8),
            )


def _gaussian_forward(name: str, tile: gaussian_conv.Tile, dtype: torch.dtype, precision: str, quick: bool) -> Case:
    geometry = _geometry(tile.y, tile.channels, tile.outputs, precision)
    return Case(
        name=name,
        kernel=gaussian_conv._forward_kernel,
        types={
            **dict.fromkeys(("plane", "weight", "out"), _pointer(dtype)),
            **{"offset": "*i32", "fraction": "*fp32"},
            **dict.fromkeys(("H", "W", "HP", "WP", "N", "NP"), "i32"),
        },
        constants={**geometry, "C": 512, "CHANNELS_LAST": dtype == torch.float32},
        options={"num_warps": tile.warps, "num_stages": tile.stages},
        divisible=("N", "NP"),
        flop=_flop(tile.y * tile.x * tile.outputs * tile.channels, precision if dtype == torch.float32 else "half"),
        quick=quick,
    )


def _geometry(tall: int, block_c: int, block_o: int, precision: str) -> dict[str, Any]:
    tile = {"TILE_Y": tall, "TILE_X": 16, "BLOCK_C": block_c, "BLOCK_O": block_o}
    return {"K": 4, "PAD": 5, "STEP_Y": 1, "STEP_X": 1, **tile, "PRECISION": precision}


def _pointer(dtype: torch.dtype) -> str:
    return {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}[dtype]


def _flop(products: int, precision: str) -> int:
    return 4 * products if precision == "tf32" else 2 * products


def resources(case: Case, architecture: int) -> dict[str, float]:
    """Compile a case and read registers, spills, memory and instructions off the machine code.

    ``issue_ratio`` is the time the instructions of the product's loop take to issue over the time its tensor core
    operations take: above 1, the tensor cores wait. A prediction, to be ratcheted down like a coverage figure.
    ``compile_s`` is next to nothing for what Triton has in its cache, unless TRITON_ALWAYS_COMPILE=1.
    """
    names = case.kernel.arg_names
    whole = [name for name, kind in case.types.items() if kind[0] == "*" or name in case.divisible]
    aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in whole}
    source = ASTSource(
        fn=case.kernel,
        signature={name: case.types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in case.constants.items()},
        attrs=aligned,
    )
    begun = time.perf_counter()
    compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=case.options)
    seconds = time.perf_counter() - begun
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage, sass = _run("cuobjdump", "--dump-resource-usage", file.name), _run("nvdisasm", "-c", file.name)
    match = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    if match is None:
        raise RuntimeError(f"cuobjdump reported no resources for {case.name}: {usage}")
    loop = _loop(sass, TENSOR_CORE[architecture]) if case.flop else 0
    warps = case.options.get("num_warps", 4)
    return {
        "registers": int(match[1]),
        "stack": int(match[2]),
        "spills": len(re.findall(r"\b(?:LDL|STL)\b", sass)),
        "shared": compiled.metadata.shared,
        "tensor_memory": getattr(compiled.metadata, "tmem_size", None) or 0,
        "fma": len(re.findall(r"\bFFMA", sass)),
        "vector_loads": len(re.findall(r"\bLDG(?:STS)?\S*\.128", sass)),
        "tensor_core": len(re.findall(TENSOR_CORE[architecture], sass)),
        "issue_ratio": round(loop * warps / 4 * FLOP_PER_CLOCK[architecture] / case.flop, 3) if loop else 0,
        "compile_s": round(seconds, 2),
    }


def _loop(sass: str, instruction: str) -> int:
    """Return how many instructions the innermost loop around ``instruction`` has, 0 where there is none."""
    lines, labels, found = sass.splitlines(), {}, [0]
    for i, line in enumerate(lines):
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label[1]] = i
        branch = re.search(r"BRA\S*\s+(?:\S+,\s*)?`\((\.L_x_\d+)\)", line)
        if branch and branch[1] in labels:  # backwards
            body = [inner for inner in lines[labels[branch[1]] : i + 1] if INSTRUCTION.match(inner)]
            if any(re.search(instruction, inner) for inner in body):
                found.append(len(body))
    return min(found[1:], default=0)


def _run(tool: str, *arguments: str) -> str:
    return subprocess.run([TOOLS / tool, *arguments], capture_output=True, text=True, check=True).stdout


def excesses(used: dict[str, float], budget: dict[str, float]) -> list[str]:
    """Return one line per resource beyond its budget; ``min_*`` entries are lower bounds."""
    # 0 is what a loop that was not found has
    lines = ["issue_ratio not found"] if "issue_ratio" in budget and not used["issue_ratio"] else []
    for key, bound in budget.items():
        if key.startswith("min_") and used[key[4:]] < bound:
            lines.append(f"{key[4:]} {used[key[4:]]} below {bound}")
        elif not key.startswith("min_") and used[key] > bound:
            lines.append(f"{key} {used[key]} above {bound}")
    return lines


def main() -> int:
    """Print one line per kernel and architecture; return 1 if any exceeds its budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arch", type=int, nargs="+", default=ARCHITECTURES, choices=ARCHITECTURES)
    parser.add_argument("--quick", action="store_true", help="one form of each kernel")
    parser.add_argument("--only", metavar="NAME", default="", help="kernels whose names begin so")
    parser.add_argument("--out", type=Path, metavar="JSON", help="write the resources, one row a kernel")
    arguments = parser.parse_args()
    chosen = [case for case in cases() if case.name.startswith(arguments.only) and (case.quick or not arguments.quick)]
    if not chosen:
        parser.error(f"no kernel has a name that begins with {arguments.only!r}")
    budgets = json.loads(BUDGETS.read_text())
    failed, rows = 0, []
    for architecture in arguments.arch:
        for case in chosen:
            used = resources(case, architecture)
            budget = budgets[case.name].items()
            # a number for all architectures, or one for each
            over = excesses(used, {k: v[str(architecture)] if isinstance(v, dict) else v for k, v in budget})
            failed += bool(over)
            rows.append({"kernel": case.name, "architecture": architecture, **used})
            print(f"sm_{architecture} {case.name:24} {used} {'; '.join(over) or 'ok'}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=2))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
