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

Hours: not measured; neither the data nor the weights were at hand when this was written. The forward passes alone take
72, 1,550 and 150 TFLOP by ``dotally cost`` (AlexNet, VGG-16, GoogLeNet): half an hour, eleven hours and an hour of a
core at 40 GFLOP/s, a rate that is assumed; what top-down passes add, nothing counts. A fabricated ILSVRC tree in the
published form goes through in the tests.
"""

import sys
from functools import partial

from dotally.data import ImageNetLocalization
from dotally.experiment import Cell, Literature, Localization, Method, Table, Tolerance, Value, main
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
# GT-known accuracy, 100 less the printed error, of excitation backprop on GoogLeNet: one map, three rules for its box
RERUN = "a notebook stored in ruthcfong/perturb_explanations"
RULES = {"energy 0.60": 61.292, "mean 1.5": 61.02, "value 0.15": 53.91}
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


def printed(network: str) -> dict[str, Value]:
    """Return what the README prints of a network; it has empty cells for all but AlexNet."""
    if network == "alexnet":
        return {name: Value(value=value, source=SOURCE) for name, value in PRINTED.items()}
    return {name.replace("stnet/", "stnet-inner/"): Value(value=None, source=SOURCE) for name in PRINTED}


CELLS: list[Cell] = [
    *(
        Literature(
            row=f"excitation, GoogLeNet, {rule}",
            column="imagenet",
            paper={"gt_known_50": Value(value=value, source=RERUN)},
        )
        for rule, value in RULES.items()
    ),
    *(
        Localization(
            row=network,
            column="imagenet",
            task=partial(LocalizationTask, network, model_kwargs=arguments),
            data=partial(ImageNetLocalization, framing="crop", side=224),
            max_epochs=0,
            weights=f"weights_imagenet/{file}",
            protocol="unknown",
            methods=methods(network),
            paper=printed(network),
            tolerance=Tolerance(match=0.01, near=0.02, reason="published weights and rule, no training"),
            note=""
            if network == "alexnet"
            else "AlexNet's constants of the selection; the release holds none for it: ours",
        )
        for network, (file, arguments) in PUBLISHED.items()
    ),
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
        f"excitation, GoogLeNet: by {RERUN}, which others ran; another rule for the box costs seven points.",
        "What STNet's paper prints, and its numbers for other methods, were not found in any text at hand.",
        "stnet-inner stops at "
        + ", ".join(f"{STOP_LAYERS[name]} ({name})" for name in PUBLISHED)
        + "; only AlexNet's stop layers are the release's.",
    ],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
