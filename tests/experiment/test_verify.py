"""``dotally verify`` on a fabricated checkout: what is in order passes, every kind of tampering is named."""

import argparse
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dotally.callbacks import Prediction
from dotally.errors import DotallyError
from dotally.experiment import Literature, Run, Table, Trivial, verify
from dotally.experiment.identity import deciding_modules, resolved_spec, run_key
from dotally.experiment.results import Result, recompute, write_predictions
from dotally.experiment.source import code_hash

SCRIPT = """
from functools import partial
from dotally.data import SyntheticCrowd
from dotally.experiment import Run, Table, Trivial, Value
from dotally.tasks import CountingTask

task = partial(CountingTask, model_kwargs={"width": 1 / 64, "batch_norm": True})
TABLE = Table(id="tiny", title="A tiny table", source="test", seeds=(0, 1), cells=[
    Trivial(row="mean", column="crowd", kind="mean", data=SyntheticCrowd),
    Run(row="net", column="crowd", task=task, data=SyntheticCrowd, max_epochs=3,
        paper={"mae": Value(value=2.0, source="nowhere")})])
"""


def write_result(folder: Path, table: Table, cell: Run | Trivial, seed: int) -> None:
    """Commit a result that is in order, of made-up predictions."""
    predictions = [Prediction(f"{i}.jpg", 10 * i, 10 * i + (-1) ** i * (1.5 + seed + i / 7)) for i in range(1, 6)]
    spec = resolved_spec(cell)
    result = Result(
        table=table.id,
        row=cell.row,
        column=cell.column,
        seed=seed,
        key=run_key(spec, "data", seed),
        spec=spec,
        data="data",
        code=code_hash(deciding_modules(cell)),
        metrics=recompute(predictions) | {"game1": 9.9},
        facts={"pictures": 5},
    )
    place = folder / cell.cell / f"seed{seed}"
    result.write(place / "run.json")
    write_predictions(place / "predictions.csv", predictions)
    if isinstance(cell, Run):
        (place / "metrics.csv").write_text("epoch\n0\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one table, its results, and a README that shows it."""
    root = tmp_path / "checkout"
    (root / "experiments").mkdir(parents=True)
    (root / "experiments" / "tiny.py").write_text(textwrap.dedent(SCRIPT))
    table = verify.load_tables(root / "experiments", verify.Findings())["tiny"]
    for cell in table.cells:
        assert not isinstance(cell, Literature)
        for seed in (0, 1) if isinstance(cell, Run) else (0,):
            write_result(root / "experiments/results/tiny", table, cell, seed)
    (root / "README.md").write_text("# Tiny\n\n<!-- table:tiny -->\n<!-- /table:tiny -->\n\nMore.\n")
    assert verify.verify(root, write=True).written == ["README.md"]
    return root


def test_a_page_tells_the_distance_from_every_paper(checkout: Path) -> None:
    page = checkout / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("<!-- table:distance -->\n<!-- /table:distance -->\n")
    assert verify.verify(checkout, write=True).written == ["docs/page.md"]
    assert "| tiny | net.crowd | MAE | 2.0 | 2.4 ± 0.7 | +21.4 % | off | 2 | val |" in page.read_text()
    assert "| tiny | test | 1 | 0 |" in page.read_text()
    page.write_text(page.read_text().replace("off", "match"))
    assert any("docs/page.md: the table distance" in line for line in verify.verify(checkout).differences)


def seed0(root: Path, cell: str = "net.crowd") -> Path:
    return root / "experiments/results/tiny" / cell / "seed0"


def edit(path: Path, **changes: Any) -> None:
    replace(Result.read(path), **changes).write(path)


def test_what_is_in_order_passes(checkout: Path) -> None:
    found = verify.verify(checkout)
    assert (found.differences, found.warnings) == ([], [])
    assert (found.results, found.blocks) == (3, 1)


def test_the_block_shows_the_table_and_the_rest_stays(checkout: Path) -> None:
    text = (checkout / "README.md").read_text()
    assert text.startswith("# Tiny\n\n<!-- table:tiny -->\n**A tiny table** (test)\n")
    assert "| net | 2.0 | 2.4 ± 0.7 | +21.4 % | off |" in text
    assert text.endswith("<!-- /table:tiny -->\n\nMore.\n")


def test_three_committed_seeds_show_their_mean_and_spread(checkout: Path) -> None:
    script = checkout / "experiments/tiny.py"
    script.write_text(script.read_text().replace("seeds=(0, 1)", "seeds=(0, 1, 2)"))
    assert verify.verify(checkout, write=True).differences == []
    assert "| 2.4 ± 0.7 | +21.4 % | incomplete |" in (checkout / "README.md").read_text()
    assert "| 2 of 3 |" in (checkout / "README.md").read_text()
    table = verify.load_tables(checkout / "experiments", verify.Findings())["tiny"]
    net = table.cells[1]
    assert isinstance(net, Run)
    write_result(checkout / "experiments/results/tiny", table, net, 2)
    found = verify.verify(checkout, write=True)
    assert (found.results, found.differences, found.written) == (4, [], ["README.md"])
    # errors of +-(1.5 + seed + i / 7), i = 1 .. 5: their mean is 27 / 14 + seed, its spread over seeds 1
    (line,) = [line for line in (checkout / "README.md").read_text().splitlines() if line.startswith("| net ")]
    assert line.startswith("| net | 2.0 | 2.9 ± 1.0 | +46.4 % | off |")
    assert line.endswith("| 3 | val |")
    (mean,) = [line for line in (checkout / "README.md").read_text().splitlines() if line.startswith("| mean ")]
    assert "±" not in mean
    assert verify.verify(checkout).differences == []


def test_writing_again_changes_nothing(checkout: Path) -> None:
    before = (checkout / "README.md").read_bytes()
    assert verify.verify(checkout, write=True).written == []
    assert (checkout / "README.md").read_bytes() == before


def test_a_hand_edit_is_found_and_mended(checkout: Path) -> None:
    path = checkout / "README.md"
    right = path.read_text()
    path.write_text(right.replace("2.4 ±", "1.9 ±"))
    (line,) = verify.verify(checkout).differences
    assert line.startswith("README.md: the table tiny is not what its results render to: `dotally verify --write`")
    assert verify.verify(checkout, write=True).differences == []
    assert path.read_text() == right


def tamper_metric(root: Path) -> None:
    path = seed0(root) / "run.json"
    edit(path, metrics=Result.read(path).metrics | {"mae": Result.read(path).metrics["mae"] * (1 + 1e-6)})


def tamper_prediction(root: Path) -> None:
    path = seed0(root) / "predictions.csv"
    path.write_text(path.read_text().replace("1.jpg,10,", "1.jpg,11,"))


def drop_picture(root: Path) -> None:
    path = seed0(root) / "predictions.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def tamper_key(root: Path) -> None:
    edit(seed0(root) / "run.json", key="0" * 64)


def tamper_seed(root: Path) -> None:
    edit(seed0(root) / "run.json", seed=7)


def truncate(root: Path) -> None:
    path = seed0(root) / "run.json"
    path.write_text(path.read_text()[:200])


def other_format(root: Path) -> None:
    edit(seed0(root) / "run.json", format=99)


def no_predictions(root: Path) -> None:
    (seed0(root) / "predictions.csv").unlink()


def no_curve(root: Path) -> None:
    (seed0(root) / "metrics.csv").unlink()


def other_data(root: Path) -> None:
    path = seed0(root) / "run.json"
    edit(path, data="other", key=run_key(Result.read(path).spec, "other", 0))


def no_cell(root: Path) -> None:
    script = root / "experiments/tiny.py"
    script.write_text(script.read_text().replace('"mean", column', '"average", column'))


def other_spec(root: Path) -> None:
    script = root / "experiments/tiny.py"
    script.write_text(script.read_text().replace("max_epochs=3", "max_epochs=4"))


def no_script(root: Path) -> None:
    (root / "experiments/tiny.py").unlink()


def broken_script(root: Path) -> None:
    (root / "experiments/other.py").write_text("import nothing_of_this_name")


def never_closed(root: Path) -> None:
    (root / "docs").mkdir()
    (root / "docs/page.md").write_text("<!-- table:tiny -->\n")


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (tamper_metric, "net.crowd/seed0: mae is "),
        (tamper_prediction, "net.crowd/seed0: mae is "),
        (drop_picture, "net.crowd/seed0: predictions.csv has 4 pictures, not 5"),
        (tamper_key, "net.crowd/seed0: its key is not the hash"),
        (tamper_seed, "net.crowd/seed0: it says it is tiny/net.crowd/seed7"),
        (truncate, "experiments/results/tiny/net.crowd/seed0/run.json: not a complete result"),
        (other_format, "net.crowd/seed0/run.json: written in format 99"),
        (no_predictions, "net.crowd/seed0: predictions.csv: No such file"),
        (no_curve, "net.crowd/seed0: metrics.csv is missing"),
        (other_data, "tiny/net.crowd: its seeds were run on different data"),
        (no_cell, "mean.crowd/seed0: no cell of the table is called mean.crowd"),
        (other_spec, "net.crowd/seed0: its specification is not the script's any more"),
        (no_script, "experiments/results/tiny: no script of experiments/ has a table of this name"),
        (broken_script, "other.py: cannot be imported: ModuleNotFoundError"),
        (never_closed, "docs/page.md: <!-- table:tiny --> is never closed"),
    ],
)
def test_whatever_does_not_follow_is_named(tamper: Callable[[Path], None], words: str, checkout: Path) -> None:
    tamper(checkout)
    assert words in "\n".join(verify.verify(checkout).differences)


def test_a_table_whose_results_are_not_in_order_is_not_written(checkout: Path) -> None:
    tamper_metric(checkout)
    path = seed0(checkout) / "run.json"
    edit(path, metrics=Result.read(path).metrics | {"mae": 1.0})
    before = (checkout / "README.md").read_text()
    found = verify.verify(checkout, write=True)
    assert found.written == []
    assert (checkout / "README.md").read_text() == before
    assert "its results are not in order" in found.differences[-1]


def test_figures_that_came_later_may_be_missing_but_not_be_wrong(checkout: Path) -> None:
    path = seed0(checkout) / "run.json"
    metrics = Result.read(path).metrics
    edit(path, metrics={name: value for name, value in metrics.items() if name != "corrected_mae"})
    assert verify.verify(checkout).differences == []
    edit(path, metrics=metrics | {"corrected_mae": 1.0})
    assert "net.crowd/seed0: corrected_mae is " in verify.verify(checkout).differences[0]


def test_the_words_below_a_table_are_verified_too(checkout: Path) -> None:
    script = checkout / "experiments/tiny.py"
    words = 'contest=Contest(challenger="net", baseline="mean"), cells='
    script.write_text(script.read_text().replace("cells=", words).replace("import Run", "import Contest, Run"))
    assert verify.verify(checkout, write=True).written == ["README.md"]
    right = (checkout / "README.md").read_text()
    assert "- net.crowd: no statement against mean: incomplete, net.crowd has 2 of 3 seeds" in right
    (checkout / "README.md").write_text(right.replace("no statement against", "better than"))
    assert len(verify.verify(checkout).differences) == 1


def test_older_code_is_a_warning_and_leaves_the_block_as_it_is(checkout: Path) -> None:
    edit(seed0(checkout) / "run.json", code="older")
    found = verify.verify(checkout)
    assert found.differences == []
    assert found.warnings == [
        "experiments/results/tiny/net.crowd/seed0: stale: the code that decides it has changed since it was run"
    ]


def test_results_that_nobody_shows_are_a_warning(checkout: Path) -> None:
    (checkout / "README.md").write_text("# Tiny\n")
    found = verify.verify(checkout)
    assert found.differences == []
    assert found.warnings == ["tiny: has committed results, but no file has its block <!-- table:tiny -->"]


def test_the_command_says_what_it_found(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    verify.add_arguments(parser)
    assert verify.run(parser.parse_args(["--root", str(checkout)])) == 0
    assert capsys.readouterr().out == "results recomputed: 3, blocks compared: 1, differences: 0, warnings: 0\n"
    tamper_key(checkout)
    assert verify.run(parser.parse_args(["--root", str(checkout)])) == 1
    assert "differs: experiments/results/tiny/net.crowd/seed0: its key" in capsys.readouterr().out
    with pytest.raises(DotallyError, match="no experiments/ below"):
        verify.run(parser.parse_args(["--root", str(checkout / "nowhere")]))
