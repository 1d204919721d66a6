"""CNN: convolutions with max-pooling between them, and a linear layer on what is left.

LeCun et al., "Gradient-based learning applied to document recognition", 1998; the notes' chapter 9:
two convolutions of 5x5 with 10 and 20 channels, a linear layer 320-10, for MNIST.

Departures from LeNet-5, as in the notes: ReLU after the pooling (on a quarter of the values, with
the same result), max- in place of average-pooling, one linear layer in place of three.

Letters: B examples, C channels, H, W pixels, K outputs (`out_features`).
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt


def pooled_size(
    image_size: int | tuple[int, int], *, num_layers: int, kernel_size: int, pool_size: int
) -> tuple[int, int]:
    """(H, W) of an image after `num_layers` times an unpadded convolution and a max-pooling.

    **Raises:** `ValueError` with the smallest size that works if nothing would be left.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    smallest = 1
    for _ in range(num_layers):
        smallest = smallest * pool_size + kernel_size - 1
    if min(height, width) < smallest:
        raise ValueError(
            f"image_size {height}x{width} is too small: {num_layers} convolutions of {kernel_size}x{kernel_size}, "
            f"each with a pooling of {pool_size}, need at least {smallest}x{smallest}"
        )
    for _ in range(num_layers):
        height, width = (height - kernel_size + 1) // pool_size, (width - kernel_size + 1) // pool_size
    return height, width


class CNN(nn.Module):
    """Convolutional network: for each of `channels` convolution -> max-pooling -> ReLU; then a linear layer."""

    accepts: tuple = ("image",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        channels: tuple[PositiveInt, ...] = (10, 20), kernel_size: PositiveInt = 5, pool_size: PositiveInt = 2,
        out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `channels`: channels after each convolution.
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
        self.fc = nn.Linear(widths[-1] * height * width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.relu(self.pool(conv(x)))  # (B, C, H, W) -> (B, next C, about H/2, W/2)
        return self.fc(x.flatten(1))  # (B, C * H * W) -> (B, K)
