"""U-Net: a class for each pixel, from a path that contracts the image and one that expands it again.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015; the notes'
chapter U-Net. Patches are folded into channels and out again as in Shi et al., "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", 2016.

Departures from the paper: convolutions are padded, so that the answer has the size of the image and nothing is cropped
from what is handed across; batch normalisation, which the paper did not have yet; 16 channels and 3 halvings in place
of 64 and 4 (`channels=64 depth=4 norm=false` is the paper's network).

Letters: B examples, C channels of a level, H, W pixels of a level, K classes (`out_features`).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt, ProperFraction


class DoubleConvolution(nn.Sequential):
    """Twice: 3x3 convolution -> batch norm -> ReLU. Height and width stay."""

    def __init__(self, in_channels: int, channels: int, norm: bool):
        layers: list[nn.Module] = []
        for c_in in (in_channels, channels):
            # The norm takes a bias away again.
            layers.append(nn.Conv2d(c_in, channels, kernel_size=3, padding=1, bias=not norm))
            layers += [nn.BatchNorm2d(channels)] if norm else []
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class Up(nn.Module):
    """From the level below to this one: twice the height and width, half the channels, and what was handed across."""

    def __init__(self, channels: int, up: Literal["transposed", "bilinear"], norm: bool):
        super().__init__()
        if up == "transposed":
            self.up = nn.ConvTranspose2d(2 * channels, channels, kernel_size=2, stride=2)
        else:
            # The convolution of single pixels comes first: on a quarter of them, with the same result.
            self.up = nn.Sequential(
                nn.Conv2d(2 * channels, channels, kernel_size=1), nn.Upsample(scale_factor=2, mode="bilinear")
            )
        self.convs = DoubleConvolution(2 * channels, channels, norm)

    def forward(self, below: Tensor, across: Tensor) -> Tensor:
        x = self.up(below)  # (B, 2C, H/2, W/2) -> (B, C, H, W)
        x = torch.cat([across, x], dim=1)  # (B, 2C, H, W)
        return self.convs(x)  # (B, C, H, W)


class UNet(nn.Module):
    """Double convolutions with max-pooling down, double convolutions with up-convolutions up, a 1x1 convolution."""

    accepts: tuple = ("image",)
    answers: tuple = ("mask",)

    def __init__(
        self, *, in_channels: PositiveInt, channels: PositiveInt = 16, depth: PositiveInt = 3,
        up: Literal["transposed", "bilinear"] = "transposed", norm: bool = True, dropout: ProperFraction = 0.0,
        patch_size: PositiveInt = 1, mirrored: bool = False, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: channels of the images.
        - `channels`: of the first level; each level below has twice as many.
        - `depth`: how often height and width are halved.
        - `up`: how they are doubled again: a transposed convolution of 2x2, or bilinear interpolation behind a
          convolution of 1x1.
        - `norm`: whether a batch norm follows each 3x3 convolution.
        - `dropout`: share of the values that are dropped at the end of the contracting path.
        - `patch_size`: P, the side of a square of pixels that is one place of the first level; each pixel has an answer
          of its own all the same. 2 takes a quarter of the work of 1 with as many channels.
        - `mirrored`: whether an answer is, beyond training, the mean of those to the image and to its mirror image; for
          what has no left and right.
        - `out_features`: K, classes of a pixel, the background being one.
        """
        super().__init__()
        widths = [channels * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            DoubleConvolution(c_in, c_out, norm)
            for c_in, c_out in zip([in_channels * patch_size**2, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(Up(width, up, norm) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(channels, out_features * patch_size**2, kernel_size=1)
        self.patch_size, self.mirrored = patch_size, mirrored
        self.multiple = patch_size * 2**depth

    def forward(self, x: Tensor) -> Tensor:
        logits = self._answer(x)
        if self.training or not self.mirrored:
            return logits
        return (logits + self._answer(x.flip(3)).flip(3)) / 2

    def _answer(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # Each halving needs an even side: the last pixels are repeated to the right and below, and cut off again.
        right, below = -width % self.multiple, -height % self.multiple
        if right or below:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        if self.patch_size > 1:
            x = F.pixel_unshuffle(x, self.patch_size)  # (B, C, P H, P W) -> (B, P P C, H, W)
        across = []
        for level, convs in enumerate(self.down):
            x = convs(self.pool(x) if level else x)  # (B, C, H, W) -> (B, 2C, H/2, W/2)
            across.append(x)
        x = self.dropout(across.pop())
        for up in self.up:
            x = up(x, across.pop())  # (B, 2C, H/2, W/2) -> (B, C, H, W)
        x = self.head(x)  # (B, C, H, W) -> (B, P P K, H, W)
        if self.patch_size > 1:
            x = F.pixel_shuffle(x, self.patch_size)  # (B, P P K, H, W) -> (B, K, P H, P W)
        return x[..., :height, :width]
