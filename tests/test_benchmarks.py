"""The benchmarks' own parts: peers compute what they claim, gates turn red, and cases are cheap to list."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import benchmarks.run
from benchmarks import (
    compiled_gpu,
    density,
    gaunet_gpu,
    gaussian_conv,
    loading,
    loop_gpu,
    offline,
    timing,
    topdown,
    training_gpu,
)
from benchmarks.record import SHOWN_IN, Record, publish
from benchmarks.registry import Case, Skipped, Suite, suites
from benchmarks.run import measure, parse, quick
from dotally.experiment.promises import read_promises
from dotally.experiment.speed import case_head, case_lines
from dotally.ops.gaussian_plan import Layer
from dotally.ops.gaussian_setting import Setting

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("size", [(9, 40), (18, 18), (37, 5)])
def test_convolution_by_tiles_in_the_frequency_domain(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *size, generator=generator)
    kernel = torch.randn(4, 3, 15, 15, generator=generator)
    expected = F.conv2d(x.double(), kernel.double(), padding=7)
    error = (
        gaussian_conv.fft_convolution(x, gaussian_conv.spectra_of(kernel)).double() - expected
    ).norm() / expected.norm()
    assert error < 1e-6


def test_gaussian_peers_pass_their_gate_and_a_wrong_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    gaussian_conv.gate(3, 2, "cpu", torch.float32)
    right = gaussian_conv.fft_convolution
    monkeypatch.setattr(gaussian_conv, "fft_convolution", lambda x, filters: 1.001 * right(x, filters))
    with pytest.raises(AssertionError, match=r"FFT 15x15, y: relative L2 error 1\.00e-03 above 1e-06"):
        gaussian_conv.gate.__wrapped__(3, 2, "cpu", torch.float32)


def test_cases_are_listed_without_building_anything_and_say_where_they_ran() -> None:
    cases = [*gaussian_conv.cases(), *topdown.cases()]
    assert len({case.name for case in cases}) == len(cases) == 11
    for case in cases:
        assert case.implementations.keys() == case.repeats.keys()
        assert case.ours in case.implementations
        assert case.work.keys() <= case.implementations.keys()
        assert case.name.endswith("_cpu") == (case.device == "cpu")


PEERS: dict[str, Any] = {"fast": lambda: sum(range(1000)), "slow, very": lambda: sum(range(100_000))}


def a_case(name: str = "sum", **more: Any) -> Case:
    fields: dict[str, Any] = {"about": "a sum", "ours": "fast", "implementations": PEERS, "gate": lambda: None}
    return Case(name=name, **fields | {"repeats": {"fast": 3, "slow, very": 4}, "facts": {}} | more)


def test_a_measurement_has_a_row_for_each_peer_with_its_share_of_the_ceiling() -> None:
    case = a_case(work={"slow, very": (1e5, 0.0), "fast": (1.0, 1e3)}, facts={"pictures": 2, "steps": 1})
    result = measure(case, parse([]), {"copy": 1e9, "fp32": 1e9})
    fast, slow = result["rows"]
    assert (fast["implementation"], fast["times_ours"], fast["bound"]) == ("fast", 1, "copy")
    assert slow["ceiling"] == pytest.approx(1e-4 / slow["cpu_seconds"])
    assert slow["pictures_per_second"] == pytest.approx(2 * slow["steps_per_second"])
    assert slow["interval"][0] <= slow["times_ours"] * 1.5
    assert len({line.count("|") for line in (*case_head(), *case_lines(result))}) == 1


def test_no_time_is_taken_before_the_gate_passes_and_the_other_cases_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def red() -> None:
        raise AssertionError("0.5 is not 0.4")

    ran: list[str] = []
    wrong = a_case("wrong", gate=red, implementations=dict.fromkeys(PEERS, lambda: ran.append("wrong")))
    listed = [
        Suite("sums", "Sums.", [wrong, a_case("right"), Skipped("far", "no data")]),
        ("broken", "ImportError: no"),
    ]
    monkeypatch.setattr(benchmarks.run, "suites", lambda: iter(listed))
    monkeypatch.setattr(benchmarks.run, "ceilings", lambda device: {"copy": 1e9, "fp32": 1e9})
    monkeypatch.setattr(benchmarks.run, "_steady", lambda: None)
    out = tmp_path / "sums.json"
    code = benchmarks.run.main(["--only", "sums", "--out", str(out)])
    record = json.loads(out.read_text())
    assert (code, ran) == (1, [])
    assert [each["case"] for each in record["failed"]] == ["wrong", "broken"]
    assert [each["case"] for each in record["results"]] == ["right"]
    shown = out.with_suffix(".md").read_text()
    assert "- **Failed**: wrong: the implementations differ, so nothing was timed: 0.5 is not 0.4" in shown
    assert "- Not measured: far: no data" in shown
    assert out.with_suffix(".png").stat().st_size > 1000
    assert "the implementations differ" in capsys.readouterr().err
    # what was measured before a run was killed is not measured again, unless the code has changed
    record["results"][0]["about"] = "measured before"
    out.write_text(json.dumps(record))
    benchmarks.run.main(["--only", "sums", "--out", str(out), "--resume"])
    assert [each["about"] for each in json.loads(out.read_text())["results"]] == ["measured before"]
    monkeypatch.setattr(benchmarks.record, "patch", lambda: "other code")
    benchmarks.run.main(["--only", "sums", "--out", str(out), "--resume"])
    assert [each["about"] for each in json.loads(out.read_text())["results"]] == ["a sum"]


def test_wall_time_of_several_processes_has_no_share_of_one_thread_s_ceiling(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cases = [a_case(device, device=device, work={"fast": (1e5, 0.0)}) for device in ("cpu", "wall")]
    monkeypatch.setattr(benchmarks.run, "suites", lambda: iter([Suite("sums", "Sums.", cases)]))
    monkeypatch.setattr(benchmarks.run, "ceilings", lambda device: {"copy": 1e9, "fp32": 1e9})
    monkeypatch.setattr(benchmarks.run, "_steady", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmarks.run.main(["--only", "sums", "--out", str(tmp_path / "sums.json")]) == 0
    one, several = json.loads((tmp_path / "sums.json").read_text())["results"]
    assert "ceiling" in one["rows"][0]
    assert "ceiling" not in several["rows"][0]
    assert benchmarks.run.main(["--pair", "fast,quick"]) == 1, "nothing was measured"


def test_publishing_writes_the_record_its_plots_and_every_block(tmp_path: Path) -> None:
    record = Record.open(parse(["--only", "sums"]))
    record.add({"suite": "sums", **measure(a_case(work={"fast": (1e5, 1e3)}), parse([]), {})})
    record.value["ceilings"] = {"copy": 1e9, "fp32": 1e9}
    (tmp_path / "benchmarks").mkdir()
    promise = {"about": "slow / fast", "case": "sum", "over": "slow, very", "under": "fast", "wanted": 2}
    on = "gpu" if torch.cuda.is_available() else "cpu"
    (tmp_path / "benchmarks" / "promises.json").write_text(json.dumps([promise | {"at_least": True, "on": on}]))
    for name, block in zip(SHOWN_IN, ("speed", "speed-promised"), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"before\n<!-- table:{block} -->\nold\n<!-- /table:{block} -->\nafter\n")
    written = publish(record, tmp_path)
    place = tmp_path / written[0]
    assert json.loads(place.read_text())["results"][0]["case"] == "sum"
    assert {path.name for path in place.parent.iterdir()} == {
        *(place.name, f"{place.stem}.png", f"{place.stem}-roofline.png")
    }
    shown = (tmp_path / "docs" / "speed.md").read_text()
    assert "| slow / fast | at least 2 |" in shown
    assert f"{place.stem}-roofline.png" in shown
    readme = (tmp_path / "README.md").read_text()
    assert "old" not in readme
    assert readme.endswith("after\n")


def test_what_another_machine_measured_is_published_by_its_name_unless_it_is_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    for name, block in zip(SHOWN_IN, ("speed", "speed-promised"), strict=True):
        (tmp_path / name).write_text(f"<!-- table:{block} -->\n<!-- /table:{block} -->\n")
    monkeypatch.setattr(benchmarks.run, "ROOT", tmp_path)
    record = Record.open(parse([]))
    record.value["environment"] = {**record.value["environment"], "device": "NVIDIA H200"}
    record.value["results"] = [{"suite": "sums", **measure(a_case(), parse([]), {})}]
    came = tmp_path / "came.json"
    came.write_text(json.dumps(record.value))
    assert benchmarks.run.main(["--publish-record", str(came)]) == 0
    assert (tmp_path / "benchmarks" / "results" / "nvidia-h200.json").is_file()
    assert "## NVIDIA H200" in (tmp_path / "docs" / "speed.md").read_text()
    came.write_text(json.dumps(record.value | {"how": {"only": "topdown", "seconds": 60.0}}))
    assert benchmarks.run.main(["--publish-record", str(came)]) == 2
    assert "narrowed by only" in capsys.readouterr().err
    came.write_text("[]")
    assert benchmarks.run.main(["--publish-record", str(came)]) == 2


def test_every_promise_of_a_gpu_reads_rows_that_its_case_will_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(training_gpu, "find_part", lambda roots, part: None)
    monkeypatch.setattr(training_gpu, "data_roots", list)
    modules = (gaussian_conv, topdown, training_gpu, gaunet_gpu, loop_gpu, compiled_gpu)
    cases = {case.name: case for module in modules for case in module.cases() if isinstance(case, Case)}
    assert all(case.implementations.keys() == case.repeats.keys() for case in cases.values())
    for promise in read_promises(ROOT):
        if promise.on == "gpu" and promise.read != "fact":
            case = cases[promise.case]
            assert {promise.over, promise.under or promise.over} <= case.implementations.keys()
            assert promise.read != "ceiling" or (case.rate == "bf16" and promise.over in case.work)
        elif promise.on == "gpu":
            assert promise.case in cases


def held(take: Callable[[], Any]) -> Callable[[], Any]:
    """Do with a call what making a CUDA graph of it does, without a device."""
    for _ in range(3):
        take()
    return take


def test_a_pass_from_a_graph_gives_the_gating_of_one_that_is_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topdown, "captured", held)
    topdown.graph_case("alexnet", "features.6", "conv3", 1, "cpu").gate()
    monkeypatch.setattr(topdown, "captured", lambda take: (take(), lambda: None)[1])
    with pytest.raises(AssertionError, match="another gating"):
        topdown.graph_case("alexnet", "features.6", "conv3", 1, "cpu").gate()


def test_graphs_are_replayed_and_who_cannot_be_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def capture(run: Callable[[], Any]) -> Callable[[], Any]:
        if run is PEERS["slow, very"]:
            raise RuntimeError("it waits for the device\nwhich a graph cannot")
        return run

    monkeypatch.setattr(benchmarks.run, "captured", capture)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    flags = parse([])
    flags.graph = True
    result = measure(a_case(), flags, {})
    assert [row["implementation"] for row in result["rows"]] == ["fast"]
    assert result["lost"] == {"slow, very": "it waits for the device"}
    assert "a sum, graph" in case_lines(result)[0]


def test_a_compiled_bank_is_held_against_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **how: function)
    small = gaussian_conv.Place("cpu", torch.float32, 1, (9, 11))
    compiled_gpu._compiled.cache_clear()
    compiled_gpu.layer("small", 3, 2, small).gate()
    monkeypatch.setattr(compiled_gpu, "_compiled", lambda inputs: lambda *a: 1.1 * gaussian_conv.unfused_bank(*a))
    with pytest.raises(AssertionError, match=r"relative L2 difference 1\.00e-01"):
        compiled_gpu.layer("small", 3, 2, small).gate()


def test_a_kernel_beyond_its_budget_fails_again_after_a_resumption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "sm_90 small {'registers': 9} ok\nsm_90 large {'registers': 300} registers 300 above 255\n"
    done = subprocess.CompletedProcess([], 1, said, "")
    monkeypatch.setattr(offline.subprocess, "run", lambda *a, **k: done)
    record = Record({"failed": []}, None)
    offline.static(record)
    assert record.value == {"failed": [{"case": "static", "reason": "large: registers 300 above 255"}]}
    assert "large" in capsys.readouterr().err


def test_peers_take_turns_and_who_takes_long_runs_once_without_a_warm_up() -> None:
    order: list[str] = []
    runs = {name: partial(order.append, name) for name in "abc"}
    taken = timing.take_turns(runs, {"a": 3, "b": 3, "c": 1}, "wall", 10.0)
    assert "".join(order) == "ba" + "abc" + "ba" + "ab"
    assert {name: len(times) for name, times in taken.items()} == {"a": 3, "b": 3, "c": 1}
    order.clear()
    long = {"long": partial(time.sleep, 0.02)}
    assert len(timing.take_turns(long, {"long": 9}, "wall", 0.01, least=3)["long"]) == 3
    taken = timing.take_turns(long, {"long": 9}, "wall", 0.01, cold=False)
    assert len(taken["long"]) == 1


def test_cold_runs_come_after_a_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(timing, "_flusher", lambda device: partial(order.append, "flush"))
    timing.take_turns({"a": partial(order.append, "a")}, {"a": 2}, "cpu", 10.0, cold=True)
    assert order == ["flush", "a"] * 3


def test_an_interval_holds_what_slowed_both_peers_in_a_turn_together() -> None:
    noise = [1.0, 3.0, 1.5, 2.0, 9.0]
    assert timing.interval([2 * n for n in noise], noise) == pytest.approx((2, 2))
    assert timing.interval([1.0, 2.0], [1.0, 2.0]) is None
    low, high = timing.interval([2.0, 2.2, 1.8, 2.1], [1.0, 0.9, 1.1, 1.0]) or (0, 0)
    assert low < 2 < high


def test_an_interval_is_of_all_runs_also_where_one_peer_has_more() -> None:
    # the machine grew faster after the third turn
    slow, fast = [40.0, 41.0, 42.0], [1.0, 1.0, 1.0, *[0.5] * 20]
    low, high = timing.interval(slow, fast) or (0, 0)
    assert low <= 41.0 / 0.5 <= high


def test_the_committed_intervals_are_those_of_the_committed_runs() -> None:
    for path in (Path(benchmarks.run.__file__).parent / "results").glob("*.json"):
        for case in json.loads(path.read_text())["results"]:
            runs = {row["implementation"]: row["taken"] for row in case["rows"]}
            for row in case["rows"]:
                if "interval" in row:
                    assert row["interval"] == pytest.approx(timing.interval(row["taken"], runs[case["ours"]]))


def test_a_pair_is_named_by_its_implementations_even_if_they_hold_commas() -> None:
    pair = benchmarks.run.paired(a_case(), "slow, very, fast")
    assert pair is not None
    assert (pair.ours, set(pair.repeats)) == ("fast", {"fast", "slow, very"})
    assert min(pair.repeats.values()) >= 10
    turned = benchmarks.run.paired(a_case(), "fast,slow, very")
    assert turned is not None
    assert turned.ours == "slow, very"
    assert benchmarks.run.paired(a_case(), "fast, slow") is None


@pytest.mark.parametrize(
    ("flags", "said"), [(["--publish", "--quick"], "everything measured"), (["--graph"], "sees no CUDA GPU")]
)
def test_wrong_use_is_one_clear_line(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available() and "--graph" in flags:
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit, match="2"):
        parse(flags)
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_every_suite_can_be_listed_and_has_the_cases_that_are_promised() -> None:
    listed = list(suites())
    assert all(isinstance(suite, Suite) for suite in listed), listed
    names = {case.name for suite in listed if isinstance(suite, Suite) for case in suite.cases}
    promises = [promise for promise in read_promises(ROOT) if promise.on == "cpu"]
    assert {promise.case for promise in promises} <= names


def test_a_model_says_that_the_fused_convolution_moves_and_computes_less_than_what_it_stands_for() -> None:
    rows = {(row["about"], row["implementation"]): row for row in offline._gaussian()}
    for (about, name), row in rows.items():
        assert row["floor_us"] > 0
        if name.startswith("dense 15x15"):
            ours = rows[about, "dotally, bilinear"]
            assert row["gflop"] > 50 * ours["gflop"]
            assert row["floor_us"] > 10 * ours["floor_us"]
    assert offline._density(500, 16)["launches"] == 3


def test_the_model_of_the_unfused_bank_counts_what_the_peer_does() -> None:
    place = gaussian_conv.Place("cpu", torch.float32, 2, (24, 20))
    drawn = gaussian_conv.draw_inputs(6, 5, place)
    arguments = [drawn[name] for name in ("x", "weight", "mu", "sigma")]
    plane = arguments[0].nbytes
    seen: list[int] = []

    class Passes(TorchDispatchMode):
        """Note the bytes of whatever makes something as large as the result."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and made.nbytes >= plane * 5 // 6:
                read = args[0] if isinstance(args[0], list) else args[:1]
                seen.append(made.nbytes + sum(value.nbytes for value in read))
            return made

    with Passes():
        gaussian_conv.unfused_bank(*arguments)
    layer = Layer(place.batch, 6, 5, gaussian_conv.UNITS, *place.size, device="cpu", itemsize=4)
    setting = Setting(gaussian_conv.MAX_OFFSET, gaussian_conv.MAX_SIGMA, "bilinear", "sum", (1, 1), (1, 1), "", "exact")
    work = gaussian_conv.unfused_work(layer, setting)
    assert work.calls == len(seen)
    assert work.before + work.bytes == sum(seen) + arguments[1].nbytes


def test_every_promise_reads_rows_that_exist_and_a_quick_run_keeps_only_these() -> None:
    if torch.cuda.is_available():
        pytest.skip("the promises are those of a CPU")
    cases = {case.name: case for case in (*gaussian_conv.cases(), *topdown.cases(), density._one_picture(3))}
    cases["loading_workers"] = loading.two_workers()
    cases["density_500_heads"] = replace(cases["density_3_heads"], name="density_500_heads")
    for promise in read_promises(ROOT):
        if promise.on == "cpu" and promise.case in cases:
            short = quick(cases[promise.case])
            assert short is not None
            assert {promise.over, promise.under or promise.over} <= short.implementations.keys()
            assert short.ours in short.implementations
            assert max(short.repeats.values()) <= 3
    assert quick(cases["topdown_layer_cpu"]) is None


def test_data_that_are_not_at_hand_are_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOTALLY_DATA_ROOT", str(tmp_path))
    skipped = [case for case in (*density.cases(), *loading.cases()) if isinstance(case, Skipped)]
    names = ["density_shanghaitech_a", "loading_cpu", "loading_workers", "packed_access_cpu"]
    assert [case.name for case in skipped] == names
    assert all(case.reason for case in skipped)


@pytest.fixture
def street(shanghaitech_tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small pictures in place of ShanghaiTech B, and crops to match."""
    monkeypatch.setenv("DOTALLY_DATA_ROOT", str(shanghaitech_tree(tmp_path, parts=("B",), train=18, test=1)))
    for name, value in (("PICTURES", 16), ("CROP", 48), ("_material", cache(loading._Material))):
        monkeypatch.setattr(loading, name, value)
    loading.gate.cache_clear()
    yield
    loading.gate.cache_clear()


def test_loading_compares_the_same_crops(street: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = [case for case in loading.cases() if case.name == "loading_cpu"]
    result = measure(replace(case, repeats=dict.fromkeys(case.implementations, 1)), parse([]), {})
    assert all(row["pictures_per_second"] > 0 for row in result["rows"])
    loading.gate.cache_clear()
    monkeypatch.setattr(loading, "preprocess", lambda image, size, preset: image.float())
    with pytest.raises(AssertionError, match="not close"):
        case.gate()
