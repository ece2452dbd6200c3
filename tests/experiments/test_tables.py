"""Every table script is executed: one batch of every run on fabricated data, so that no experiment can rot."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from dotally.data import synthetic_shapes
from dotally.errors import DataError, WeightsError
from dotally.experiment import Cell, Literature, Localization, Run, Table, Value
from dotally.experiment.execute import Options, execute, fast_dev_run, plan
from dotally.experiment.identity import resolved_spec
from dotally.experiment.localization import rows_of
from dotally.experiment.report import report
from dotally.models import build_model
from dotally.tasks import counting

# loaded by path, because in importlib mode test modules cannot import each other
BOXES = runpy.run_path(str(Path(__file__).with_name("fabricated_boxes.py")))
CROWDS = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))
SCRIPTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.py"))


def table_of(script: Path) -> Table:
    table = runpy.run_path(str(script), run_name="table")["TABLE"]
    assert isinstance(table, Table)
    return table


TABLES = {script.stem: table_of(script) for script in SCRIPTS}
# millions of weights to draw, and many layers to come down
LARGE = {"vgg16.imagenet", "googlenet.imagenet"}
# two thousand frames to look at, and SSIM of a large one
LONG = {("csrnet_table9_ucsd", "mean.UCSD"), ("csrnet_table9_ucsd", "ridge.UCSD")}
LONG |= {("csrnet_table6_map_quality", "csrnet.UCSD")}


def covering(table: Table) -> set[str]:
    """Return cells that hold every row and every column at least once: a network's first set, a set's first network."""
    rows, columns = ({getattr(cell, kind): cell for cell in reversed(table.runnable())} for kind in ("row", "column"))
    return {cell.cell for cell in (*rows.values(), *columns.values())}


def is_quick(name: str, cell: Cell) -> bool:
    """Tell whether a cell is tried in every test run; of the large new tables, all rows and all columns are."""
    many = len(TABLES[name].runnable()) > 20 and name not in ("annotation_noise", "csrnet_table5_shanghaitech")
    # whose layers are slow on whole pictures without a GPU; each is tried on a small one below
    tried_below = name == "gaunet_ablations" and isinstance(cell, Run)
    # the same run but for who chooses the epoch; one table's are enough
    twin = cell.row.endswith("-test-best") and name != "csrnet_table10_trancos"
    excused = cell.cell in LARGE or (name, cell.cell) in LONG or tried_below or twin
    return not excused and (not many or cell.cell in covering(TABLES[name]))


CELLS = [
    pytest.param(name, cell.cell, marks=[] if is_quick(name, cell) else [pytest.mark.slow])
    for name, table in TABLES.items()
    for cell in table.runnable()
]


@pytest.fixture(scope="session")
def fabricated_root(
    tmp_path_factory: pytest.TempPathFactory,
    shanghaitech_tree: Callable[..., Path],
    write_mcnn_h5: Callable[..., None],
) -> Path:
    """A data root with tiny copies of every set, and weights files of the published form."""
    root = tmp_path_factory.mktemp("root")
    shanghaitech_tree(root / "shanghaitech", train=10)
    (root / "weights_mcnn").mkdir()
    for name in ("mcnn_shtechA_660.h5", "mcnn_shtechB_110.h5"):
        write_mcnn_h5(root / "weights_mcnn" / name, build_model("mcnn"))
    BOXES["tiny_imagenet_tree"](root / "tiny-imagenet-200")
    BOXES["imagenet_tree"](root / "ILSVRC2012")
    BOXES["own_boxes_tree"](root / "own_boxes")
    for name in ("ucf_cc_50", "ucf_qnrf", "jhu_crowd", "trancos", "ucsd", "world_expo"):
        CROWDS[f"{name}_tree"](root / name)
    for cell in TABLES["stnet_imagenet"].runnable():
        assert isinstance(cell, Localization)
        with torch.device("meta"):
            network = cell.task().model
        BOXES["write_weights"](root / str(cell.weights), network)
    return root


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_named_after_its_table_and_says_how_to_run_it(script: Path) -> None:
    assert TABLES[script.stem].id == script.stem
    assert f"python experiments/{script.name}" in script.read_text()


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.id)
def test_every_printed_number_names_its_source_and_a_shown_figure(table: Table) -> None:
    for row in [row for cell in table.cells for row in rows_of(cell)]:
        for name, value in row.paper.items():
            assert value.source
            assert name in table.metrics


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_says_what_it_takes_before_it_is_run(script: Path) -> None:
    said = (runpy.run_path(str(script), run_name="table")["__doc__"] or "").lower()
    assert any(unit in said for unit in ("hour", "minute")) or script.stem == "own_boxes"


def test_mcnns_two_printed_errors_stand_beside_each_other_in_both_tables() -> None:
    for name in ("csrnet_table1_mcnn", "csrnet_table5_shanghaitech"):
        values = [
            cell.paper["rmse"] for cell in TABLES[name].cells if cell.row.lower() == "mcnn" and cell.column == "A"
        ]
        assert {one.value for value in values for one in (value, *value.also)} == {173.2, 185.9}


def test_what_the_release_of_stnet_left_empty_was_not_found() -> None:
    rows = [row for cell in TABLES["stnet_imagenet"].cells for row in rows_of(cell)]
    empty = {row.row for row in rows if any(value.value is None for value in row.paper.values())}
    assert empty == {f"{network}{of}" for network in ("vgg16", "googlenet") for of in ("", "/stnet-inner")}


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.id)
def test_every_printed_number_of_a_localization_is_of_one_of_its_rows(table: Table) -> None:
    for cell in table.cells:
        shown = {name for row in rows_of(cell) for name in row.paper}
        assert {name.rpartition("/")[2] for name in cell.paper} == shown


def narrowed(name: str, **arguments: Any) -> nn.Module:
    """Build a counting network with few channels, whatever its width: that it is wired is all one batch can show."""
    return build_model(name, **{**arguments, "width": min(arguments.get("width", 1), 1 / 16)})


def snow(scene: object) -> Image.Image:
    return Image.effect_noise((256, 192), 60).convert("RGB")


@pytest.mark.parametrize(("table", "name"), CELLS)
def test_one_batch_of_everything_goes_through(
    table: str, name: str, fabricated_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = next(cell for cell in TABLES[table].runnable() if cell.cell == name)
    fetched: list[Any] = []
    narrow = isinstance(cell, Run) and not cell.weights
    monkeypatch.setattr(counting, "build_model", narrowed if narrow else build_model)
    # ImageNet weights come over the network: that they are asked for is all that can be seen here
    monkeypatch.setattr(counting, "load_imagenet_frontend", lambda model, source: fetched.append(source))
    painted = synthetic_shapes._painted
    # one batch needs no thousands
    few = lambda seed, split, number: painted(seed, split, min(number, 32))  # noqa: E731
    monkeypatch.setattr(synthetic_shapes, "_painted", few)
    # nor painted people, of whom a thousand pictures take minutes
    monkeypatch.setattr("dotally.data.synthetic.write.render", snow)
    monkeypatch.chdir(fabricated_root)  # so that each crowd is drawn once
    fast_dev_run(cell, Options(data_root=str(fabricated_root), accelerator="cpu", progress=False))
    wanted = isinstance(cell, Run) and resolved_spec(cell)["task"]["arguments"].get("imagenet")
    assert fetched == (["imagenet"] if wanted else [])


@pytest.mark.parametrize("row", sorted({cell.row for cell in TABLES["gaunet_ablations"].runnable()} - {"ridge"}))
def test_every_ablation_learns_something_from_a_small_picture(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = next(cell for cell in TABLES["gaunet_ablations"].runnable() if cell.row == row)
    assert isinstance(cell, Run)
    monkeypatch.setattr(counting, "build_model", narrowed)
    task = cell.task()
    task(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.tensor([[32, 32]])).sum().backward()  # type: ignore[arg-type]
    assert any(weight.grad is not None for weight in task.parameters())


def test_literature_is_never_run() -> None:
    table = TABLES["csrnet_table5_shanghaitech"]
    assert any(isinstance(cell, Literature) for cell in table.cells)
    assert not any(isinstance(cell, Literature) for cell in table.runnable())


@pytest.mark.real
@pytest.mark.parametrize("name", ["csrnet_table4_backends", "csrnet_table5_shanghaitech"])
def test_every_run_takes_a_real_batch(name: str, data_root: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "load_imagenet_frontend", lambda model, source: None)
    options = Options(data_root=":".join(map(str, data_root)), accelerator="cpu", progress=False)
    runs = [cell for cell in TABLES[name].runnable() if isinstance(cell, Run)]  # trivial predictors read whole sets
    missing = [reason for reason in (_not_at_hand(cell, options) for cell in runs) if reason]
    if runs and len(missing) == len(runs):
        pytest.skip(missing[0])


def _not_at_hand(cell: Run, options: Options) -> str | None:
    """Take one batch of a run, or say which data or weights are missing."""
    try:
        fast_dev_run(cell, options)
    except (DataError, WeightsError) as error:
        return str(error)
    return None


def test_published_weights_are_judged_on_a_whole_fabricated_ilsvrc(fabricated_root: Path, tmp_path: Path) -> None:
    table = TABLES["stnet_imagenet"]
    cell = next(cell for cell in table.runnable() if cell.row == "alexnet")
    options = Options(data_root=str(fabricated_root), runs=tmp_path, accelerator="cpu", progress=False)
    result = execute(plan(table.id, cell, 0, options), options)
    assert result.facts["pictures"] == 4
    assert result.facts["thresholds"] == {}
    assert result.facts["parameters"] == 61_100_840
    rows = {found.cell.row: found for found in report(table, [result], (0,))}
    assert rows["alexnet"].figures["label_accuracy"].paper == Value(
        value=55.64, source="README of the published STNet code"
    )
    assert rows["alexnet/stnet"].figures["gt_known_50"].paper is not None
    assert all(0 <= value <= 100 for value in result.metrics.values())
