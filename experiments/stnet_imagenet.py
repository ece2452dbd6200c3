"""STNet (Biparva and Tsotsos, ICCV workshops 2017): the README's table of its published code, on ImageNet validation.

    python experiments/stnet_imagenet.py --only 'alexnet*'     # the one row that the release filled
    python experiments/stnet_imagenet.py                       # VGG-16 and GoogLeNet as well, which it left empty
    python experiments/stnet_imagenet.py --fast-dev-run        # is everything wired?

Nothing is trained. Below the data root it needs

- the 50,000 validation pictures of ILSVRC 2012 and their boxes (``dotally data list`` tells the layouts it knows);
- PyTorch's published weights from https://download.pytorch.org/models, in ``weights_imagenet/``:
  ``alexnet-owt-7be5be79.pth``, ``vgg16-397923af.pth`` and ``googlenet-1378be20.pth``.

Every method stops at a box by the release's rule (the mean of the cells that are not zero), so that nothing is tuned;
the validation pictures are the test split. Pictures are framed as by the release: shorter side to 224, centre cut out.

Hours: not known; neither the data nor the weights were at hand when this was written. A fabricated ILSVRC tree in the
published form goes through in the tests.
"""

import sys
from functools import partial

from dotally.data import ImageNetLocalization
from dotally.experiment import Cell, Localization, Method, Table, Tolerance, Value, main
from dotally.stnet import STOP_LAYERS, BoxRule
from dotally.tasks import LocalizationTask

SOURCE = "README of the published STNet code"

rule = BoxRule()  # the release's
STNET = Method(kind="stnet", rule=rule)
WHOLE = Method(kind="whole")

# network -> its weights file, and how torchvision built the network that they are of
PUBLISHED: dict[str, tuple[str, dict[str, object]]] = {
    "alexnet": ("alexnet-owt-7be5be79.pth", {}),
    "vgg16": ("vgg16-397923af.pth", {}),
    "googlenet": ("googlenet-1378be20.pth", {"aux_logits": True, "transform_input": True}),
}
PRINTED = {"label_accuracy": 55.64, "stnet/gt_known_25": 77.50, "stnet/gt_known_50": 55.30, "stnet/gt_known_75": 29.10}


def methods(network: str) -> dict[str, Method]:
    """Return what is judged with a network: at the picture (AlexNet only, as released) and at an inner layer."""
    stop = STOP_LAYERS[network]
    at_picture = {"stnet": STNET} if network == "alexnet" else {}
    return {
        **at_picture,
        "stnet-inner": Method(kind="stnet", stop=stop, rule=rule),
        "excitation": Method(kind="excitation", stop=stop, rule=rule),
        "whole": WHOLE,
    }


CELLS: list[Cell] = [
    Localization(
        row=network,
        column="imagenet",
        task=partial(LocalizationTask, network, model_kwargs=arguments),
        data=partial(ImageNetLocalization, framing="crop", side=224),
        max_epochs=0,
        weights=f"weights_imagenet/{file}",
        protocol="unknown",
        methods=methods(network),
        paper={name: Value(value=value, source=SOURCE) for name, value in PRINTED.items() if network == "alexnet"},
        tolerance=Tolerance(match=0.01, near=0.02, reason="published weights and rule, no training"),
        note=""
        if network == "alexnet"
        else "AlexNet's constants of the selection; the release holds none for it: ours",
    )
    for network, (file, arguments) in PUBLISHED.items()
]

TABLE = Table(
    id="stnet_imagenet",
    title="Weakly supervised localization on ImageNet validation",
    source=SOURCE,
    cells=CELLS,
    metrics=("label_accuracy", "gt_known_25", "gt_known_50", "gt_known_75"),
    notes=[
        "GT-known: the label is given, a picture counts where the one box reaches that IoU with any annotated one.",
        "The release averages batches of 128 and never sees the last 80 pictures; here all pictures count alike.",
        "stnet-inner stops at "
        + ", ".join(f"{STOP_LAYERS[name]} ({name})" for name in PUBLISHED)
        + "; only AlexNet's stop layers are the release's.",
    ],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
