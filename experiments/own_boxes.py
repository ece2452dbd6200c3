"""Where is the object, in pictures of your own? Labels alone are learnt; the boxes tune thresholds and judge.

    dotally data verify FOLDER                                 # is every picture and every annotation in order?
    python experiments/own_boxes.py --data-root PARENT         # train, localize, judge
    python experiments/own_boxes.py --fast-dev-run             # is everything wired?

Put the name of your folder and of its classes below. It holds pictures with Pascal VOC XML files or COCO JSON, laid out
as you like; two classes at least, because labels alone teach what tells classes apart. For one class see
``dotally localize FOLDER --truth FOLDER --weights FILE --target NUMBER``, which judges a network that others trained.

A fifth of the pictures is tested on. The run folder has the boxes of every method (``predictions.csv``), 20 pictures
with both boxes (``pictures.png``), and ``checkpoints/best.ckpt`` for ``dotally localize``. ``gt_known_50`` is what is
also called CorLoc. The default row is a small network on pictures warped to 64 pixels, for a CPU and some hundreds of
pictures.
"""

import sys
from functools import partial

from dotally.data import BoxFolder
from dotally.experiment import Localization, Table, main, small_network_methods
from dotally.tasks import LocalizationTask

FOLDER = "own_boxes"  # a folder of this name below the data root, or a path
CLASSES = ("cat", "dog")

TABLE = Table(
    id="own_boxes",
    title="Localizing in pictures of one's own with a network that learnt labels only",
    source="ours",
    cells=[
        Localization(
            row="small-net",
            column="own",
            task=partial(
                LocalizationTask,
                "tiny_imagenet_net",
                model_kwargs={"num_classes": len(CLASSES), "width": 0.25},
                lr=1e-2,
                schedule="one-cycle",
                weight_decay=0.05,
                pointing_tolerance=2.0,
            ),
            data=partial(BoxFolder, FOLDER, classes=CLASSES, framing="warp", side=64, area=(0.35, 1.0)),
            max_epochs=30,
            methods=small_network_methods("features.6"),
        )
    ],
    metrics=(
        "label_accuracy",
        "gt_known_25",
        "gt_known_50",
        "gt_known_75",
        "max_box_acc_v2",
        "pointing",
        "threshold",
    ),
    notes=["A picture that shows several classes is an item for each of them, judged by the boxes of that class."],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
