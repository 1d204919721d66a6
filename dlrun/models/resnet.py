"""ResNet in small: two convolutions, a residual block after each, and a linear layer.

He et al., "Deep residual learning for image recognition", 2015; the notes' chapter 9: convolutions of
5x5 with 16 and 32 channels, a linear layer 512-10, for MNIST.

Departures from the paper, as in the notes: no batch normalisation; max-pooling in place of strides;
flattened in place of averaged before the linear layer. The paper's networks: `model=torchvision model.arch=resnet18`.

Letters: B examples, C channels, H, W pixels, K outputs (`out_features`).
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt
from dlrun.models.cnn import pooled_size


class ResidualBlock(nn.Module):
    """relu(x + conv(relu(conv(x)))): the convolutions learn what is to be added to x."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))  # (B, C, H, W), as x
        return F.relu(x + y)


class ResNet(nn.Module):
    """ResNet: for each of `channels` convolution -> ReLU -> max-pooling -> residual block; then a linear layer."""

    accepts: tuple = ("image",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        channels: tuple[PositiveInt, ...] = (16, 32), kernel_size: PositiveInt = 5, pool_size: PositiveInt = 2,
        out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `channels`: channels after each of the convolutions between the blocks.
        - `kernel_size`: pixels a side of those convolutions, which are not padded.
        - `pool_size`: pixels a side of the max-pooling, and its stride.
        - `out_features`: K, logits or values of an answer.

        **Raises:** `ValueError` if the image is too small for the convolutions and poolings.
        """
        super().__init__()
        height, width = pooled_size(image_size, num_layers=len(channels), kernel_size=kernel_size, pool_size=pool_size)
        widths = (in_channels, *channels)
        self.convs = nn.ModuleList(nn.Conv2d(c_in, c_out, kernel_size) for c_in, c_out in pairwise(widths))
        self.pool = nn.MaxPool2d(pool_size)
        self.blocks = nn.ModuleList(ResidualBlock(c_out) for c_out in channels)
        self.fc = nn.Linear(widths[-1] * height * width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        for conv, block in zip(self.convs, self.blocks, strict=True):
            x = self.pool(F.relu(conv(x)))  # (B, C, H, W) -> (B, next C, about H/2, W/2)
            x = block(x)
        return self.fc(x.flatten(1))  # (B, C * H * W) -> (B, K)
