"""Sparse gating on the device: a list of the active cells of a map, and how kernels add to the next map's list.

A top-down pass touches less than one cell in a hundred, so no kernel scans a map: each reads the list of active cells
of the map above and appends to the list of the map below. Masses are added as 64-bit integers (units of 2^-40), and
integers commute: the order in which programs run changes nothing. A cell joins the list when its sum was 0 before.
The host never asks how long a list is.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

UNIT = tl.constexpr(2.0**-40)
PER_UNIT = tl.constexpr(2.0**40)
BLOCK = 1024
WARPS = 132 * 32  # to start at most: half of what an H200 holds; their programs stride over the list
LIMIT = 2**31 - 2**22  # cells are addressed with 32 bits, and a stride over all programs must not overflow


class Worklist:
    """The non-zero cells of a gating map, in no particular order.

    Args:
        shape: Shape of the map.
        cells: ``[numel]`` int32 flat indices; only the first ``count`` mean anything.
        values: ``[numel]`` float32 mass of each listed cell.
        count: ``[1]`` int32, on the device.
    """

    def __init__(self, *, shape: tuple[int, ...], cells: Tensor, values: Tensor, count: Tensor) -> None:
        self.shape, self.cells, self.values, self.count = shape, cells, values, count

    @property
    def capacity(self) -> int:
        """Cells of the map."""
        return len(self.cells)

    def programs(self, at_once: int, warps: int = 4) -> int:
        """Return how many programs of so many warps to start when each takes so many cells at a time."""
        return min(WARPS // warps, triton.cdiv(self.capacity, at_once))


@triton.jit
def give(sums, cells, count, capacity, b_cell, b_mass, mask):
    """Add mass [BLOCK] to cells, and list those that had none: one atomic on the list per call."""
    units = tl.floor(tl.where(mask, b_mass, 0.0) * PER_UNIT + 0.5).to(tl.int64)
    mask &= units != 0
    before = tl.atomic_add(sums + b_cell, units, mask=mask, sem="relaxed")
    is_new = mask & (before == 0)
    new = tl.sum(is_new.to(tl.int32))
    if new > 0:
        start = tl.atomic_add(count, new, sem="relaxed")
        o_list = start + tl.cumsum(is_new.to(tl.int32), axis=0) - 1
        # masses of both signs may cancel and list a cell twice; never past the end
        tl.store(cells + o_list, b_cell, mask=is_new & (o_list < capacity))


@triton.jit
def _compact_kernel(dense, cells, values, count, N, BLOCK: tl.constexpr):
    """List the non-zero cells of a dense map."""
    o_n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    b_value = tl.load(dense + o_n, mask=o_n < N, other=0.0)
    is_active = b_value != 0
    active = tl.sum(is_active.to(tl.int32))
    if active > 0:
        start = tl.atomic_add(count, active, sem="relaxed")
        o_list = start + tl.cumsum(is_active.to(tl.int32), axis=0) - 1
        tl.store(cells + o_list, o_n, mask=is_active)
        tl.store(values + o_list, b_value, mask=is_active)


@triton.jit
def _drain_kernel(sums, cells, values, count, capacity, BLOCK: tl.constexpr):
    """Move the listed sums into the list's values; every sum is 0 afterwards, and a cell listed twice counts once."""
    n = tl.minimum(tl.load(count), capacity)
    if tl.program_id(0) == 0:  # kernels of the next layer believe it; read before or after, n is the same
        tl.store(count, n)
    for first in range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK):
        o_n = first + tl.arange(0, BLOCK)
        m_n = o_n < n
        b_cell = tl.load(cells + o_n, mask=m_n, other=0)
        b_units = tl.atomic_xchg(sums + b_cell, tl.zeros([BLOCK], dtype=tl.int64), mask=m_n, sem="relaxed")
        tl.store(values + o_n, b_units.to(tl.float32) * UNIT, mask=m_n)


@triton.jit
def _spread_kernel(cells, values, count, out, capacity, BLOCK: tl.constexpr):
    """Write the listed values into a dense map of zeros."""
    n = tl.minimum(tl.load(count), capacity)
    for first in range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK):
        o_n = first + tl.arange(0, BLOCK)
        m_n = o_n < n
        b_cell = tl.load(cells + o_n, mask=m_n, other=0)
        b_value = tl.load(values + o_n, mask=m_n, other=0.0)
        tl.store(out + b_cell, b_value, mask=m_n & (b_value != 0))


def from_dense(gating: Tensor) -> Worklist:
    """Return the worklist of a dense float32 map."""
    gating = gating.float().contiguous()
    worklist = _empty(gating.shape, gating)
    if gating.numel():
        grid = (triton.cdiv(gating.numel(), BLOCK),)
        _compact_kernel[grid](gating, worklist.cells, worklist.values, worklist.count, gating.numel(), BLOCK)
    return worklist


def to_dense(worklist: Worklist) -> Tensor:
    """Return the dense float32 map of a worklist."""
    dense = torch.zeros(worklist.capacity, device=worklist.cells.device, dtype=torch.float32)
    if worklist.capacity:
        arguments = worklist.cells, worklist.values, worklist.count, dense, worklist.capacity
        _spread_kernel[(worklist.programs(BLOCK),)](*arguments, BLOCK)
    return dense.view(worklist.shape)


class Below:
    """The map below while kernels add to it: its sums, all 0 before and after, and its growing worklist.

    Args:
        shape: Shape of the map.
        like: A tensor on the device.
        workspace: int64 zeros, at least one per cell, which one pass over many layers can share; own zeros by default.
    """

    def __init__(self, shape: torch.Size | tuple[int, ...], like: Tensor, workspace: Tensor | None = None) -> None:
        self.worklist = _empty(shape, like)
        cells = torch.Size(shape).numel()
        if workspace is None:
            workspace = torch.zeros(cells, device=like.device, dtype=torch.int64)
        elif workspace.dtype != torch.int64 or len(workspace) < cells:
            raise ValueError(f"workspace must hold {cells} int64 zeros, got {len(workspace)} of {workspace.dtype}")
        self.sums = workspace
        self.arguments = self.sums, self.worklist.cells, self.worklist.count, cells

    def finish(self) -> Worklist:
        """Empty the sums into the worklist and return it."""
        worklist = self.worklist
        if worklist.capacity:
            arguments = self.sums, worklist.cells, worklist.values, worklist.count, worklist.capacity
            _drain_kernel[(worklist.programs(BLOCK),)](*arguments, BLOCK)
        return worklist


def _empty(shape: torch.Size | tuple[int, ...], like: Tensor) -> Worklist:
    cells = torch.Size(shape).numel()
    if cells > LIMIT:
        raise ValueError(
            f"a gating map of shape {list(shape)} has {cells} cells, more than {LIMIT}: use smaller batches"
        )
    return Worklist(
        shape=tuple(shape),
        cells=torch.empty(cells, device=like.device, dtype=torch.int32),
        values=torch.empty(cells, device=like.device, dtype=torch.float32),
        count=torch.zeros(1, device=like.device, dtype=torch.int32),
    )
