"""What the machine can do at most, measured before everything else: bytes copied and matrix products a second."""

import subprocess
from collections.abc import Callable

import torch

from benchmarks.timing import take_turns
from dotally.experiment.environment import processor

COPIED = 2**28  # bytes; read once and written once
SIDES = {"cpu": {"fp32": 1536, "bf16": 384}, "cuda": dict.fromkeys(("fp32", "tf32", "bf16"), 8192)}


def ceilings(device: str) -> dict[str, float]:
    """Return the best rates of several tries: "copy" in bytes, "fp32", "tf32" and "bf16" in operations a second.

    Args:
        device: "cpu", on one thread, or "cuda".
    """
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found = {"copy": 2 * COPIED / _seconds(lambda: target.copy_(source), device)}
    allowed = torch.backends.cuda.matmul.allow_tf32
    try:
        for precision in SIDES[device]:
            found[precision] = _matrix_rate(device, precision)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed
    return found


def floor(flop: float, moved: float, rates: dict[str, float], rate: str) -> tuple[float, str] | None:
    """Return the least seconds that the ceilings leave for some work, and which one it is; None for no known work."""
    limits = [(flop / rates[rate], rate)] if rate in rates else []
    limits += [(moved / rates["copy"], "copy")] if "copy" in rates else []
    found = max(limits, default=(0.0, ""))
    return found if found[0] else None


def machine() -> dict[str, str]:
    """Return the processor, and of a GPU its name, driver, clocks and temperature, as far as the system tells them."""
    found = {"processor": processor()}
    if torch.cuda.is_available():
        asked = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,temperature.gpu,power.draw"
        command = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
        except (OSError, subprocess.SubprocessError):
            answer = torch.cuda.get_device_name()
        found["gpu"] = answer.splitlines()[0]
    return found


def _matrix_rate(device: str, precision: str) -> float:
    side = SIDES[device][precision]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    found = 2.0 * side**3 / _seconds(lambda: a @ b, device)
    if device == "cuda" or precision != "fp32":
        return found
    # on some processors the library of the convolutions is faster than that of the matrix products
    x, weight = torch.randn(1, 256, 64, 64), torch.randn(256, 256, 3, 3)
    taken = _seconds(lambda: torch.nn.functional.conv2d(x, weight, padding=1), device)
    return max(found, 2.0 * 64 * 64 * weight.numel() / taken)


def _seconds(run: Callable[[], object], device: str) -> float:
    return min(take_turns({"it": run}, {"it": 7}, device, 5.0)["it"])
