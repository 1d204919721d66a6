"""A small body of convolutions, each with a batch norm, that turns an image into a map of features."""

from collections.abc import Sequence

from torch import Tensor, nn


class ConvNormAct(nn.Sequential):
    """A padded 3x3 convolution without bias, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Stages(nn.Module):
    """For each of `channels` two convolutions, the first of which halves the sides of the map."""

    def __init__(self, in_channels: int, channels: Sequence[int]):
        super().__init__()
        stages, before = [], in_channels
        for width in channels:
            stages.append(nn.Sequential(ConvNormAct(before, width, stride=2), ConvNormAct(width, width)))
            before = width
        self.stages = nn.ModuleList(stages)
        self.out_channels, self.stride = before, 2 ** len(channels)

    def maps(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage in self.stages:
            x = stage(x)  # (B, C, H, W) -> (B, next C, ceil(H / 2), ceil(W / 2))
            found.append(x)
        return found


class Body(Stages):
    """The last map of its stages."""

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x)[-1]


class Maps(Stages):
    """The maps of all stages, the largest first."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.maps(x)
