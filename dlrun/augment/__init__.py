"""Changes of training images: each example its own, a function of (seed, epoch, index of the example) alone.

The names that `augment=` takes stand here.
"""

from dlrun.config.registry import Registry

AUGMENTS = Registry(
    "augment",
    {
        "none": "dlrun.augment.augmentation:none",
        "geometric": "dlrun.augment.geometric:Geometric",
        "colour": "dlrun.augment.colour:Colour",
        "portrait": "dlrun.augment.portrait:Portrait",
        "randaugment": "dlrun.augment.policies:RandAugment",
        "trivialaugment": "dlrun.augment.policies:TrivialAugment",
        "erasing": "dlrun.augment.erasing:Erasing",
        "mixup": "dlrun.augment.mixing:Mixup",
        "cutmix": "dlrun.augment.mixing:CutMix",
        "mosaic": "dlrun.augment.mosaic:Mosaic",
    },
)
