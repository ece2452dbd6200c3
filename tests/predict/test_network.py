import inspect

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule

from dotally.predict.network import OF_COUNTING, OF_LOCALIZING, ClassifyingNetwork, CountingNetwork
from dotally.tasks import CountingTask, LocalizationTask


@pytest.mark.parametrize(
    ("network", "task", "kept"),
    [(CountingNetwork, CountingTask, OF_COUNTING), (ClassifyingNetwork, LocalizationTask, OF_LOCALIZING)],
)
def test_a_network_takes_the_arguments_of_its_task(
    network: type, task: type[LightningModule], kept: tuple[str, ...]
) -> None:
    known, taken = (inspect.signature(kind.__init__).parameters for kind in (task, network))
    assert {*taken, *kept} - {"training"} == set(known)
    assert not set(taken) & set(kept)
    for name in set(taken) & set(known):
        assert taken[name].default == known[name].default


def test_a_network_predicts_what_its_task_does(task: CountingTask, picture: np.ndarray) -> None:
    task = CountingTask("csrnet", task.hparams["model_kwargs"], density_scale=100.0, preprocessing="unit").eval()
    network = CountingNetwork(**task.hparams).eval()
    network.load_state_dict(task.state_dict())
    image, size = torch.from_numpy(picture).permute(2, 0, 1)[None], torch.tensor([[57, 80]])
    with torch.inference_mode():
        torch.testing.assert_close(network(image, size), task(image, size), rtol=0, atol=0)


def test_an_argument_that_no_task_has_is_refused() -> None:
    with pytest.raises(TypeError, match="unknown: rule"):
        CountingNetwork("csrnet", {"width": 1 / 32}, lr=1.0, rule="stat")
