"""What lets networks made for photographs of 224 pixels take images of 28 or 32."""

from torch import nn

SMALLEST_SIDE = 4  # pixels that the last layers get at least, where the image has as many


def fit_to_size(net: nn.Module, image_size: int | tuple[int, int]) -> None:
    """Sets the stride of as many first convolutions to 1 as it takes for `SMALLEST_SIDE` pixels at the last layers.

    No weight changes its shape: weights that were trained on photographs still fit. 224 pixels keep every stride.
    """
    side = image_size if isinstance(image_size, int) else min(image_size)
    strided = [module for module in net.modules() if isinstance(module, nn.Conv2d) and module.stride != (1, 1)]
    affordable = 0
    while -(-side // 2) >= SMALLEST_SIDE and affordable < len(strided):
        side, affordable = -(-side // 2), affordable + 1
    for conv in strided[: len(strided) - affordable]:
        conv.stride = (1, 1)


def take_channels(net: nn.Module, in_channels: int) -> None:
    """Lets the first convolution of `net` take `in_channels`, with new weights if it took another number."""
    conv = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    if in_channels != conv.in_channels:
        conv.in_channels = in_channels
        conv.weight = nn.Parameter(conv.weight.new_empty(conv.out_channels, in_channels, *conv.kernel_size))
        nn.init.kaiming_normal_(conv.weight, mode="fan_out")


def scaled(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` next to `channels`, but not more than a tenth below (MobileNet's code)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor
