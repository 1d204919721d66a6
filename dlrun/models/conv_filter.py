"""One convolution with a kernel that finds edges, made by hand or learned (notes, computer vision).

Each channel is filtered by itself. Along a side of n pixels a kernel of f pixels that moves s pixels at a time, with p
zeros on both ends, has room at

    floor((n + 2p - f) / s) + 1

places: the size of what comes out. With s = 1 and p = (f - 1) / 2 it is n, which is why f is mostly odd.

Letters: B examples, C channels, H, W pixels, H', W' those of the output.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from dlrun.config.kernels import KERNELS
from dlrun.config.schema import Kernel, NonNegativeInt, PositiveInt


class ConvFilter(nn.Module):
    """Convolution by one kernel: one of those made by hand, which stays as it is, or a learned one.

    The answer (B, C, H', W') is an image. There is no bias: an even surface has no edge, and the answer is 0.
    """

    accepts: tuple = ("image",)
    answers: tuple = ("image",)

    def __init__(
        self, *, in_channels: PositiveInt, kernel: Literal["learned"] | Kernel = "learned",
        kernel_size: PositiveInt = 3, padding: NonNegativeInt = 0, stride: PositiveInt = 1, sign: bool = True,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `kernel`: `learned`, or the name of a kernel made by hand, whose weights do not learn.
        - `kernel_size`: f, pixels a side of the kernel.
        - `padding`: p, zeros added at each side of the image.
        - `stride`: s, pixels that the kernel moves at a time.
        - `sign`: whether the answer tells a dark-to-bright edge from a bright-to-dark one; False: its absolute value.

        **Raises:** `ValueError` if a kernel made by hand is asked for in another size.
        """
        super().__init__()
        self.sign = sign
        self.conv = nn.Conv2d(
            in_channels, in_channels, kernel_size, stride=stride, padding=padding, groups=in_channels, bias=False
        )
        if kernel != "learned":
            rows = KERNELS[kernel]
            if kernel_size != len(rows):
                raise ValueError(f"kernel {kernel} has {len(rows)} pixels a side, not kernel_size {kernel_size}")
            weight = torch.tensor(rows, dtype=torch.float32).expand_as(self.conv.weight).clone()
            self.conv.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        edges = self.conv(x)  # (B, C, H, W) -> (B, C, H', W')
        return edges if self.sign else edges.abs()
