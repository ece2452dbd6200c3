"""Measure every case: first that all implementations agree, then their CPU time on one thread, in the same run.

    python -m benchmarks.run                                  # everything; ten minutes on one core
    python -m benchmarks.run --only density_500_heads         # or --only gaussian_conv, --only topdown
    python -m benchmarks.run --out benchmarks/results/cpu.json

Times are CPU seconds of this process, so a busy machine does not spoil the ratio between peers; where there is a GPU,
the cases that can use it are measured there. Denormals are flushed for all. GFLOP and MB are what a model counts.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import density, gaussian_conv, topdown
from benchmarks.registry import Case
from dotally.experiment.environment import environment
from dotally.files import write_json


def measure(case: Case) -> dict[str, Any]:
    """Gate a case, time it, and return a row per implementation."""
    case.gate()
    taken = _time_all(case)
    ours = median(taken[case.ours])
    rows = [_row(case, name, times, ours) for name, times in taken.items()]
    return {"case": case.name, "about": case.about, "device": case.device, "facts": dict(case.facts), "rows": rows}


def _row(case: Case, name: str, taken: list[float], ours: float) -> dict[str, Any]:
    middle = median(taken)
    row = {
        "implementation": name,
        f"{'cpu' if case.device == 'cpu' else 'gpu'}_seconds": middle,
        "spread": [min(taken), max(taken)],
        "repeats": len(taken),
        "times_ours": round(middle / ours, 2 if middle < 10 * ours else 1),
    }
    flop, moved = case.work.get(name, (0.0, 0.0))
    if flop:
        row |= {"gflop": round(flop / 1e9, 3), "gflop_per_second": round(flop / 1e9 / middle, 2)}
    return row | ({"megabytes": round(moved / 1e6, 1)} if moved else {})


def _time_all(case: Case) -> dict[str, list[float]]:
    """Return the seconds of every run: in turns, so that a machine that grows busy slows all peers alike."""
    time_one = _cpu_seconds if case.device == "cpu" else _gpu_seconds
    taken: dict[str, list[float]] = {name: [] for name in case.implementations}
    for name, run in case.implementations.items():
        if case.repeats[name] > 1:  # warmed up once
            run()
    for turn in range(max(case.repeats.values())):
        for name, run in case.implementations.items():
            if turn < case.repeats[name]:
                taken[name].append(time_one(run))
    return taken


def _cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _gpu_seconds(run: Callable[[], object]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def markdown(results: list[dict[str, Any]]) -> str:
    """Render the measurements as one Markdown table."""
    lines = [
        "| case | implementation | CPU time on one thread, or GPU time | times ours | GFLOP | GFLOP/s | MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        for row in result["rows"]:
            taken = f"{row.get('cpu_seconds', row.get('gpu_seconds')) * 1e3:,.1f} ms"
            model = (f"{row[key]:,g}" if key in row else "" for key in ("gflop", "gflop_per_second", "megabytes"))
            cells = (result["about"], row["implementation"], taken, f"{row['times_ours']:,g}", *model)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure what was asked for and write it; 1 if a gate is red, which prints no time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="CASE", help="a name, or what names begin with")
    parser.add_argument("--out", type=Path, help="a JSON file; the Markdown goes beside it")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    # subnormal numbers slow some implementations several times, and would make the others look good
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True
    results = []
    for case in (*density.cases(), *gaussian_conv.cases(), *topdown.cases()):
        if case.name.startswith(flags.only or ""):
            try:
                results.append(measure(case))
            except AssertionError as error:
                print(f"{case.name}: the implementations differ, so nothing was timed: {error}", file=sys.stderr)
                return 1
    print(markdown(results))
    if flags.out:
        write_json(flags.out, {"environment": environment(), "results": results})
        flags.out.with_suffix(".md").write_text(markdown(results))
        print(json.dumps(str(flags.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
