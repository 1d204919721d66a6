"""MobileNet: a convolution taken apart into one per channel and one across channels.

Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017; notes,
"MobileNet". A 3x3 convolution of C to D channels costs 9 C D multiplications a pixel; depthwise and pointwise
together 9 C + C D, which is the share 1 / D + 1 / 9 of it.

Departures: on images of fewer than 224 pixels the first strides of 2 become 1, so that at least 4 pixels a side
reach the last layer. The last block has stride 1; the paper's table says 2 and keeps the size.

Letters: B examples, C channels, H, W pixels, K outputs (`out_features`).
"""

from torch import Tensor, nn

from dlrun.config.schema import PositiveFloat, PositiveInt
from dlrun.models.parts.small_images import fit_to_size, scaled

# (channels, stride) of each block, with width_mult 1.
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class DepthwiseSeparable(nn.Module):
    """Depthwise 3x3, then pointwise 1x1, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False)
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.depthwise(x)).relu()  # (B, C, H, W) -> (B, C, H / stride, W / stride)
        return self.norm2(self.pointwise(x)).relu()  # (B, D, H / stride, W / stride)


class MobileNetV1(nn.Module):
    """MobileNet V1: a 3x3 convolution, 13 depthwise separable blocks, the mean over pixels, a linear layer."""

    accepts: tuple = ("image",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        width_mult: PositiveFloat = 1.0, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `width_mult`: factor of the channels of every layer, which are then rounded to multiples of 8.
        - `out_features`: K, logits or values of an answer.
        """
        super().__init__()
        channels = scaled(32 * width_mult)
        self.conv = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential()
        for out_channels, stride in BLOCKS:
            wide = scaled(out_channels * width_mult)
            self.blocks.append(DepthwiseSeparable(channels, wide, stride))
            channels = wide
        self.fc = nn.Linear(channels, out_features)
        fit_to_size(self, image_size)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu()
        x = self.blocks(x)
        return self.fc(x.mean(dim=(2, 3)))  # (B, C, H, W) -> (B, C) -> (B, K)
