"""What augmentation adds to a training step of `cnn` (batch 64, digits of 28 x 28 pixels, no download).

dlrun's engine takes an epoch with each of them and one without in turns.
"""

import copy
import statistics

import torch

from benchmarks.loops import BATCH_SIZE, CPU, engine_epoch, interleaved, resident
from dlrun.augment import AUGMENTS
from dlrun.augment.augmentation import Augmentation
from dlrun.data import views
from dlrun.data.images.digits import Digits
from dlrun.engine import device as devices
from dlrun.models import MODELS

SHARE_TARGETS = {"geometric": 1 / 3}  # of a step without augmentation, 2 CPU cores


def measure(repeats: int) -> None:
    """Prints, for each augmentation, the share of a plain step that it costs on top."""
    data = Digits()
    part, spec = data.load()["train"], data.spec
    torch.manual_seed(0)
    model = MODELS.get("cnn")(in_channels=1, image_size=spec.image_size, out_features=spec.out_features)
    ways = {}
    for name in AUGMENTS.names():
        change = AUGMENTS.get(name)()
        augment = Augmentation(change, seed=0, num_classes=spec.out_features) if change is not None else None
        loader = resident(part, views.preparation(spec), shuffle=True, augment=augment)
        ways[name] = lambda loader=loader: engine_epoch(
            devices.place(copy.deepcopy(model), CPU, channels_last=True), loader, None, "fp32", spec
        )
    seconds = interleaved(ways, repeats)
    plain = seconds.pop("none")
    steps = -(-len(part) // BATCH_SIZE)
    print(f"a step of cnn without augmentation: {statistics.median(plain) / steps * 1e3:.2f} ms")
    for name, taken in seconds.items():
        shares = [(changed - bare) / bare for changed, bare in zip(taken, plain, strict=True)]
        limit = f", at most {SHARE_TARGETS[name]:.0%}" if name in SHARE_TARGETS else ""
        print(f"{name:<15} + {statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%}){limit}")
