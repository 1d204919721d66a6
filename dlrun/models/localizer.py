"""One object or none in an image: is it there, where, and which? Convolutions and one head for all of it.

The notes' target localisation: a classifier whose last layer gives [present, x, y, height, width, classes ...].

Letters: B examples, C channels, H, W pixels, K classes (`out_features`), P points.
"""

import math

from torch import Tensor, nn

from dlrun.config.schema import PositiveInt
from dlrun.models.parts.backbone import network
from dlrun.models.parts.body import Body


class Localizer(nn.Module):
    """A body, and a linear layer of 5 + K outputs on the whole map that it leaves; or any image model with as many."""

    accepts: tuple = ("image",)
    answers: tuple = ("object",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        channels: tuple[PositiveInt, ...] = (16, 32, 64, 64), backbone: str | None = None, out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `channels`: of the body; each halves the sides of the map.
        - `backbone`: another model of images in place of the body, with its defaults, such as `resnet`; or one of
          torchvision, such as `resnet18`.
        - `out_features`: K, the number of classes, or P of points.
        """
        super().__init__()
        self.net = _places_net(in_channels, image_size, channels, backbone, self.num_outputs(out_features))

    @staticmethod
    def num_outputs(out_features: int) -> int:
        return 5 + out_features

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # (B, C, H, W) -> (B, 5 + K)


class KeyPointNet(Localizer):
    """As `Localizer`, with the outputs [present, x1, y1, ..., xP, yP] (B, 1 + 2 P); `out_features` is P."""

    accepts: tuple = ("image",)
    answers: tuple = ("points",)

    @staticmethod
    def num_outputs(out_features: int) -> int:
        return 1 + 2 * out_features


def _places_net(
    in_channels: int, image_size: int | tuple[int, int], channels: tuple[int, ...], backbone: str | None, outputs: int
) -> nn.Module:
    """A network from images to `outputs` numbers that keeps where things are: nothing is averaged over the map."""
    if backbone is not None:
        return network(backbone, in_channels, image_size, outputs)
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    body = Body(in_channels, channels)
    places = math.ceil(height / body.stride) * math.ceil(width / body.stride)
    head = nn.Sequential(
        nn.Flatten(), nn.Linear(body.out_channels * places, 128), nn.ReLU(inplace=True), nn.Linear(128, outputs)
    )
    return nn.Sequential(body, head)
