"""The small kernels before a Gaussian convolution in the forms its layers launch, for ``benchmarks.compile_ahead``."""

from collections.abc import Iterator
from typing import Any

from triton_kernels import gaussian_prepare


def forms() -> Iterator[dict[str, Any]]:
    """Yield the fields of a ``Case`` for every form; ``quick`` ones stand for their kernel."""
    for normalize in ("sum", "analytic", "none"):
        yield {
            "name": f"gaussian_prepare_{normalize}",
            "kernel": gaussian_prepare._prepare_kernel,
            "types": {
                **{"mu": "*fp32", "sigma": "*fp32", "taps": "*fp32", "offset": "*i32", "fraction": "*fp32"},
                **{"limit": "fp32", "WP": "i32", "K": "i32", "KP": "i32"},
            },
            "constants": {
                **{"N_TAPS": 17, "NORMALIZE": normalize, "STEP_Y": 1, "STEP_X": 1, "BLOCK_T": 32, "BLOCK_K": 16}
            },
            "options": {"num_warps": 1},
            "quick": normalize == "sum",
        }
    for label, transpose in (("bf16", True), ("bf16", False), ("fp16", True), ("fp32", False), ("tf32", False)):
        yield {
            "name": f"gaussian_pack_{label}{'_transposed' if transpose else ''}",
            "kernel": gaussian_prepare._pack_kernel,
            "types": {
                **{"weight": "*fp32", "out": f"*{label.replace('tf32', 'fp32')}"},
                **dict.fromkeys(("I", "J", "IP", "JP", "stride_i", "stride_j"), "i32"),
            },
            # a weight as it lies: the stride of its units is 1, which Triton makes a constant
            "constants": {
                **{"stride_k": 1, "K": 4, "TRANSPOSE": transpose, "BLOCK": gaussian_prepare.BLOCK},
                "PRECISION": "tf32" if label == "tf32" else "ieee",
            },
            "options": {"num_warps": gaussian_prepare.WARPS},
            "divisible": ("I", "J", "IP", "JP", "stride_i"),
            "quick": (label, transpose) == ("bf16", True),
        }
    yield {
        "name": "gaussian_round",
        "kernel": gaussian_prepare._round_kernel,
        "types": {"x": "*fp32", "out": "*fp32", "N": "i32"},
        "constants": {"BLOCK": gaussian_prepare.ROUNDED},
        "options": {"num_warps": gaussian_prepare.WARPS},
        "divisible": ("N",),
        "quick": False,
    }
