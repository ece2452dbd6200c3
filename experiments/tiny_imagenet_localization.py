"""Where is the object in a photograph, when only labels were learnt? Tiny ImageNet, whole or 39 of its classes.

    python experiments/tiny_imagenet_localization.py --only 'tiny-slim*'     # a CPU: under an hour a seed on one core
    python experiments/tiny_imagenet_localization.py --only 'tiny-net*'      # a GPU: minutes a seed
    python experiments/tiny_imagenet_localization.py --fast-dev-run          # is everything wired?

Data: Tiny ImageNet (Stanford CS231N) below the data root, any part of its classes with the published files; the network
has as many outputs as the part has classes. Two recipes of one network are two rows, and ``--only`` chooses:

- ``tiny-net``: full width (64 to 512 channels), 30 epochs;
- ``tiny-slim``: a quarter of the width, 10 epochs, for a CPU: 33 to 42 minutes of one core, with the methods.

Labels of nine tenths of the training pictures are learnt; the boxes of the other tenth tune thresholds and choose the
checkpoint by label. The folder "val" is the test split. Methods, rules and figures are those of synthetic_shapes.py.
Photographs with boxes stay in the run folder (``pictures.png``) and are not published.
"""

import sys
from functools import partial

from dotally.data import TinyImageNetLocalization
from dotally.experiment import Cell, Localization, Table, main, small_network_methods
from dotally.tasks import LocalizationTask

CLASSES = 39

classifier = partial(
    LocalizationTask,
    "tiny_imagenet_net",
    label_smoothing=0.1,
    schedule="one-cycle",
    weight_decay=0.05,
    pointing_tolerance=2.0,
)
photographs = partial(TinyImageNetLocalization, area=(0.35, 1.0), keep_in_memory=True)
methods = small_network_methods("features.6")

CELLS: list[Cell] = [
    Localization(
        row="tiny-slim",
        column="tiny-imagenet-39",
        task=partial(classifier, model_kwargs={"num_classes": CLASSES, "width": 0.25}, lr=1e-2),
        data=partial(photographs, batch_size=64),
        max_epochs=10,
        methods=methods,
    ),
    Localization(
        row="tiny-net",
        column="tiny-imagenet-39",
        task=partial(classifier, model_kwargs={"num_classes": CLASSES}, lr=4e-3),
        data=partial(photographs, batch_size=128),
        max_epochs=30,
        methods=methods,
    ),
]

TABLE = Table(
    id="tiny_imagenet_localization",
    title="Localizing photographs with a network that learnt labels only, from scratch",
    source="ours",
    cells=CELLS,
    metrics=(
        "label_accuracy",
        "gt_known_25",
        "gt_known_50",
        "gt_known_75",
        "max_box_acc_v2",
        "pointing",
        "threshold",
    ),
    notes=[
        "GT-known: the label is given, a picture counts where the one box reaches that IoU. MaxBoxAccV2: the mean over "
        "IoUs of 0.3, 0.5 and 0.7, each at the threshold that is best on the test boxes, any group of cells counting.",
        "pointing: a disc of 2 pixels around the highest cell touches the box; mean over classes.",
        "threshold: share of a map's maximum, chosen on validation boxes at an IoU of 0.5, the same way for every map.",
        "The objects fill much of these photographs: at an IoU of 0.5 the whole picture and a centred box of tuned "
        "size are hard to beat, and both know nothing of the picture. An IoU of 0.75 tells more, and MaxBoxAccV2.",
        "STNet marks nothing where no evidence for the given label is left, mostly pictures that the network takes for "
        "something else; these count as misses. No other method can refuse.",
        "Blurs and the inner layer (behind the first pool) are those chosen for synthetic_shapes.",
        "39 classes: every fifth of Tiny ImageNet's 200 in the order of their ids that has its file of boxes.",
    ],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
