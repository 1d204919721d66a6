"""Images as points on a sphere, so that a distance says whether two show the same person or thing.

The notes' chapter on faces: one encoder gives 128 numbers for each picture; in a siamese network two branches, in a
triplet network three, share it. Bromley et al., "Signature verification using a siamese time delay neural network",
1993; Schroff, Kalenichenko and Philbin, "FaceNet", 2015, whose 128 numbers of length 1 these are.

Letters: B examples, C channels, H, W pixels, E numbers of an embedding (`embedding_size`).
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt, ProperFraction
from dlrun.models.parts.backbone import network
from dlrun.models.parts.body import Body
from dlrun.models.parts.embedding import Embedding


class Embedder(Embedding):
    """A body of convolutions, or any image network, and a linear layer to E numbers, divided by their length."""

    accepts: tuple = ("image",)
    answers: tuple = ("embedding",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        channels: tuple[PositiveInt, ...] = (32, 64, 128), backbone: str | None = None,
        embedding_size: PositiveInt = 128, dropout: ProperFraction = 0.0, mirrored: bool = False,
        pair_unit: bool = False,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `channels`: of the body; each halves the sides of the map.
        - `backbone`: another model of images in place of the body, with its defaults, such as `resnet`; or one of
          torchvision, such as `resnet18`.
        - `embedding_size`: E.
        - `dropout`: the share of what goes into the linear layer that is left out in training.
        - `mirrored`: whether an embedding is, beyond training, the mean of those of the image and of its mirror image;
          for what has no left and right, such as faces.
        - `pair_unit`: whether a logistic unit on |difference| says if two are the same, which `task=siamese
          task.loss=logistic` learns.
        """
        super().__init__(embedding_size, pair_unit)
        self.mirrored = mirrored
        if backbone is not None:
            self.net = network(backbone, in_channels, image_size, embedding_size)
            return
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        body = Body(in_channels, channels)
        places = math.ceil(height / body.stride) * math.ceil(width / body.stride)
        head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(body.out_channels * places, embedding_size))
        self.net = nn.Sequential(body, head)

    def forward(self, x: Tensor) -> Tensor:
        found = F.normalize(self.net(x).float(), dim=1)  # (B, C, H, W) -> (B, E), each of length 1
        if self.training or not self.mirrored:
            return found
        return F.normalize(found + F.normalize(self.net(x.flip(3)).float(), dim=1), dim=1)
