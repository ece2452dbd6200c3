"""Who a run is: what decides its result changes its identity, and nothing else does."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from dotally.data import SyntheticCrowd
from dotally.experiment import Run, Table, Tolerance, Value, source
from dotally.experiment.identity import deciding_modules, differences, digest, resolved_spec, run_key
from dotally.experiment.source import code_hash
from dotally.tasks import CountingTask

Made = Callable[..., object]


def network(table: Table) -> Run:
    cell = table.cells[1]
    assert isinstance(cell, Run)
    return cell


def test_a_specification_holds_the_defaults_too(table: Table) -> None:
    spec = resolved_spec(network(table))
    assert spec["task"]["arguments"]["momentum"] == 0.95
    assert spec["data"]["arguments"]["flip"] == 0.5
    assert json.loads(json.dumps(spec)) == spec


@pytest.mark.parametrize(
    "change",
    [
        lambda run, task, crowd: replace(run, task=partial(task, lr=2e-3)),
        lambda run, task, crowd: replace(run, task=partial(task, model_kwargs={"width": 1 / 32, "batch_norm": True})),
        lambda run, task, crowd: replace(run, data=partial(crowd, crop=32)),
        lambda run, task, crowd: replace(run, data=partial(crowd, sigma=5.0)),
        lambda run, task, crowd: replace(run, max_epochs=4),
        lambda run, task, crowd: replace(run, monitor="val/rmse"),
        lambda run, task, crowd: replace(run, protocol="test-best"),
        lambda run, task, crowd: replace(run, trainer={"precision": "bf16-mixed"}),
        lambda run, task, crowd: replace(run, weights="some.h5"),
    ],
)
def test_what_decides_the_result_decides_the_identity(
    change: Callable[[Run, Made, Made], Run], table: Table, task: Made, crowd: Made
) -> None:
    run = network(table)
    assert resolved_spec(change(run, task, crowd)) != resolved_spec(run)


@pytest.mark.parametrize(
    "change",
    [
        lambda run, task, crowd: replace(run, row="renamed"),
        lambda run, task, crowd: replace(run, note="a remark"),
        lambda run, task, crowd: replace(run, paper={"mae": Value(value=1.0, source="s")}),
        lambda run, task, crowd: replace(run, tolerance=Tolerance(match=0.5)),
        lambda run, task, crowd: replace(run, data=partial(crowd, num_workers=4, pin_memory=True)),
        lambda run, task, crowd: replace(run, data=partial(crowd, folder="elsewhere", data_root="there")),
        lambda run, task, crowd: replace(run, task=partial(task, lr=1e-3)),
    ],
)
def test_what_does_not_decide_it_does_not(
    change: Callable[[Run, Made, Made], Run], table: Table, task: Made, crowd: Made
) -> None:
    run = network(table)
    assert resolved_spec(change(run, task, crowd)) == resolved_spec(run)


def test_a_default_spelled_out_is_the_same_run() -> None:
    def spec(**arguments: object) -> dict[str, object]:
        data = partial(SyntheticCrowd, **arguments)
        return resolved_spec(Run(row="r", column="c", task=CountingTask, data=data, max_epochs=1))

    assert spec() == spec(flip=0.5, pictures=160)


def test_seed_and_data_are_part_of_the_key() -> None:
    keys = {run_key({"lr": 1.0}, data, seed) for data in ("a", "b") for seed in (0, 1)}
    assert len(keys) == 4
    assert run_key({"lr": 1.0, "a": 2}, "a", 0) == run_key({"a": 2, "lr": 1.0}, "a", 0)


def test_a_digest_is_the_same_in_every_process() -> None:
    """SHA-256 of ``{"a": [1, 2.5, null]}`` as sha256sum computes it."""
    assert digest({"a": [1, 2.5, None]}) == "bc7cd15a1be47b7c7a9a956f8790a28fc638859192d5fc425998898f48e7e070"


def test_changes_are_named_as_a_person_would() -> None:
    old = {"task": {"arguments": {"lr": 1e-5, "model": "csrnet"}}, "max_epochs": 3}
    new = {"task": {"arguments": {"lr": 1e-6, "model": "csrnet", "loss": "l1"}}, "max_epochs": 3}
    assert differences(old, new) == ["task.arguments.lr: 1e-05 -> 1e-06", "task.arguments.loss: None -> l1"]
    assert differences(old, old) == []


def test_a_comment_makes_nothing_stale_and_another_constant_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "module.py"
    monkeypatch.setattr(source, "_path", lambda name: path if name == "dotally.made_up" else None)

    def hashed(text: str) -> str:
        path.write_text(text)
        for cached in (source._imports, source._tree, source._meaning):
            cached.cache_clear()
        return code_hash(["dotally.made_up"])

    plain = hashed('"""Words."""\nX = 1\n')
    assert hashed('"""Other words."""\n# a remark\nX   =  1\n') == plain
    assert hashed('"""Words."""\nX = 2\n') != plain


def test_a_name_that_a_package_imports_when_asked_is_followed_to_where_it_is_defined() -> None:
    assert source._definer("dotally.metrics", "GAME") == "dotally.metrics.game"
    assert source._definer("dotally.models", "CSRNet") == "dotally.models.csrnet"


def test_the_code_of_a_cell_is_its_task_network_and_data(table: Table) -> None:
    modules = deciding_modules(network(table))
    assert modules == ["dotally.data.synthetic_crowd", "dotally.tasks.counting", "dotally.models.csrnet"]
    assert code_hash(modules) != code_hash(modules[:1])
