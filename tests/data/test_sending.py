"""Small tensors of a batch travel by value, large ones in shared memory; what arrives is what was sent."""

import pickle

import torch
from torch.testing import assert_close

from dotally.data.sending import LightCollate


def test_what_arrives_is_what_was_collated() -> None:
    sent = {"image": torch.arange(5), "points": torch.rand(4, 6)[:, ::2], "empty": torch.zeros(0, 2), "name": ["a"]}
    arrived = pickle.loads(pickle.dumps(LightCollate(lambda samples: dict(samples))(list(sent.items()))))
    assert arrived.pop("name") == ["a"]
    for name, tensor in arrived.items():
        assert_close(tensor, sent[name])
        tensor.add_(1)  # it may be written to


def test_large_tensors_stay_tensors_which_travel_in_shared_memory() -> None:
    batch = LightCollate(lambda samples: dict(samples))([("image", torch.zeros(1 << 20)), ("count", torch.zeros(1))])
    assert isinstance(batch["image"], torch.Tensor)
    assert not isinstance(batch["count"], torch.Tensor)
