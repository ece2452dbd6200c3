"""Speed beside the peers: every operator, and the way from the JPEG to the table.

    python -m benchmarks.run                                  # everything; a quarter of an hour on two quiet cores
    python -m benchmarks.run --quick                          # only what the promised figures read
    python -m benchmarks.run --only topdown                   # a suite, a case, or what their names begin with
    python -m benchmarks.run --only gaussian_conv_128 --pair "unfused bank, dotally, exact"
    python -m benchmarks.run --publish                        # everything, into benchmarks/results, docs and README
    python -m benchmarks.run --publish-record benchmarks.json # what `make gpu` brought back from another machine

First the ceilings are measured: bytes copied and matrix products a second. For each case a gate then compares what the
implementations compute; no time is taken before it passes. Peers take turns in one process, so a machine that grows
busy does not spoil their ratio; times are medians, with the lowest and the highest, and ratios have a 95 % bootstrap
interval over turns. CPU seconds of this process on one thread count on a CPU, wall time where workers or processes
help, and events on the device on a GPU. Denormals are flushed for all. Without a GPU there are two tables more: the
kernels as compiled for one, and what a model counts of them.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.ceilings import ceilings, floor
from benchmarks.record import Record, publish, publish_file
from benchmarks.registry import Case, Skipped, Suite, suites
from benchmarks.timing import captured, interval, take_turns
from dotally.errors import DataError
from dotally.experiment.promises import measured_figures, read_promises
from dotally.experiment.speed import case_head, case_lines, number, promised_table

ROOT = Path(__file__).parents[1]
KEYS = {"cpu": "cpu_seconds", "cuda": "gpu_seconds", "wall": "wall_seconds"}
PAIRED_TURNS = 20


def measure(case: Case, flags: argparse.Namespace, rates: dict[str, float]) -> dict[str, Any]:
    """Gate a case, time it, and return its row of the record.

    Raises:
        AssertionError: The implementations differ; nothing was timed.
    """
    case.gate()
    kept: dict[str, Any] = {key: True for key in ("cold", "graph") if getattr(flags, key)}
    if flags.graph:
        case, lost = _captured(case)
        kept |= {"lost": lost} if lost else {}
    taken = take_turns(
        case.implementations, case.repeats, case.device, flags.seconds, least=case.least, cold=flags.cold
    )
    rows = [_row(case, name, taken, rates) for name in taken]
    if case.device == "cuda" and not flags.graph:
        for row in rows:
            row["peak_megabytes"] = _peak_memory(case.implementations[row["implementation"]]) / 1e6
    about = {"case": case.name, "about": case.about, "ours": case.ours, "device": case.device}
    return {**about, "facts": dict(case.facts), **kept, "rows": rows}


def _row(case: Case, name: str, taken: dict[str, list[float]], rates: dict[str, float]) -> dict[str, Any]:
    mine, ours = taken[name], taken[case.ours]
    middle = median(mine)
    row: dict[str, Any] = {"implementation": name, KEYS[case.device]: middle, "spread": [min(mine), max(mine)]}
    row |= {"repeats": len(mine), "taken": mine, "times_ours": middle / median(ours)}
    if name != case.ours and (sure := interval(mine, ours)):
        row["interval"] = sure
    for fact in ("pictures", "steps"):
        if fact in case.facts:
            row[f"{fact}_per_second"] = case.facts[fact] / middle
    flop, moved = case.work.get(name, (0.0, 0.0))
    if flop:
        row |= {"gflop": flop / 1e9, "gflop_per_second": flop / 1e9 / middle}
    if moved:
        row["megabytes"] = moved / 1e6
    if bound := floor(flop, moved, rates, case.rate):
        row |= {"ceiling": bound[0] / middle, "bound": bound[1]}
    return row


def _captured(case: Case) -> tuple[Case, dict[str, str]]:
    """Return the case with every implementation as a CUDA graph, and why some could not be one."""
    graphs, lost = {}, {}
    for name, run in case.implementations.items():
        try:
            graphs[name] = captured(run)
        except RuntimeError as error:
            torch.cuda.synchronize()
            lost[name] = str(error).splitlines()[0]
    if case.ours not in graphs:
        raise RuntimeError(f"no CUDA graph holds {case.ours}: {lost[case.ours]}")
    return replace(case, implementations=graphs, repeats={name: case.repeats[name] for name in graphs}), lost


def _peak_memory(run: Any) -> int:
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def quick(case: Case) -> Case | None:
    """Return what the promised figures read of a case, each at most three times; None if that is nothing."""
    promises = [promise for promise in read_promises(ROOT) if promise.case == case.name]
    names = {name for promise in promises for name in (promise.over, promise.under or case.ours)} & {*case.repeats}
    return narrowed(case, names | {case.ours}, most=3) if names and not case.long else None


def paired(case: Case, pair: str) -> Case | None:
    """Return a case of two implementations, "A,B" where both names may hold commas; None if it lacks one."""
    parts = pair.split(",")
    for i in range(1, len(parts)):
        first, second = (",".join(half).strip() for half in (parts[:i], parts[i:]))
        if {first, second} <= case.implementations.keys() and first != second:
            repeats = dict.fromkeys((first, second), PAIRED_TURNS)
            return replace(narrowed(case, {first, second}), ours=second, repeats=repeats)
    return None


def narrowed(case: Case, names: set[str], most: int | None = None) -> Case:
    """Return a case of some of its implementations, each run so often at most."""
    kept = {name: run for name, run in case.implementations.items() if name in names}
    return replace(case, implementations=kept, repeats={n: min(case.repeats[n], most or case.repeats[n]) for n in kept})


def chosen(case: Case, flags: argparse.Namespace) -> Case | None:
    """Return what the flags leave of a case."""
    if flags.graph and case.device != "cuda":
        return None
    if flags.pair:
        return paired(case, flags.pair)
    return quick(case) if flags.quick else case


def listed(only: str, record: Record) -> Iterator[tuple[str, Case | Skipped]]:
    """Yield the cases that are asked for, each with its suite; what cannot be listed goes into the record."""
    for suite in suites():
        if not isinstance(suite, Suite):
            record.fail(*suite)
            continue
        record.value["suites"][suite.name] = suite.about
        for case in suite.cases:
            if suite.name.startswith(only) or case.name.startswith(only):
                yield suite.name, case


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for, writing as it goes; 1 if a gate is red or something failed, 2 for wrong use."""
    flags = parse(arguments)
    if flags.publish_record:
        return _publish_record(flags.publish_record)
    _steady()
    record = Record.open(flags)
    try:
        _measure_all(flags, record)
    except KeyboardInterrupt:
        print(f"stopped; --resume goes on with what lies in {record.path or 'no file'}", file=sys.stderr)
        return 130
    record.finish()
    if flags.publish:
        print(f"wrote {', '.join(publish(record, ROOT))}")
    elif found := measured_figures(record.value, ROOT):
        print("\n" + promised_table(found))
    return int(bool(record.value["failed"]))


def _publish_record(path: Path) -> int:
    try:
        print(f"wrote {', '.join(publish_file(path, ROOT))}")
    except DataError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _measure_all(flags: argparse.Namespace, record: Record) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if record.path:
        print(f"writing {record.path} as it goes", flush=True)
    if "ceilings" not in record.value:
        record.value["ceilings"] = ceilings(device)
        record.save()
    rates = record.value["ceilings"]
    print("ceilings:", ", ".join(f"{name} {number(rate / 1e9)} G/s" for name, rate in rates.items()), flush=True)
    print("\n".join(["", *case_head()]), flush=True)
    known = False
    for suite, case in listed(flags.only, record):
        known = True
        if isinstance(case, Skipped):
            record.skip(case)
        elif (left := chosen(case, flags)) and not record.has(case.name):
            # several threads or processes have no ceiling here: the processor's is that of one thread
            _measure_one(suite, left, flags, record, rates if case.device == device else {})
    if not known:
        record.fail(flags.only, "no suite and no case is called so")
    elif not any(record.value[key] for key in ("results", "skipped", "failed")):
        record.fail(flags.pair or flags.only, "no case has what these options ask for")
    if device == "cpu" and not (flags.quick or flags.pair or flags.only):
        for step in ("static", "models"):
            try:
                getattr(import_module("benchmarks.offline"), step)(record)
            except Exception as error:  # what was timed counts without them
                record.fail(step, f"{type(error).__name__}: {error}")


def _measure_one(suite: str, case: Case, flags: argparse.Namespace, record: Record, rates: dict[str, float]) -> None:
    try:
        result = {"suite": suite, **measure(case, flags, rates)}
    except AssertionError as error:
        record.fail(case.name, f"the implementations differ, so nothing was timed: {error}")
    except Exception as error:  # the other cases are to be measured whatever happens to this one
        record.fail(case.name, f"{type(error).__name__}: {error}")
    else:
        record.add(result)
        print("\n".join(case_lines(result)), flush=True)
        if flags.pair:
            print(_halves(result), flush=True)


def _halves(result: dict[str, Any]) -> str:
    """Say a pair's ratio in each half of the turns, so that drift shows."""
    rows = {row["implementation"]: row["taken"] for row in result["rows"]}
    ours = rows.pop(result["ours"])
    ((name, peer),) = rows.items()
    half = min(len(ours), len(peer)) // 2
    if not half:
        return f"{name} / {result['ours']}: one turn"
    halves = [median(peer[part]) / median(ours[part]) for part in (slice(half), slice(half, None))]
    return f"{name} / {result['ours']}: first half of the turns {number(halves[0])}, second half {number(halves[1])}"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", default="", help="a suite, a case, or what their names begin with")
    parser.add_argument("--quick", action="store_true", help="only what the promised figures read, three runs at most")
    parser.add_argument("--pair", metavar="A,B", help="two implementations in 20 turns, A / B with its interval")
    parser.add_argument("--cold", action="store_true", help="flush the caches before every run")
    parser.add_argument("--graph", action="store_true", help="replay CUDA graphs instead of launching; needs a GPU")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each implementation of a case (default: 60)")
    parser.add_argument("--out", type=Path, metavar="JSON", help="where to write; Markdown and plots go beside it")
    parser.add_argument("--resume", action="store_true", help="keep what a stopped run of this commit has measured")
    parser.add_argument("--publish", action="store_true", help="write the committed results, docs/speed.md and README")
    help_ = "publish a whole run from elsewhere; measures nothing"
    parser.add_argument("--publish-record", type=Path, metavar="JSON", help=help_)
    flags = parser.parse_args(arguments)
    part = flags.only or flags.quick or flags.pair or flags.cold or flags.graph
    if flags.publish and part:
        parser.error("--publish needs everything measured: leave out --only, --quick, --pair, --cold and --graph")
    if flags.graph and not torch.cuda.is_available():
        parser.error("--graph replays CUDA graphs, and PyTorch sees no CUDA GPU here")
    if flags.resume and part and not flags.out:
        parser.error("--resume of a part needs its --out")
    return flags


def _steady() -> None:
    torch.set_num_threads(1)
    # subnormal numbers slow some implementations several times, and would make the others look good
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True


if __name__ == "__main__":
    sys.exit(main())
