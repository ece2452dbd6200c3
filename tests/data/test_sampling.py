"""Draws depend on (seed, epoch, index) alone, whoever asks for them."""

import pickle

import pytest
import torch
from lightning_fabric.utilities.distributed import DistributedSamplerWrapper
from torch.utils.data import DataLoader, Dataset

from dotally.data.sampling import Draw, SeededSampler, carve, derive_seed


class Echo(Dataset[Draw]):
    def __getitem__(self, item: Draw) -> Draw:
        return item


def test_every_item_is_drawn_once_an_epoch_in_a_new_order() -> None:
    sampler = SeededSampler(50)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append([draw.index for draw in sampler])
        assert sorted(orders[-1]) == list(range(50))
    assert orders[0] != orders[1] != orders[2]
    assert len(sampler) == 50


def test_seeds_follow_the_item_not_its_place() -> None:
    few, many = ({draw.index: draw.seed for draw in SeededSampler(length, seed=3)} for length in (20, 40))
    assert few == {index: many[index] for index in range(20)}


def test_seeds_change_with_seed_epoch_and_index() -> None:
    later = SeededSampler(100)
    later.set_epoch(1)
    seeds = [draw.seed for sampler in (SeededSampler(100), SeededSampler(100, seed=1), later) for draw in sampler]
    assert len(set(seeds)) == 300


def test_a_resumed_epoch_draws_what_the_straight_run_draws() -> None:
    straight, resumed = SeededSampler(10), SeededSampler(10)
    for epoch in range(5):
        straight.set_epoch(epoch)
        list(straight)
    resumed.set_epoch(4)
    assert list(resumed) == list(straight)


def test_an_epoch_under_way_keeps_its_draws() -> None:
    sampler = SeededSampler(10)
    expected = list(sampler)
    under_way = iter(sampler)
    next(under_way)
    sampler.set_epoch(1)
    assert list(under_way) == expected[1:]


def test_drawing_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    list(SeededSampler(10))
    assert torch.get_rng_state().equal(state)


def test_the_processes_of_a_distributed_run_share_out_the_draws_of_one() -> None:
    alone = SeededSampler(10)
    alone.set_epoch(7)
    shares: list[Draw] = []
    for rank in range(2):
        sampler = DistributedSamplerWrapper(SeededSampler(10), num_replicas=2, rank=rank)
        sampler.set_epoch(7)
        shares += list(sampler)
    key = lambda draw: draw.index  # noqa: E731
    assert sorted(shares, key=key) == sorted(alone, key=key)


def test_workers_see_the_draws_and_a_sampler_can_be_sent_to_them() -> None:
    sampler = pickle.loads(pickle.dumps(SeededSampler(6)))
    loader = DataLoader(Echo(), batch_size=2, sampler=sampler, num_workers=2, collate_fn=list)
    assert [draw for batch in loader for draw in batch] == list(sampler)


def test_seeds_do_not_change_between_versions() -> None:
    assert derive_seed(0, 1, 2) == 0x6B34F39D  # printf '0/1/2' | b2sum -l 32


def test_carving_is_a_partition_fixed_by_its_seed() -> None:
    items = [f"IMG_{n}" for n in range(294)]
    train, val = carve(items, 0.1, seed=0)
    assert (len(train), len(val)) == (265, 29)
    assert sorted(train + val) == sorted(items)
    assert [item for item in items if item in set(val)] == val
    assert carve(items, 0.1, seed=0) == (train, val)
    assert carve(items, 0.1, seed=1)[1] != val


@pytest.mark.parametrize(("items", "fraction", "sizes"), [(2, 0.1, (1, 1)), (2, 0.9, (1, 1)), (10, 0.3, (7, 3))])
def test_neither_side_of_a_carving_is_empty(items: int, fraction: float, sizes: tuple[int, int]) -> None:
    train, val = carve(range(items), fraction, seed=0)
    assert (len(train), len(val)) == sizes


@pytest.mark.parametrize(("items", "fraction"), [(1, 0.5), (10, 0.0), (10, 1.0)])
def test_an_impossible_carving_is_refused(items: int, fraction: float) -> None:
    with pytest.raises(ValueError, match="cannot carve"):
        carve(range(items), fraction, seed=0)
