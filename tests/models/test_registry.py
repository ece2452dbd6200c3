import socket

import pytest
import torch
from torch import nn

from dotally.models import CSRNet, build_model, list_models, register


def test_known_networks_are_listed_in_order() -> None:
    assert list_models() == sorted(list_models())
    assert {"csrnet", "mcnn", "vgg16"} <= set(list_models())


def test_arguments_reach_the_network() -> None:
    model = build_model("csrnet", backend="D", width=1 / 64)
    assert isinstance(model, CSRNet)
    assert model.receptive_field == 476


def test_an_unknown_name_brings_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'csrnett'\. Did you mean 'csrnet'\? Known: .*mcnn.*vgg16"):
        build_model("csrnett")


def test_an_unknown_argument_brings_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"argument of csrnet: 'back_end'\. Did you mean 'backend'\? Known: .*width"):
        build_model("csrnet", back_end="B")


def test_a_name_far_from_all_brings_no_guess() -> None:
    with pytest.raises(ValueError, match=r"unknown network: 'zzz'\. Known: "):
        build_model("zzz")


def test_a_name_cannot_be_taken_twice() -> None:
    with pytest.raises(ValueError, match="'csrnet' is registered already"):
        register("csrnet")(nn.Module)


def test_building_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with torch.device("meta"):
        for name in list_models():
            build_model(name)
