"""Localization metrics against counts by hand and definitions written down a second time, cell by cell."""

import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torchmetrics import MetricCollection

from dotally.metrics import (
    GTKnownLoc,
    LabelAccuracy,
    MaxBoxAcc,
    MaxBoxAccV2,
    PointingGame,
    Top1Loc,
    best_iou,
    box_iou,
    gt_known_loc,
    map_boxes,
    points_at,
    threshold_ious,
    top1_loc,
)
from dotally.metrics.boxes import normalise_maps

# processes of their own rather than forks: a fork of a process whose OpenMP threads have run may hang
WORKER = """
import sys, torch
from torch import distributed
folder, rank = sys.argv[1], int(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
metrics = torch.load(f"{folder}/metrics.pt", weights_only=False)
for batch in torch.load(f"{folder}/batches.pt")[rank]:
    metrics.update(**batch)
torch.save(metrics.compute(), f"{folder}/figures{rank}.pt")
distributed.destroy_process_group()
"""


def pixels(box: list[int], side: int = 24) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box[0], box[2] + 1) for y in range(box[1], box[3] + 1)}


def iou_by_counting(a: list[int], b: list[int]) -> float:
    return len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b))


def draw_boxes(number: int, seed: int, side: int = 20) -> Tensor:
    corners = torch.randint(0, side, (number, 2, 2), generator=torch.Generator().manual_seed(seed))
    return torch.cat([corners.amin(1), corners.amax(1)], dim=1).float()


def draw_maps(number: int, seed: int, side: int = 20) -> Tensor:
    """Maps in steps of a tenth with several groups of high cells."""
    smooth = torch.rand(number, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    return (10 * torch.nn.functional.interpolate(smooth, (side, side))[:, 0]).round() / 10


def groups_by_flooding(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """The 8-connected groups of (x, y), in the order in which their first cells are met."""
    left, groups = {(int(x), int(y)) for y, x in np.argwhere(mask)}, []
    for y, x in np.argwhere(mask):
        if (x, y) not in left:
            continue
        group, queue = set(), deque([(int(x), int(y))])
        left.discard((int(x), int(y)))
        while queue:
            at = queue.popleft()
            group.add(at)
            near = {(at[0] + i, at[1] + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            queue.extend(near)
        groups.append(group)
    return groups


def box_of(group: set[tuple[int, int]]) -> list[int]:
    xs, ys = zip(*group, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def boxes_by_hand(mask: np.ndarray, contours: str) -> list[list[int]]:
    groups = groups_by_flooding(mask)
    if not groups:
        return [[0, 0, 0, 0]]
    return [box_of(group) for group in (groups if contours == "all" else [max(groups, key=len)])]


def max_box_acc_by_hand(maps: Tensor, boxes: Tensor, count: Tensor, iou: float, contours: str) -> tuple[float, float]:
    """The share at the best of 100 thresholds, and the lowest such threshold."""
    best = (-1.0, 0.0)
    for tau in (k / 100 for k in range(100)):
        hits = 0
        for one, true in zip(maps.numpy(), boxes.split(count.tolist()), strict=True):
            scaled = (one - one.min()) / (one.max() - one.min())
            drawn = boxes_by_hand(scaled > np.float32(tau), contours)
            hits += max(iou_by_counting(a, b) for a in drawn for b in true.int().tolist()) >= iou
        if hits / len(maps) > best[0]:
            best = (hits / len(maps), tau)
    return best


def test_iou_counts_pixels() -> None:
    a, b = draw_boxes(200, seed=0), draw_boxes(200, seed=1)
    expected = [iou_by_counting(x, y) for x, y in zip(a.int().tolist(), b.int().tolist(), strict=True)]
    assert_close(box_iou(a, b), torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(box_iou(a, b), box_iou(b, a))
    assert torch.equal(box_iou(a, a), torch.ones(200, dtype=torch.float64))


def test_the_release_calls_it_no_overlap_unless_strictly() -> None:
    touching = torch.tensor([[0, 0, 4, 4], [4, 0, 8, 4]])
    thin = torch.tensor([3.0, 0, 3, 9])
    assert box_iou(touching[0], touching[1]).item() == pytest.approx(5 / 45)
    assert box_iou(touching[0], touching[1], compat="release").item() == 0
    assert box_iou(thin, thin).item() == 1
    assert box_iou(thin, thin, compat="release").item() == 0
    wide = torch.tensor([0.0, 0, 9, 4])
    assert box_iou(wide, touching[0], compat="release").item() == 0.5
    with pytest.raises(ValueError, match="fixed"):
        box_iou(thin, thin, compat="exact")


def test_not_a_number_is_no_overlap() -> None:
    assert box_iou(torch.tensor([0, 0, float("nan"), 4]), torch.tensor([0.0, 0, 4, 4])).item() == 0


def test_any_of_several_boxes_may_be_met() -> None:
    predicted = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 9]])
    boxes = torch.tensor([[50.0, 50, 60, 60], [0, 0, 9, 4], [0, 0, 4, 4]])
    count = torch.tensor([2, 1])
    assert best_iou(predicted, boxes, count).tolist() == [0.5, 0.25]
    assert gt_known_loc(predicted, boxes, count).tolist() == [True, False]
    assert gt_known_loc(predicted, boxes, count, iou=0.25).tolist() == [True, True]
    scores = torch.tensor([[0.1, 0.9], [0.1, 0.9]])
    label = torch.tensor([0, 1])
    assert top1_loc(predicted, boxes, count, scores=scores, label=label, iou=0.25).tolist() == [False, True]


def test_a_picture_without_a_box_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="needs an annotated box"):
        best_iou(torch.zeros(1, 4), torch.zeros(0, 4), torch.tensor([0]))
    with pytest.raises(ValueError, match="expected 1 predicted and 2 annotated"):
        best_iou(torch.zeros(1, 4), torch.zeros(1, 4), torch.tensor([2]))


def test_shares_are_counted_over_pictures_not_batches() -> None:
    known, top1, accuracy = GTKnownLoc(), Top1Loc(), LabelAccuracy()
    true = torch.tensor([[0.0, 0, 9, 9]])
    # by hand: IoU 1, 0.5, 0.3, 0; labels right, wrong, right, right
    drawn = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 4], [0, 0, 9, 2], [20, 20, 30, 30]])
    scores = torch.eye(2)[[1, 0, 1, 1]]
    for part in (slice(3), slice(3, 4)):
        number = len(drawn[part])
        batch = (drawn[part], true.repeat(number, 1), torch.ones(number, dtype=torch.int64))
        label = torch.ones(number, dtype=torch.int64)
        known.update(*batch)
        top1.update(*batch, scores[part], label)
        accuracy.update(scores[part], label)
    assert {k: v.item() for k, v in known.compute().items()} == {
        "gt_known_25": 0.75,
        "gt_known_50": 0.5,
        "gt_known_75": 0.25,
    }
    assert {k: v.item() for k, v in top1.compute().items()} == {"top1_25": 0.5, "top1_50": 0.25, "top1_75": 0.25}
    assert accuracy.compute().item() == 0.75


@pytest.mark.parametrize("contours", ["largest", "all"])
def test_max_box_acc_is_its_definition(contours: str) -> None:
    maps, count = draw_maps(9, seed=0), torch.tensor([1, 2, 1, 1, 3, 1, 1, 2, 1])
    boxes = draw_boxes(int(count.sum()), seed=2)
    for iou in (0.3, 0.5):
        metric = MaxBoxAcc((iou,), contours=contours)
        metric.update(maps[:4], boxes[:5], count[:4])
        metric.update(maps[4:], boxes[5:], count[4:])
        share, tau = max_box_acc_by_hand(maps, boxes, count, iou, contours)
        figures = metric.compute()
        assert figures["max_box_acc"].item() == pytest.approx(share)
        assert figures[f"max_box_acc_threshold_{100 * iou:g}"].item() == pytest.approx(tau)
        assert 0 < share < 1


def test_version_two_is_the_mean_of_three_with_their_own_thresholds() -> None:
    maps, boxes, count = draw_maps(8, seed=4), draw_boxes(8, seed=5), torch.ones(8, dtype=torch.int64)
    metric = MaxBoxAccV2()
    metric.update(maps, boxes, count)
    by_hand = [max_box_acc_by_hand(maps, boxes, count, iou, "all") for iou in (0.3, 0.5, 0.7)]
    figures = metric.compute()
    assert figures["max_box_acc_v2"].item() == pytest.approx(np.mean([share for share, _ in by_hand]))
    assert figures["max_box_acc_v2_threshold_70"].item() == pytest.approx(by_hand[2][1])


def test_annotated_boxes_are_truncated_to_whole_pixels() -> None:
    maps = torch.zeros(1, 10, 10)
    maps[:, 2:5, 3:8] = 1
    fitting = torch.tensor([[3.9, 2.2, 7.99, 4.5]])
    assert threshold_ious(maps, fitting, torch.tensor([1]), [0.5]).item() == 1


def test_the_box_of_a_map_is_that_of_its_largest_group() -> None:
    maps = torch.zeros(4, 8, 8)
    maps[0, 1:3, 1:3] = 2.0
    maps[0, 5:8, 4:7] = 1.5  # larger, and above half the maximum
    maps[1, 0, 0], maps[1, 1, 1] = 1, 1  # joined by a corner
    maps[2] = 7  # constant
    maps[3, 4, 4] = float("nan")
    assert map_boxes(maps, 0.5).tolist() == [[4, 5, 6, 7], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert map_boxes(maps, 0.8)[0].tolist() == [1, 1, 2, 2]
    for seed in range(5):
        one = draw_maps(1, seed)
        mask = (normalise_maps(one)[0] > 0.6).numpy()
        assert map_boxes(one, 0.6)[0].tolist() == boxes_by_hand(mask, "largest")[0]


def test_figures_do_not_depend_on_the_scale_of_a_map() -> None:
    maps, boxes, count = draw_maps(6, seed=1), draw_boxes(6, seed=3), torch.ones(6, dtype=torch.int64)
    taus = [k / 10 for k in range(10)]
    assert torch.equal(threshold_ious(maps, boxes, count, taus), threshold_ious(8 * maps - 4, boxes, count, taus))
    assert torch.equal(points_at(maps, boxes, count), points_at(8 * maps - 4, boxes, count))


def test_pointing_is_a_disc_that_touches_the_box() -> None:
    count = torch.tensor([1])
    for x, y in [(0, 0), (3, 2), (9, 9), (15, 4), (19, 19), (12, 0)]:
        maps = torch.zeros(1, 20, 20)
        maps[0, y, x] = 1
        for box in draw_boxes(20, seed=x * 20 + y).int().tolist():
            nearest = min((i - x) ** 2 + (j - y) ** 2 for i, j in pixels(box))
            for tolerance in (0, 3, 5.5):
                hit = points_at(maps, torch.tensor([box]).float(), count, tolerance=tolerance)
                assert hit.item() == (nearest <= tolerance**2)


def test_the_pointing_game_averages_over_classes() -> None:
    metric = PointingGame(4, tolerance=0)
    maps = torch.zeros(4, 5, 5)
    maps[:, 2, 2] = 1
    boxes = torch.tensor([[2.0, 2, 3, 3], [2, 2, 2, 2], [3, 3, 4, 4], [0, 0, 1, 1]])
    metric.update(maps, boxes, torch.ones(4, dtype=torch.int64), torch.tensor([0, 0, 0, 3]))
    figures = metric.compute()
    assert figures["pointing"].item() == pytest.approx((2 / 3 + 0) / 2)
    assert figures["pointing_all"].item() == 0.5


@pytest.mark.parametrize("metric", [GTKnownLoc(), Top1Loc(), LabelAccuracy(), MaxBoxAcc(), PointingGame(3)])
def test_nothing_seen_is_an_error(metric: GTKnownLoc) -> None:
    with pytest.raises(ValueError, match="has seen no picture"):
        metric.compute()


def test_figures_can_be_added_outside_the_inference_mode_they_were_reset_in() -> None:
    scores, label = torch.eye(3), torch.tensor([0, 1, 1])
    boxes, count, maps = draw_boxes(3, seed=0), torch.ones(3, dtype=torch.int64), draw_maps(3, seed=1)
    batches = [
        (LabelAccuracy(), (scores, label)),
        (GTKnownLoc(), (boxes, boxes, count)),
        (MaxBoxAccV2(), (maps, boxes, count)),
        (PointingGame(3), (maps, boxes, count, label)),
    ]
    for metric, batch in batches:
        with torch.inference_mode():
            metric.update(*batch)
            metric.reset()
            metric.update(*batch)
        metric.update(*batch)
        assert metric.pictures.sum() == 6


def test_impossible_settings_are_refused() -> None:
    for wrong in (lambda: GTKnownLoc(()), lambda: GTKnownLoc((50,)), lambda: MaxBoxAcc(step=0)):
        with pytest.raises(ValueError, match=r"IoU|step"):
            wrong()
    with pytest.raises(ValueError, match="largest"):
        threshold_ious(torch.zeros(1, 2, 2), torch.zeros(1, 4), torch.tensor([1]), [0.5], contours="some")


def fabricate(pictures: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    count = torch.randint(1, 4, (pictures,), generator=generator)
    return {
        "predicted": draw_boxes(pictures, seed + 10),
        "boxes": draw_boxes(int(count.sum()), seed + 20),
        "count": count,
        "maps": draw_maps(pictures, seed),
        "scores": torch.rand(pictures, 3, generator=generator),
        "label": torch.randint(0, 3, (pictures,), generator=generator),
    }


def collection() -> MetricCollection:
    metrics = {
        "known": GTKnownLoc((0.1, 0.2)),
        "release": GTKnownLoc((0.1, 0.2), compat="release"),
        "top1": Top1Loc((0.1, 0.2)),
        "accuracy": LabelAccuracy(),
        "largest": MaxBoxAcc(),
        "all": MaxBoxAcc(contours="all"),
        "v2": MaxBoxAccV2(),
        "pointing": PointingGame(3, tolerance=2),
    }
    metrics["all"].prefix = "all"
    return MetricCollection({name: metric for name, metric in metrics.items() if name != "release"})


def test_a_collection_keeps_metrics_with_the_same_figures_apart() -> None:
    batch = fabricate(1, seed=0) | {"predicted": torch.tensor([[0.0, 0, 9, 9]])}
    batch |= {"boxes": batch["predicted"], "count": torch.tensor([1]), "scores": torch.eye(3)[[1]]}
    first = batch | {"label": torch.tensor([1])}  # every metric is 1 after this
    second = batch | {"label": torch.tensor([2])}
    both = MetricCollection([GTKnownLoc((0.5,)), Top1Loc((0.5,))])
    both.update(**first)
    both.update(**second)
    assert {k: v.item() for k, v in both.compute().items()} == {"gt_known_50": 1.0, "top1_50": 0.5}


def test_two_processes_give_exactly_the_figures_of_one(tmp_path: Path) -> None:
    metrics = collection()
    # one process sees three pictures and the other one: averages of averages would differ
    batches = [[fabricate(3, seed=0)], [fabricate(1, seed=1)]]
    torch.save(metrics, tmp_path / "metrics.pt")
    torch.save(batches, tmp_path / "batches.pt")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GLOO_SOCKET_IFNAME": "lo"}
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), str(rank)], env=environment) for rank in range(2)
    ]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    for (batch,) in batches:
        metrics.update(**batch)
    for rank in range(2):
        assert torch.load(tmp_path / f"figures{rank}.pt") == metrics.compute()
