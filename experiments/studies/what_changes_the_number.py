"""What changes a counting error: one choice at a time, with the same weights on the same pictures of ShanghaiTech.

    python experiments/studies/what_changes_the_number.py                      # whatever is not measured yet
    python experiments/studies/what_changes_the_number.py --only 'slim-B/*'    # one network
    python experiments/studies/what_changes_the_number.py --again 'mcnn-A/mirrored'
    dotally verify --write                                                     # docs/what_changes_the_number.md

Test pictures are read with published weights alone, among which nothing is chosen; a network of ours is measured on its
validation pictures. Every count goes to the JSON beside this file, from which the page follows.

Data: ShanghaiTech. ``mcnn-*`` needs ``weights_mcnn/mcnn_shtechA_660.h5`` and ``mcnn_shtechB_110.h5`` below the data
root, ``slim-B`` the folder of a run of ``csrnet-slim.B`` of ``csrnet_table5_shanghaitech.py`` (``--run``). Heads of the
older release are read from ``final_release_out_of_image_points_test.txt`` beside the parts, a line a head: part, split,
picture, x, y, width, height.

Hours: about a quarter of an hour of one core for all of it, a minute for ``slim-B``.
"""

import argparse
import fnmatch
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Literal, cast

import alterations as alter
import torch
from alterations import Answer, Truth

from dotally.data import ShanghaiTech
from dotally.data.collate import collate
from dotally.data.crowd_dataset import CrowdDataset, Record
from dotally.data.sample import CrowdSample
from dotally.data.shanghaitech_files import Part
from dotally.data.transforms import mirror
from dotally.errors import DataError, DotallyError
from dotally.experiment.changes import RESULTS, Change, Study, read_studies, write_studies
from dotally.experiment.environment import ROOT, environment
from dotally.experiment.job import Options, find_weights
from dotally.experiment.publish import committed
from dotally.experiment.results import read_predictions
from dotally.models.weights import load_into, read_weights
from dotally.tasks import CountingTask
from dotally.training.kinds import COUNTING

MCNN_FILES: dict[Part, str] = {"A": "mcnn_shtechA_660.h5", "B": "mcnn_shtechB_110.h5"}
TABLE = "csrnet_table5_shanghaitech"
MIRRORED = Answer(group="averaging", what="mean with the mirrored picture", picture=lambda r, s: mirror(s), mean=True)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network, pictures, and what is changed."""

    network: str
    pictures: str
    data: ShanghaiTech
    split: Literal["val", "test"]
    load: Callable[[], CountingTask]
    changes: dict[str, Answer | Truth]
    known: Path | None = None  # committed counts with nothing changed

    @cached_property
    def dataset(self) -> CrowdDataset:
        """The pictures."""
        return self.data.dataset(self.split)

    def samples(self) -> Iterator[tuple[Record, CrowdSample]]:
        """Yield every picture."""
        return ((record, self.dataset.load(index)) for index, record in enumerate(self.dataset.records))

    def counts(self, answer: Answer, usual: Sequence[float] = ()) -> Iterator[float]:
        """Yield another count of every picture."""
        task = answer.task(self.load())
        for index, (record, sample) in enumerate(self.samples()):
            if usual and answer.usual(sample):
                yield usual[index]
                continue
            batch = collate([answer.picture(record, sample)], self.data.stride)
            with torch.inference_mode():
                found = answer.count(task, self.data.on_after_batch_transfer(batch, 0))
            yield (found + usual[index]) / 2 if answer.mean else found


def mcnn(part: Part) -> Subject:
    """Return the published weights of MCNN on the test pictures of their part."""
    sigma = "adaptive heads" if part == "A" else "heads of sigma 15"
    truths: dict[str, Answer | Truth] = {
        "older-release": Truth(
            group="release", what="heads outside the pictures too", heads=partial(alter.of_older, part)
        ),
        "once-a-pixel": Truth(group="truth", what="heads in one pixel count once", heads=alter.once_a_pixel),
        "map": Truth(
            group="truth",
            what=f"sum of the density map, {sigma}, border loses",
            heads=partial(alter.mass, None if part == "A" else 15.0),
        ),
        "map-4": Truth(group="truth", what="sum of the density map, heads of sigma 4", heads=partial(alter.mass, 4.0)),
    }
    if part == "A":
        truths |= {
            "map-15": Truth(
                group="truth", what="sum of the density map, heads of sigma 15", heads=partial(alter.mass, 15.0)
            ),
            "map-published": Truth(
                group="truth", what="sum of the published code's target", heads=alter.published_target
            ),
            "twinless": Truth(
                group="pictures", what="without the test pictures train has twins of", heads=alter.twinless
            ),
            "multiples-16": alter.to_multiples(16),
            "cut": Answer(
                group="resize rule",
                what="sides cut to multiples of 4, not resized",
                picture=alter.cut,
                usual=lambda sample: sample.size[0] % 4 == sample.size[1] % 4 == 0,
            ),
            "multiples-8": alter.to_multiples(8),
            "multiples-32": alter.to_multiples(32),
            "side-768": alter.shrunk(768),
        }
    return Subject(
        network="MCNN, published weights",
        pictures=f"ShanghaiTech {part}, test",
        data=ShanghaiTech(part, stride=4),
        split="test",
        load=cache(partial(load_mcnn, part)),
        known=committed(TABLE) / f"mcnn-published.{part}" / "seed0" / "predictions.csv",
        changes={
            **truths,
            "side-512": alter.shrunk(512),
            "grey-by-jpeg": Answer(
                group="decoding",
                what="grey from the JPEG decoder, as OpenCV has it",
                picture=partial(alter.decoded, "L"),
            ),
            "mirrored": MIRRORED,
        },
    )


def load_mcnn(part: Part) -> CountingTask:
    """Return MCNN with its published weights."""
    task = CountingTask("mcnn", preprocessing="mcnn").eval()
    load_into(task.model, read_weights(find_weights(f"weights_mcnn/{MCNN_FILES[part]}", Options())).state)
    return task


def slim(run: str) -> Subject:
    """Return a trained run of ``csrnet-slim.B`` on its validation pictures."""

    def load(name: str) -> CountingTask:
        folders = sorted(Path().glob(run)) if not Path(run).is_absolute() else [Path(run)]
        if not folders:
            raise DataError(f"no run {run}: train it with experiments/{TABLE}.py --only csrnet-slim.B, or name it")
        return cast(CountingTask, COUNTING.load(str(folders[0] / "checkpoints" / f"{name}.ckpt")).eval())

    return Subject(
        network="CSRNet at an eighth of its width, trained by us (seed 0)",
        pictures="ShanghaiTech B, validation",
        data=ShanghaiTech("B", longest_side=512, sigma=8.0),
        split="val",
        load=cache(partial(load, "best")),
        changes={
            "last": Answer(group="checkpoint", what="the last epoch's", task=lambda task: load("last")),
            "float32": Answer(group="sum", what="in float32, not float64", count=alter.in_float32),
            "batch-norm": Answer(
                group="batch norm", what="statistics of each picture, not of the training", task=alter.batch_statistics
            ),
            "mirrored": MIRRORED,
            "grey": Answer(group="colour", what="grey pictures", picture=alter.grey),
            "draft": Answer(group="decoding", what="halved by the JPEG decoder", picture=partial(alter.decoded, "RGB")),
            "plain": Answer(
                group="resize rule", what="shrunk without smoothing, as OpenCV does", picture=alter.unsmoothed
            ),
            "whole": Answer(group="resize rule", what="not shrunk at all, unlike in training", picture=alter.whole),
            "jpeg-75": Answer(
                group="encoding", what="JPEG again, quality 75", picture=partial(alter.encoded_again, 75)
            ),
            "jpeg-30": Answer(
                group="encoding", what="JPEG again, quality 30", picture=partial(alter.encoded_again, 30)
            ),
        },
    )


def begun(name: str, subject: Subject) -> Study:
    """Count every picture with nothing changed, unless that is committed already."""
    if subject.known is None:
        predicted = list(subject.counts(Answer(group="", what="")))
        rows = [(record.name, float(len(sample.points))) for record, sample in subject.samples()]
    else:
        found = {p.name: p for p in read_predictions(subject.known)}
        rows = [(record.name, float(found[record.name].true)) for record in subject.dataset.records]
        predicted = [found[picture].predicted for picture, _ in rows]
    names, true = (list(column) for column in zip(*rows, strict=True))
    return Study(
        name=name, network=subject.network, pictures=subject.pictures, names=names, true=true, predicted=predicted
    )


def measured(changes: Mapping[str, Answer | Truth], subject: Subject, study: Study) -> Iterator[Change]:
    """Measure changes: all truths in one go over the pictures, then one answer after the other."""
    truths = {name: change for name, change in changes.items() if isinstance(change, Truth)}
    rows = [[truth.heads(*item) for truth in truths.values()] for item in subject.samples()] if truths else []
    for index, (name, truth) in enumerate(truths.items()):
        yield Change(name=name, group=truth.group, what=truth.what, true=[row[index] for row in rows])
    for name, change in changes.items():
        if isinstance(change, Answer):
            predicted = list(subject.counts(change, study.predicted))
            yield Change(name=name, group=change.group, what=change.what, predicted=predicted)


def main() -> int:
    """Measure what is asked for and not there yet; what is finished is kept at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="network/change")
    parser.add_argument("--again", nargs="+", default=[], metavar="PATTERN", help="measure these anew")
    parser.add_argument("--run", default=f"runs/{TABLE}/csrnet-slim.B/seed0-*", help="folder of the trained network")
    asked = parser.parse_args()
    try:
        measure([*(asked.only or []), *asked.again] or ["*"], asked.again, asked.run)
    except DotallyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(only: Sequence[str], again: Sequence[str], run: str) -> None:
    """Measure the changes that match a pattern, and keep each as soon as it is there."""
    file = ROOT / RESULTS
    studies = {study.name: study for study in (read_studies(file)[0] if file.is_file() else [])}
    subjects = {"slim-B": slim(run), "mcnn-A": mcnn("A"), "mcnn-B": mcnn("B")}
    for name, subject in subjects.items():
        there = {made.name for made in studies[name].changes} if name in studies else set()
        wanted = {c: change for c, change in subject.changes.items() if matches(name, c, only)}
        todo = {c: change for c, change in wanted.items() if c not in there or matches(name, c, again)}
        if todo and name not in studies:
            studies[name] = begun(name, subject)
        for made in measured(todo, subject, studies[name]) if todo else ():
            kept = {known.name: known for known in studies[name].changes} | {made.name: made}
            studies[name].changes = [kept[other] for other in subject.changes if other in kept]
            write_studies(file, [studies[known] for known in subjects if known in studies], environment())
            print(f"{name}/{made.name}: {made.group}, {made.what}", flush=True)


def matches(name: str, change: str, patterns: Sequence[str]) -> bool:
    """Tell whether one of the patterns means a change."""
    return any(fnmatch.fnmatch(f"{name}/{change}", pattern) for pattern in patterns)


if __name__ == "__main__":
    sys.exit(main())
