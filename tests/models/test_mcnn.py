import torch

from dotally.models import MCNN


def test_it_has_as_many_parameters_as_the_published_weights() -> None:
    # the 26 arrays of mcnn_shtechA_660.h5 hold 127,953 numbers; the paper says "0.13 M"
    assert sum(parameter.numel() for parameter in MCNN().parameters()) == 127_953


def test_it_takes_grey_pictures_unless_told_otherwise() -> None:
    assert MCNN(width=0.25)(torch.rand(1, 1, 16, 24)).shape == (1, 1, 4, 6)


def test_it_is_never_dead_from_the_start() -> None:
    x = torch.rand(1, 1, 32, 32) * 255
    for seed in range(20):
        torch.manual_seed(seed)
        assert (MCNN(width=0.5)(x) > 0).float().mean() > 0.5


def test_no_cell_holds_fewer_than_no_heads() -> None:
    torch.manual_seed(0)
    assert (MCNN(width=0.5)(torch.randn(1, 1, 64, 64)) >= 0).all()
