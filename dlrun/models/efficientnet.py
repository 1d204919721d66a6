"""EfficientNet: depth, width and resolution grow together, of torchvision's blocks.

Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019; notes, "EfficientNet".
The compound coefficient phi = 0 ... 7 stands for b0 ... b7, with the published factors (about 1.2^phi in depth,
1.1^phi in width, 1.15^phi in resolution); each factor can also be set apart.

The parameters have the names and shapes of torchvision's efficientnet_b0 ... b7, so their weights load. Departures:
the first convolution takes any number of channels; images keep their size unless `resolution` is given, and on small
ones the first strides of 2 become 1 (small_images.py).

Letters: B examples, C channels, H, W pixels, K outputs (`out_features`).
"""

import functools
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import efficientnet

from dlrun.config.schema import PositiveFloat, PositiveInt, ProperFraction
from dlrun.models.parts.small_images import fit_to_size, take_channels

# phi: (width, depth, dropout).
COMPOUND = (
    (1.0, 1.0, 0.2), (1.0, 1.1, 0.2), (1.1, 1.2, 0.3), (1.2, 1.4, 0.3),
    (1.4, 1.8, 0.4), (1.6, 2.2, 0.4), (1.8, 2.6, 0.5), (2.0, 3.1, 0.5),
)  # fmt: skip
# Of b0: expansion, kernel size, stride, channels in and out, number of blocks.
STAGES = (
    (1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3), (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1),
)  # fmt: skip


class EfficientNet(efficientnet.EfficientNet):
    """EfficientNet: seven stages of inverted residuals with squeeze and excitation; (B, C, H, W) -> (B, K)."""

    accepts: tuple = ("image",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        phi: Literal[0, 1, 2, 3, 4, 5, 6, 7] = 0, width: PositiveFloat | None = None,
        depth: PositiveFloat | None = None, resolution: PositiveInt | None = None,
        dropout: ProperFraction | None = None, stochastic_depth: ProperFraction = 0.2, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `phi`: which of b0 ... b7.
        - `width`: factor of the channels of b0; None: that of `phi`.
        - `depth`: factor of the number of blocks of b0; None: that of `phi`.
        - `resolution`: pixels a side to which images are scaled first; None: they keep their size. b0 ... b7 were made
          for 224, 240, 260, 300, 380, 456, 528, 600.
        - `dropout`: share of values set to zero before the linear layer, in training; None: that of `phi`.
        - `stochastic_depth`: the probability that a residual block adds nothing, in training: 0 at the first block and
          rising, to about this at the last.
        - `out_features`: K, logits or values of an answer.
        """
        of_width, of_depth, of_dropout = COMPOUND[phi]
        stages = [
            efficientnet.MBConvConfig(*stage, width_mult=width or of_width, depth_mult=depth or of_depth)
            for stage in STAGES
        ]
        super().__init__(
            stages,
            dropout=of_dropout if dropout is None else dropout,
            stochastic_depth_prob=stochastic_depth,
            num_classes=out_features,
            # As they were trained: torchvision's b5, b6 and b7 came from TensorFlow.
            norm_layer=functools.partial(nn.BatchNorm2d, eps=0.001, momentum=0.01) if phi >= 5 else None,
        )
        self.resolution = resolution
        take_channels(self, in_channels)
        fit_to_size(self, resolution or image_size)

    def forward(self, x: Tensor) -> Tensor:
        if self.resolution is not None:
            x = F.interpolate(x, (self.resolution, self.resolution), mode="bilinear", antialias=True)
        return super().forward(x)
