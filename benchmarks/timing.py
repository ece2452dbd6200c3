"""How time is taken: peers in turns, caches flushed or not, eager or from a CUDA graph, and how sure a ratio is."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Run = Callable[[], Any]
FLUSHED = 2**28  # bytes written between cold runs: more than any last cache level holds
RESAMPLES = 2000


def take_turns(
    implementations: Mapping[str, Run],
    repeats: Mapping[str, int],
    device: str,
    allowance: float,
    *,
    least: int = 1,
    cold: bool = False,
) -> dict[str, list[float]]:
    """Return the seconds of every run.

    Peers take turns, every other turn in the reverse order, so a machine that grows busy slows all alike.

    Args:
        implementations: What to time, by name.
        repeats: Runs of each at most; what runs once is not warmed up.
        device: "cpu" (CPU seconds), "cuda" (events) or "wall".
        allowance: Seconds after which an implementation gets no further turn.
        least: Turns of each whatever the allowance.
        cold: Whether caches are flushed before every run.
    """
    clock = {"cpu": cpu_seconds, "cuda": gpu_seconds, "wall": wall_seconds}[device]
    flush = _flusher("cuda" if device == "cuda" else "cpu") if cold else None
    taken: dict[str, list[float]] = {name: [] for name in implementations}
    spent = dict.fromkeys(implementations, 0.0)
    for turn in range(-1, max(repeats.values())):
        for name in list(implementations)[:: -1 if turn % 2 else 1]:
            once = turn < 0 and repeats[name] == 1
            enough = len(taken[name]) >= min(least, repeats[name]) and spent[name] > allowance
            if once or len(taken[name]) >= repeats[name] or enough:
                continue
            begin = time.perf_counter()
            if flush:
                flush()
            found = clock(implementations[name])
            spent[name] += time.perf_counter() - begin
            # the turn before the first one warms up; who takes long needs none, and is a turn ahead of its peers then
            if turn >= 0 or (least == 1 and spent[name] > allowance / 4):
                taken[name].append(found)
    return taken


def cpu_seconds(run: Run) -> float:
    """Time a call in CPU seconds of this process."""
    start = time.process_time()
    run()
    return time.process_time() - start


def wall_seconds(run: Run) -> float:
    """Time a call by the clock on the wall."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def gpu_seconds(run: Run) -> float:
    """Time what a call starts on the GPU, by events on the device."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def captured(run: Run) -> Run:
    """Record a call in a CUDA graph and return what replays it.

    Raises:
        RuntimeError: If it waits for the device, or does something else that a graph cannot hold.
    """
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def interval(over: Sequence[float], under: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the ratio of medians; None for fewer than three pairs.

    Turns are drawn, not runs: what slowed both in one turn stays together. Who ran in more turns than its peer has
    those drawn by themselves.
    """
    turns = min(len(over), len(under))
    if turns < 3:
        return None
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, turns, (RESAMPLES, turns))
    ratios = _medians(over, drawn, generator) / _medians(under, drawn, generator)
    low, high = np.quantile(ratios, (0.025, 0.975)).tolist()
    return low, high


def _medians(runs: Sequence[float], drawn: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the median of each resample: the turns that were drawn, and as many further ones as there are."""
    values, turns = np.asarray(runs), drawn.shape[1]
    further = generator.integers(0, max(len(runs) - turns, 1), (RESAMPLES, len(runs) - turns)) + turns
    return np.median(values[np.concatenate([drawn, further], axis=1)], axis=1)


def _flusher(device: str) -> Run:
    buffer = torch.zeros(FLUSHED, dtype=torch.uint8, device=device)
    return lambda: buffer.add_(1)
