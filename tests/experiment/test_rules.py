"""Rules of a number in words, from the specification of its run."""

from functools import partial

import pytest

from dotally.data import UCFCC50, ShanghaiTech
from dotally.experiment import Run, Trivial
from dotally.experiment.identity import resolved_spec
from dotally.experiment.rules import choice, release, resizing
from dotally.tasks import CountingTask

mcnn = partial(CountingTask, model="mcnn", preprocessing="mcnn", model_kwargs={"width": 0.25})


def told(data: partial[object], **more: object) -> tuple[str, str, str]:
    spec = resolved_spec(Run(**{"row": "r", "column": "c", "task": mcnn, "data": data, "max_epochs": 3, **more}))
    return choice(spec), release(spec), resizing(spec)


@pytest.mark.parametrize(
    ("data", "more", "expected"),
    [
        (
            partial(ShanghaiTech, longest_side=512),
            {},
            ("best of 3 epochs on validation", "either, heads outside dropped", "longest side 512, multiples of 4"),
        ),
        (
            partial(ShanghaiTech, outside="clip"),
            {"protocol": "test-best"},
            ("best of 3 epochs on test", "as on disk", "multiples of 4"),
        ),
        (
            partial(UCFCC50, 1, resize="c3"),
            {"max_epochs": 0, "protocol": "unknown"},
            ("published, rule unknown", "", "c3, multiples of 4"),
        ),
    ],
)
def test_a_run_says_its_rules(data: partial[object], more: dict[str, object], expected: tuple[str, str, str]) -> None:
    assert told(data, **more) == expected


def test_a_trivial_row_has_no_checkpoint() -> None:
    spec = resolved_spec(Trivial(row="mean", column="A", kind="mean", data=ShanghaiTech))
    assert (choice(spec), resizing(spec)) == ("", "none")
