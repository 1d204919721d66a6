"""Any semantic segmentation network of torchvision: FCN, DeepLab v3, LR-ASPP.

The papers: https://docs.pytorch.org/vision/stable/models.html#semantic-segmentation. torchvision is imported when a
model is made, so that nothing else of dlrun pays for it.

Departures: the first convolution takes any number of channels; the auxiliary head is left out, so that every network
returns one tensor; all weights are random.

Letters: B examples, C channels, H, W pixels, K classes (`out_features`).
"""

from typing import Any

from torch import Tensor, nn

from dlrun.config.schema import PositiveInt, suggest
from dlrun.models.zoo import replace_first_convolution


class TorchvisionSegmenter(nn.Module):
    """The network `arch` of torchvision, fitted to the channels and classes of the data."""

    accepts: tuple = ("image",)
    answers: tuple = ("mask",)

    def __init__(self, *, arch: str = "lraspp_mobilenet_v3_large", in_channels: PositiveInt, out_features: PositiveInt):
        """**Arguments:**

        - `arch`: torchvision's name of the network.
        - `in_channels`: C, channels of the images.
        - `out_features`: K, classes of a pixel.

        **Raises:** `ValueError` if torchvision has no such network.
        """
        super().__init__()
        import torchvision

        names = torchvision.models.list_models(module=torchvision.models.segmentation)
        if arch not in names:
            raise ValueError(
                f"arch {arch!r} is no segmentation network of torchvision{suggest(arch, names)}; it has "
                f"{', '.join(names)}"
            )
        self.net: Any = torchvision.models.get_model(
            arch, weights=None, weights_backbone=None, num_classes=out_features
        )
        replace_first_convolution(self.net, in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)["out"]  # (B, C, H, W) -> (B, K, H, W)
