"""An augmentation: film grain, noise that is the stronger the darker the image.

DLRUN_PLUGINS=examples/plugins/augmentation.py dlrun model=cnn data=digits augment=grain augment.strength=0.2
DLRUN_PLUGINS=examples/plugins/augmentation.py dlrun show data=digits augment=grain
"""

from torch import Tensor

from dlrun.augment import AUGMENTS
from dlrun.config.schema import Fraction
from dlrun.engine.contracts import Change
from dlrun.engine.draws import Draws


@AUGMENTS.register("grain")
class Grain(Change):
    """Normal noise of deviation `strength` where a pixel is black, none where it is white."""

    def __init__(self, *, strength: Fraction = 0.1):
        self.strength = strength

    def draw(self, draws: Draws, size: tuple[int, int]) -> Tensor:
        """One number a pixel (B, 1, H, W): of the seed, the epoch and the example alone, whatever batch it is in."""
        height, width = size
        return draws.normal(height * width).view(-1, 1, height, width)

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        return (images + self.strength * (1 - images) * drawn.to(images.device)).clamp(0, 1)
