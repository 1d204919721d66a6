"""MobileNetV2: inverted residuals, narrow outside and wide inside, of torchvision's blocks.

Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018; notes, "MobileNet". A block expands
its channels by a pointwise convolution, filters each by a depthwise one, and projects them back without activation.

The parameters have the names and shapes of torchvision's mobilenet_v2, so its weights load. Departures: the first
convolution takes any number of channels; on small images the first strides of 2 become 1 (small_images.py).

Letters: B examples, C channels, H, W pixels, K outputs (`out_features`).
"""

from torchvision.models import mobilenetv2

from dlrun.models.small_images import fit_to_size, take_channels
from dlrun.schema import PositiveFloat, PositiveInt, ProperFraction


class MobileNetV2(mobilenetv2.MobileNetV2):
    """17 inverted residuals between two convolutions, the mean over pixels, dropout and a linear layer.

    (B, C, H, W) -> (B, K). `width_mult` scales the channels of every layer.
    """

    accepts: tuple = ("image",)

    def __init__(
        self,
        *,
        in_channels: PositiveInt,
        image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        width_mult: PositiveFloat = 1.0,
        dropout: ProperFraction = 0.2,
        out_features: PositiveInt,
    ):
        super().__init__(num_classes=out_features, width_mult=width_mult, dropout=dropout)
        take_channels(self, in_channels)
        fit_to_size(self, image_size)
