import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from dotally.metrics import GAME, CountingError, DensityPSNR, DensitySSIM

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


def fabricate(pictures: int, seed: int) -> dict[str, Tensor | int]:
    generator = torch.Generator().manual_seed(seed)
    count = torch.randint(1, 9, (pictures,), generator=generator)
    density = torch.rand(pictures, 1, 4, 5, generator=generator)
    return {
        "predicted": density.sum((1, 2, 3)),
        "truth": count,
        "density": density,
        "prediction": density,
        "target": torch.rand(pictures, 1, 4, 5, generator=generator),
        "points": torch.rand(int(count.sum()), 2, generator=generator) * 30,
        "count": count,
        "size": torch.tensor([[30, 37]]).repeat(pictures, 1),
        "stride": 8,
    }


def test_two_processes_give_exactly_the_figures_of_one(tmp_path: Path) -> None:
    metrics = MetricCollection([CountingError(), GAME(2), DensityPSNR(), DensitySSIM()])
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
