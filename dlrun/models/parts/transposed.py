"""The transposed convolution as the notes draw it: each pixel lays a scaled copy of the kernel on the output.

U-Net takes torch's own, which is faster; the tests hold the two against each other.

Letters: B examples, C channels in, D channels out, H, W pixels, h, w pixels of the kernel.
"""

import torch
from torch import Tensor


def transposed_conv2d(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0, output_padding: int = 0) -> Tensor:
    """The sum of copies of the kernel, each times a pixel of `x`, laid `stride` apart.

    **Arguments:**

    - `x` (B, C, H, W); `weight` (C, D, h, w).
    - `stride`: pixels of the output from one copy to the next, along each side.
    - `padding`: rows and columns that are cut off from each side of the output.
    - `output_padding`: of those, how many are left at the right and the lower side.

    Returns (B, D, H', W') with H' = (H - 1) stride + h - 2 padding + output_padding.

    **Raises:** `ValueError` if nothing would be left, or the output padding is not below the stride.
    """
    batch, _, height, width = x.shape
    _, channels, rows, columns = weight.shape
    size = [(n - 1) * stride + k - 2 * padding + output_padding for n, k in ((height, rows), (width, columns))]
    if min(size) < 1:
        raise ValueError(f"an output of {size[0]}x{size[1]}: a padding of {padding} cuts everything off")
    if output_padding >= stride:
        raise ValueError(f"an output_padding of {output_padding} must be below the stride of {stride}")
    copies = torch.einsum("bcij,cdkl->bdikjl", x, weight)  # (B, D, H, h, W, w)
    # Where row k of the copy that belongs to row i lies, before anything is cut off; the columns likewise.
    row = (torch.arange(height)[:, None] * stride + torch.arange(rows)).to(x.device)  # (H, h)
    column = (torch.arange(width)[:, None] * stride + torch.arange(columns)).to(x.device)  # (W, w)
    whole_width = size[1] + 2 * padding
    place = row[:, :, None, None] * whole_width + column  # (H, h, W, w)
    laid = x.new_zeros(batch, channels, (size[0] + 2 * padding) * whole_width)
    laid = laid.index_add(2, place.flatten(), copies.flatten(2))
    laid = laid.view(batch, channels, -1, whole_width)
    return laid[:, :, padding : padding + size[0], padding : padding + size[1]]
