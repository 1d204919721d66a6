"""GoogLeNet in small: two convolutions, an Inception block after each, and a linear layer.

Szegedy et al., "Going deeper with convolutions", 2014 (the Inception module); the notes' chapter 9,
for MNIST: a block has 16 + 24 + 24 + 24 = 88 channels, the linear layer is 1408-10.

Departures from the paper, as in the notes: the 5x5 branch of the paper stays and two 3x3 follow each
other in the next one (as in Inception v2); average- in place of max-pooling in the pooling branch;
no ReLU within a block; no auxiliary outputs.

Letters: B examples, C channels, H, W pixels, K outputs (`out_features`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt
from dlrun.models.cnn import pooled_size


class InceptionA(nn.Module):
    """Four branches of convolutions on the same input; H and W stay, the channels are joined.

    A tuple holds the widths (output channels) of a branch's convolutions, first to last.
    """

    def __init__(
        self,
        in_channels: int,
        branch1x1: int,
        branch5x5: tuple[int, int],
        branch3x3: tuple[int, int, int],
        branch_pool: int,
    ):
        super().__init__()
        self.branch1x1 = nn.Conv2d(in_channels, branch1x1, kernel_size=1)
        self.branch5x5 = nn.Sequential(
            nn.Conv2d(in_channels, branch5x5[0], kernel_size=1),
            nn.Conv2d(branch5x5[0], branch5x5[1], kernel_size=5, padding=2),
        )
        self.branch3x3 = nn.Sequential(
            nn.Conv2d(in_channels, branch3x3[0], kernel_size=1),
            nn.Conv2d(branch3x3[0], branch3x3[1], kernel_size=3, padding=1),
            nn.Conv2d(branch3x3[1], branch3x3[2], kernel_size=3, padding=1),
        )
        self.branch_pool = nn.Sequential(
            nn.AvgPool2d(kernel_size=3, stride=1, padding=1), nn.Conv2d(in_channels, branch_pool, kernel_size=1)
        )
        self.out_channels = branch1x1 + branch5x5[-1] + branch3x3[-1] + branch_pool

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.branch1x1(x), self.branch5x5(x), self.branch3x3(x), self.branch_pool(x))
        return torch.cat(branches, dim=1)  # (B, C, H, W) -> (B, out_channels, H, W)


class GoogLeNetMini(nn.Module):
    """Small GoogLeNet: for each of `channels` convolution -> max-pooling -> ReLU -> Inception; then a linear layer."""

    accepts: tuple = ("image",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        channels: tuple[PositiveInt, ...] = (10, 20), kernel_size: PositiveInt = 5, pool_size: PositiveInt = 2,
        branch1x1: PositiveInt = 16, branch5x5: tuple[PositiveInt, PositiveInt] = (16, 24),
        branch3x3: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 24, 24), branch_pool: PositiveInt = 24,
        out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `channels`: channels after each of the convolutions between the blocks.
        - `kernel_size`: pixels a side of those convolutions, which are not padded.
        - `pool_size`: pixels a side of the max-pooling, and its stride.
        - `branch1x1`: channels after the 1x1 branch of a block.
        - `branch5x5`: channels after the 1x1 and the 5x5 convolution of that branch.
        - `branch3x3`: channels after the 1x1 and the two 3x3 convolutions of that branch.
        - `branch_pool`: channels after the pooling branch.
        - `out_features`: K, logits or values of an answer.

        **Raises:** `ValueError` if the image is too small for the convolutions and poolings.
        """
        super().__init__()
        height, width = pooled_size(image_size, num_layers=len(channels), kernel_size=kernel_size, pool_size=pool_size)
        self.convs, self.blocks = nn.ModuleList(), nn.ModuleList()
        for out_channels in channels:
            block = InceptionA(out_channels, branch1x1, branch5x5, branch3x3, branch_pool)
            self.convs.append(nn.Conv2d(in_channels, out_channels, kernel_size))
            self.blocks.append(block)
            in_channels = block.out_channels
        self.pool = nn.MaxPool2d(pool_size)
        self.fc = nn.Linear(in_channels * height * width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        for conv, block in zip(self.convs, self.blocks, strict=True):
            x = F.relu(self.pool(conv(x)))  # (B, C, H, W) -> (B, next C, about H/2, W/2)
            x = block(x)  # (B, 16 + 24 + 24 + 24, H, W)
        return self.fc(x.flatten(1))  # (B, C * H * W) -> (B, K)
