"""Any image classifier of torchvision, from AlexNet to ViT.

The papers: https://docs.pytorch.org/vision/stable/models.html. torchvision is imported when a model
is made, so that nothing else of dlrun pays for it.

Departures: the first convolution takes any number of channels; the auxiliary outputs of GoogLeNet
and Inception v3 are off, so that every network returns one tensor. With ImageNet weights (`init.from`)
the images are still normalised by their own data's mean and standard deviation.

Letters: B examples, C channels, H, W pixels, K outputs (`out_features`).
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import PositiveInt, suggest

AUXILIARY_HEADS = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
FIXED_IMAGE_SIZE = ("vit_", "maxvit_")


class TorchvisionClassifier(nn.Module):
    """The network `arch` of torchvision, fitted to the channels, size and classes of the data."""

    accepts: tuple = ("image",)

    def __init__(
        self, *, arch: str = "resnet18", resize: PositiveInt | None = None, in_channels: PositiveInt,
        image_size: PositiveInt | tuple[PositiveInt, PositiveInt], out_features: PositiveInt,
    ):  # fmt: skip
        """**Arguments:**

        - `arch`: torchvision's name of the network.
        - `resize`: pixels a side to which images are scaled first; None: they keep their size. Networks made for
          photographs need it for small images.
        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `out_features`: K, logits or values of an answer.

        **Raises:** `ValueError` if torchvision has no such classifier, or if the images do not have the size it needs.
        """
        super().__init__()
        side = resize or image_size
        height, width = (side, side) if isinstance(side, int) else side
        self.size = (height, width)
        self.resize = resize
        self.net = _build(arch, self.size, out_features)
        replace_first_convolution(self.net, in_channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.resize is not None:
            x = F.interpolate(x, self.size, mode="bilinear", antialias=True)  # (B, C, H, W) -> (B, C, resize, resize)
        return self.net(x)  # (B, K)


def _build(arch: str, size: tuple[int, int], out_features: int) -> nn.Module:
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    if arch not in names:
        raise ValueError(
            f"arch {arch!r} is no classifier of torchvision{suggest(arch, names)} "
            f"({len(names)} names, such as resnet18, mobilenet_v2, vit_b_16; "
            "all: https://docs.pytorch.org/vision/stable/models.html#classification)"
        )
    _check_size(arch, size, torchvision.models.get_model_weights(arch)["DEFAULT"].meta["min_size"])
    options: dict[str, Any] = {"num_classes": out_features}
    if arch in AUXILIARY_HEADS:
        options["init_weights"] = True
    if arch.startswith("vit_"):
        options["image_size"] = size[0]
    net: Any = torchvision.models.get_model(arch, weights=None, **options)
    for head in AUXILIARY_HEADS.get(arch, ()):
        net.aux_logits = False
        setattr(net, head, None)
    return net


def _check_size(arch: str, size: tuple[int, int], smallest: tuple[int, int]) -> None:
    fixed = arch.startswith(FIXED_IMAGE_SIZE)
    if size != smallest if fixed else min(size) < min(smallest):
        raise ValueError(
            f"arch {arch} needs images of {'exactly' if fixed else 'at least'} {smallest[0]}x{smallest[1]}, "
            f"found {size[0]}x{size[1]}; set model.resize={smallest[0]}"
        )


def replace_first_convolution(net: Any, in_channels: int) -> None:
    """Puts a first convolution of `in_channels` channels, with new weights, in the place of another."""
    conv = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    if in_channels == conv.in_channels:
        return
    conv.in_channels = in_channels
    conv.weight = nn.Parameter(conv.weight.new_empty(conv.out_channels, in_channels, *conv.kernel_size))
    conv.reset_parameters()
