"""The kernels of top-down gating in the forms that the classic networks launch, for ``benchmarks.compile_ahead``."""

from collections.abc import Iterator
from typing import Any

from triton_kernels import topdown_board, topdown_conv, topdown_linear, topdown_pool, topdown_theta, topdown_worklist

TABLE = (1.0, 3.0, 1.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.5, 0.0, 0.2, 0.0)
GEOMETRY = dict.fromkeys(topdown_theta.GEOMETRY, "i32")
BELOW = {"sums": "*i64", "out_cells": "*i32", "out_count": "*i32", "capacity": "i32"}
LIST = {"cells": "*i32", "values": "*fp32", "count": "*i32"}


def forms() -> Iterator[dict[str, Any]]:
    """Yield the fields of a ``Case`` for every form; ``quick`` ones stand for their kernel."""
    yield from _worklist()
    for channels, side in ((512, 3), (3, 7), (3, 11), (256, 6), (512, 5), (512, 7)):  # each plan of products
        yield _theta(channels, side, "*fp32", side == 3)
    yield _theta(512, 3, "*bf16", False)
    for channels, side in ((512, 3), (3, 7), (3, 11), (64, 5), (256, 6), (512, 7)):
        yield _group(channels, side, "*fp32", side == 3)
    yield _group(512, 3, "*bf16", False)
    for inputs, mode, quick in (
        (4096, "stat", True),
        (1024, "stat", False),
        (9216, "stat", False),
        (16384, "stat", False),
        (25088, "all", False),
        (512, "top1", False),
    ):
        yield _linear(f"linear_{inputs}_{mode}", inputs, mode, True, quick)
    yield _linear("bridge_4096", 4096, "stat", False, False)
    yield from _pools()


def _form(name: str, kernel: Any, types: dict[str, str], constants: dict[str, Any], **more: Any) -> dict[str, Any]:
    quick = more.pop("quick", True)
    return {"name": f"topdown_{name}", "kernel": kernel, "types": types, "constants": constants} | {
        "options": more,
        "quick": quick,
    }


def _worklist() -> Iterator[dict[str, Any]]:
    block = {"BLOCK": topdown_worklist.BLOCK}
    types = {"dense": "*fp32", **LIST, "N": "i32"}
    yield _form("compact", topdown_worklist._compact_kernel, types, block, quick=False)
    types = {"sums": "*i64", **LIST, "capacity": "i32"}
    yield _form("drain", topdown_worklist._drain_kernel, types, block)
    types = {**LIST, "out": "*fp32", "capacity": "i32"}
    yield _form("spread", topdown_worklist._spread_kernel, types, block, quick=False)


def _theta(channels: int, side: int, floats: str, quick: bool) -> dict[str, Any]:
    how = topdown_theta.plan(channels * side * side)
    pointers = {"x": floats, "weight": floats, "cells": "*i32", "count": "*i32", "theta": "*fp32"}
    return _form(
        f"theta_{channels}x{side}x{side}_{floats[1:]}",
        topdown_theta._theta_kernel,
        {**pointers, "lower_bound": "fp32", **GEOMETRY},
        {"KH": side, "KW": side, **_held(how)},
        num_warps=how.warps,
        maxnreg=how.registers,
        enable_fp_fusion=False,
        quick=quick,
    )


def _group(channels: int, side: int, floats: str, quick: bool) -> dict[str, Any]:
    pointers = {"x": floats, "weight": floats, **LIST, "theta": "*fp32", **BELOW, "chosen": "*i64"}
    scalars = dict.fromkeys(("eps", "a_sum", "a_area"), "fp32")
    words = topdown_board.board((side, side))
    board = {"BITS": words.bits, "TWO": words.two, "WORD": words.word, "COLUMNS": (*words.not_first, *words.not_last)}
    tile = dict(zip(("U", "C", "TAPS"), topdown_conv.tile(channels, words.taps), strict=True))
    return _form(
        f"group_{channels}x{side}x{side}_{floats[1:]}",
        topdown_conv._group_kernel,
        {**pointers, **scalars, **GEOMETRY},
        {"KH": side, "KW": side, **board, **tile, "RECORD": False},
        num_warps=1,
        enable_fp_fusion=False,
        quick=quick,
    )


def _linear(name: str, inputs: int, mode: str, weighted: bool, quick: bool) -> dict[str, Any]:
    how = topdown_theta.plan(inputs)
    rule = {"MODE": topdown_linear.MODES[mode], "OFFSET": 3, "TABLE": TABLE, "COUNT_ZEROS": not weighted}
    return _form(
        name,
        topdown_linear._linear_kernel,
        {"x": "*fp32", "weight": "*fp32", **LIST, **BELOW, "lower_bound": "fp32", "eps": "fp32", **GEOMETRY},
        {**rule, "WEIGHTED": weighted, **_held(how)},
        num_warps=how.warps,
        maxnreg=how.registers,
        enable_fp_fusion=False,
        quick=quick,
    )


def _pools() -> Iterator[dict[str, Any]]:
    types = {"x": "*fp32", **LIST, **BELOW, **dict.fromkeys(topdown_pool.NUMBERS, "i32")}
    yield _form("max_pool", topdown_pool._max_kernel, types, {"BLOCK": topdown_pool.BLOCK})
    for name, adaptive, mode in (("avg_pool_stat", False, "stat"), ("adaptive_pool_all", True, "all")):
        rule = {"MODE": topdown_linear.MODES[mode], "OFFSET": 0, "TABLE": TABLE, "BLOCK": topdown_pool.WINDOW}
        constants = {"ADAPTIVE": adaptive, **rule}
        quick = not adaptive
        yield _form(name, topdown_pool._avg_kernel, types, constants, num_warps=1, enable_fp_fusion=False, quick=quick)


def _held(how: topdown_theta.Plan) -> dict[str, int]:
    return {"BLOCK": how.block, "HELD": how.blocks if how.resident else 0}
