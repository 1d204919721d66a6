"""Any image classifier of torchvision, from AlexNet to ViT, with or without ImageNet weights.

The papers: https://docs.pytorch.org/vision/stable/models.html. torchvision is imported when a model
is made, so that nothing else of dlrun pays for it.

Departures: the first convolution takes any number of channels; a head of another size replaces
ImageNet's; the auxiliary outputs of GoogLeNet and Inception v3 are off, so that every network
returns one tensor. With ImageNet weights the images are still normalised by their own data's mean
and standard deviation, not by ImageNet's.

Letters: B examples, C channels, H, W pixels, K outputs (`out_features`).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.schema import PositiveInt, suggest

AUXILIARY_HEADS = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
FIXED_IMAGE_SIZE = ("vit_", "maxvit_")


class TorchvisionClassifier(nn.Module):
    """The network `arch` of torchvision, fitted to the channels, size and classes of the data.

    `pretrained` starts from ImageNet weights (downloaded once); `resize` first scales the images
    to that many pixels a side, which networks made for photographs need on small images.

    **Raises:** `ValueError` if torchvision has no such classifier, if the images do not have the
    size it needs, or if the weights cannot be had.
    """

    accepts: tuple = ("image",)

    def __init__(
        self,
        *,
        arch: str = "resnet18",
        pretrained: bool = False,
        resize: PositiveInt | None = None,
        in_channels: PositiveInt,
        image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        out_features: PositiveInt,
    ):
        super().__init__()
        side = resize or image_size
        height, width = (side, side) if isinstance(side, int) else side
        self.size = (height, width)
        self.resize = resize
        if pretrained:
            self.net = _build(arch, self.size, weights="DEFAULT")
            _replace_head(self.net, out_features)
        else:
            self.net = _build(arch, self.size, weights=None, num_classes=out_features)
        _replace_first_convolution(self.net, in_channels, keep_weights=pretrained)

    def forward(self, x: Tensor) -> Tensor:
        if self.resize is not None:
            x = F.interpolate(x, self.size, mode="bilinear", antialias=True)  # (B, C, H, W) -> (B, C, resize, resize)
        return self.net(x)  # (B, K)


def _build(arch: str, size: tuple[int, int], *, weights: str | None, **options: Any) -> nn.Module:
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    if arch not in names:
        raise ValueError(
            f"arch {arch!r} is no classifier of torchvision{suggest(arch, names)} "
            f"({len(names)} names, such as resnet18, mobilenet_v2, vit_b_16; "
            "all: https://docs.pytorch.org/vision/stable/models.html#classification)"
        )
    known = torchvision.models.get_model_weights(arch)["DEFAULT"]
    _check_size(arch, size, known.meta["min_size"])
    if arch in AUXILIARY_HEADS:
        options["init_weights"] = weights is None
    if arch.startswith("vit_"):
        options["image_size"] = size[0]
    try:
        net: Any = torchvision.models.get_model(arch, weights=weights, **options)
    except OSError as error:
        raise ValueError(
            f"the weights of {arch} could not be downloaded ({error}); set model.pretrained=false, "
            f"or put the file {known.url} into {torch.hub.get_dir()}/checkpoints"
        ) from error
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


def _replace_first_convolution(net: Any, in_channels: int, *, keep_weights: bool) -> None:
    """Lets the first convolution take `in_channels`.

    Kept weights are summed over RGB and shared out, so that an image whose channels are all equal
    gives the same output as its RGB version.
    """
    conv = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    if in_channels == conv.in_channels:
        return
    grey = conv.weight.detach().sum(dim=1, keepdim=True)
    conv.in_channels = in_channels
    conv.weight = nn.Parameter(grey.repeat(1, in_channels, 1, 1) / in_channels)  # (out, 3, k, k) -> (out, C, k, k)
    if not keep_weights:
        conv.reset_parameters()
    if hasattr(net, "transform_input"):
        net.transform_input = False  # GoogLeNet and Inception v3: it reads the channels as R, G and B


def _replace_head(net: nn.Module, out_features: int) -> None:
    """Gives the last layer `out_features` outputs; it is kept if it has that many already."""
    head = [module for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    if out_features == head.weight.shape[0]:
        return
    # SqueezeNet's head is a 1x1 convolution.
    setattr(head, "out_features" if isinstance(head, nn.Linear) else "out_channels", out_features)
    head.weight = nn.Parameter(torch.empty(out_features, *head.weight.shape[1:]))
    if head.bias is not None:
        head.bias = nn.Parameter(torch.empty(out_features))
    head.reset_parameters()
