"""Every table script is executed: one batch of every run on fabricated data, so that no experiment can rot."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dotally.errors import DotallyError
from dotally.experiment import Literature, Run, Table
from dotally.experiment.execute import Options, fast_dev_run
from dotally.experiment.identity import resolved_spec
from dotally.models import build_model
from dotally.tasks import counting

SCRIPTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.py"))


def table_of(script: Path) -> Table:
    table = runpy.run_path(str(script), run_name="table")["TABLE"]
    assert isinstance(table, Table)
    return table


TABLES = {script.stem: table_of(script) for script in SCRIPTS}
CELLS = [(name, cell.cell) for name, table in TABLES.items() for cell in table.runnable()]


@pytest.fixture(scope="session")
def fabricated_root(
    tmp_path_factory: pytest.TempPathFactory,
    shanghaitech_tree: Callable[..., Path],
    write_mcnn_h5: Callable[..., None],
) -> Path:
    """A data root with a tiny ShanghaiTech and weights files of the published form."""
    root = tmp_path_factory.mktemp("root")
    shanghaitech_tree(root / "shanghaitech", train=10)
    (root / "weights_mcnn").mkdir()
    for name in ("mcnn_shtechA_660.h5", "mcnn_shtechB_110.h5"):
        write_mcnn_h5(root / "weights_mcnn" / name, build_model("mcnn"))
    return root


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_named_after_its_table_and_says_how_to_run_it(script: Path) -> None:
    assert TABLES[script.stem].id == script.stem
    assert f"python experiments/{script.name}" in script.read_text()


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.id)
def test_every_printed_number_names_its_source_and_a_shown_figure(table: Table) -> None:
    for cell in table.cells:
        for name, value in cell.paper.items():
            assert value.source
            assert name in table.metrics


@pytest.mark.parametrize(("table", "name"), CELLS)
def test_one_batch_of_everything_goes_through(
    table: str, name: str, fabricated_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = next(cell for cell in TABLES[table].runnable() if cell.cell == name)
    fetched: list[Any] = []
    # ImageNet weights come over the network: that they are asked for is all that can be seen here
    monkeypatch.setattr(counting, "load_imagenet_frontend", lambda model, source: fetched.append(source))
    monkeypatch.chdir(tmp_path)
    fast_dev_run(cell, Options(data_root=str(fabricated_root), accelerator="cpu", progress=False))
    wanted = isinstance(cell, Run) and resolved_spec(cell)["task"]["arguments"]["imagenet"]
    assert fetched == (["imagenet"] if wanted else [])


def test_literature_is_never_run() -> None:
    table = TABLES["csrnet_table5_shanghaitech"]
    assert any(isinstance(cell, Literature) for cell in table.cells)
    assert not any(isinstance(cell, Literature) for cell in table.runnable())


@pytest.mark.real
@pytest.mark.parametrize("name", ["csrnet_table4_backends", "csrnet_table5_shanghaitech"])
def test_every_run_takes_a_real_batch(name: str, data_root: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "load_imagenet_frontend", lambda model, source: None)
    options = Options(data_root=":".join(map(str, data_root)), accelerator="cpu", progress=False)
    for cell in TABLES[name].runnable():
        if not isinstance(cell, Run):
            continue  # trivial predictors read the whole set; they are run on the fabricated one
        try:
            fast_dev_run(cell, options)
        except DotallyError as error:
            pytest.skip(str(error))
