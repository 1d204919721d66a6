"""MobileNetV2: inverted residuals, narrow outside and wide inside, of torchvision's blocks.

Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018; notes, "MobileNet". A block expands
its channels by a pointwise convolution, filters each by a depthwise one, and projects them back without activation.

The parameters have the names and shapes of torchvision's mobilenet_v2, so its weights load. Departures: the first
convolution takes any number of channels; on small images the first strides of 2 become 1 (small_images.py).

Letters: B examples, C channels, H, W pixels, K outputs (`out_features`).
"""

from torch import nn
from torchvision.models import mobilenetv2
from torchvision.ops import Conv2dNormActivation

from dlrun.config.schema import PositiveFloat, PositiveInt, ProperFraction
from dlrun.models.parts.small_images import fit_to_size, take_channels


class MobileNetV2(mobilenetv2.MobileNetV2):
    """MobileNet V2: inverted residuals between two convolutions, the mean over pixels, dropout and a linear layer.

    (B, C, H, W) -> (B, K).
    """

    accepts: tuple = ("image",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        blocks: tuple[tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt], ...] | None = None,
        last_channels: PositiveInt | None = None, width_mult: PositiveFloat = 1.0, dropout: ProperFraction = 0.2,
        out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `blocks`: rows of (expansion, channels, number of blocks, stride of the first of them); None: the 17 of the
          paper's table 2.
        - `last_channels`: channels of the last convolution; None: 1280, times `width_mult` if that is above 1.
        - `width_mult`: factor of the channels of every layer, which are then rounded to multiples of 8.
        - `dropout`: share of values set to zero before the linear layer, in training.
        - `out_features`: K, logits or values of an answer.
        """
        rows = None if blocks is None else [list(row) for row in blocks]
        super().__init__(out_features, width_mult, inverted_residual_setting=rows, dropout=dropout)
        if last_channels is not None:
            channels = [module for module in self.modules() if isinstance(module, nn.Conv2d)][-1].in_channels
            last = Conv2dNormActivation(channels, last_channels, kernel_size=1, activation_layer=nn.ReLU6)
            nn.init.kaiming_normal_(last.get_parameter("0.weight"), mode="fan_out")
            self.features[-1] = last
            self.classifier[-1] = nn.Linear(last_channels, out_features)
        take_channels(self, in_channels)
        fit_to_size(self, image_size)
