"""The network that a loss looks through: of a run, of torchvision with its weights, or untrained.

It learns nothing and stands in no checkpoint. Johnson, Alahi, Fei-Fei 2016 (Perceptual Losses for Real-Time Style
Transfer and Super-Resolution) give it its name.

Letters: B images, C channels, H, W pixels; C', H', W' those of a map.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dlrun.config import registry
from dlrun.config.filling import filled
from dlrun.config.networks import image_network
from dlrun.config.schema import few, suggest
from dlrun.errors import UserError
from dlrun.store import weights as stored

UNTRAINED = "vgg19"
# What the images of an untrained network are scaled by: the statistics of ImageNet, as for most networks that are not.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BUILT_AT = 224  # pixels a side; what the size decides lies behind the maps, and is left out
CONVOLUTIONS = (F.conv2d,)
RECTIFIERS = (torch.relu, torch.relu_, F.relu, F.relu_, F.relu6, Tensor.relu, Tensor.relu_)

Step: TypeAlias = str | tuple[str, int]


@dataclass(frozen=True)
class Source:
    """A network from images (B, C, H, W), and how the images were scaled that its weights come from.

    `mean` and `std` are of each channel of images in 0..1; `about` says what it is.
    """

    net: nn.Module
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    about: str


def source(network: str | None, weights: str | None, seed: int) -> Source:
    """The network that two keys of a config name.

    **Arguments:**

    - `network`: of a model of dlrun, with its defaults, or of a classifier of torchvision; None: that of `weights`, or
      `vgg19`.
    - `weights`: the folder of a run, or a name of torchvision's such as `VGG19_Weights.DEFAULT`; None: untrained.
    - `seed`: of the weights of an untrained one.

    **Raises:** `UserError` if there are none, they are of another network, or they do not look at images.
    """
    if weights is None:
        return _untrained(network or UNTRAINED, seed)
    try:
        return _of_torchvision(weights, network) if _is_published(weights) else _of_run(weights, network)
    except UserError as error:
        raise UserError(f"task.weights={weights}: {error}") from error


def _untrained(name: str, seed: int) -> Source:
    try:
        make = image_network(name)
    except ValueError as error:
        raise UserError(f"task.network={error}; weights of a run or of torchvision are task.weights") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make(in_channels=3, image_size=(BUILT_AT, BUILT_AT), out_features=1)
    return Source(net, 3, MEAN, STD, f"{name}, untrained (network_seed {seed})")


def _is_published(weights: str) -> bool:
    return re.fullmatch(r"\w+_Weights\.\w+", weights) is not None


def _of_torchvision(name: str, network: str | None) -> Source:
    entry = stored.published(name)
    from torchvision import models

    known = models.list_models(module=models)
    arch = next((arch for arch in known if models.get_model_weights(arch) is type(entry)), None)
    if arch is None:
        raise UserError("are not of a classifier, such as VGG19_Weights.DEFAULT")
    _check_network(network, arch)
    with stored.downloading(entry):
        net = models.get_model(arch, weights=entry)
    scaling = entry.transforms()
    return Source(net, 3, tuple(scaling.mean), tuple(scaling.std), f"{arch} of {name}")


def _of_run(folder: str, network: str | None) -> Source:
    given = stored.read(folder)
    if given.config is None or given.spec is None or given.model is None:
        raise UserError("say neither their network nor how its images were scaled; give the folder of a run")
    _check_network(network, given.model)
    spec = given.spec
    if spec.kind != "image" or spec.in_channels not in (1, 3):
        seen = f"images of {spec.in_channels} channels" if spec.kind == "image" else spec.kind
        raise UserError(f"model={given.model} looks at {seen}, and pictures are images of 3 channels, or of 1 in grey")
    keys = filled(given.config["model"], "model", spec, given.config["data"]["name"])
    net = registry.of("model").get(given.model)(**keys)
    try:
        net.load_state_dict(given.tensors)
    except RuntimeError as error:
        raise UserError(f"do not fit model={given.model}: {str(error).splitlines()[-1].strip()}") from error
    channels = spec.in_channels
    mean, std = spec.mean or (0.0,) * channels, spec.std or (1.0,) * channels
    return Source(net, channels, mean, std, f"{given.model} of {folder}")


def _check_network(wanted: str | None, found: str) -> None:
    if wanted not in (None, found):
        raise UserError(f"are of {found}, and task.network={wanted}; leave task.network out")


class LossNetwork(nn.Module):
    """Images (B, 3, H, W) in 0..1 -> the maps of chosen layers, by name, each (B, C', H', W').

    The images are scaled as those were that the weights were trained with, and turned grey if these were grey. The
    network is run up to the last of the layers.

    `convI_K` is the K-th convolution whose map has the I-th size, the first one seen counted first, and `reluI_K` what
    is rectified behind it: of VGG these are the names of its paper. The output of any other part is called as the part,
    such as `features.4` or `layer1.0.bn1`. A map is as its layer gave it: what works in place behind it changes it not.

    **Attributes:** `about`: which network it is; `layers`: the names by size and number, in order.
    """

    def __init__(self, source: Source, image_size: tuple[int, int]):
        """**Arguments:**

        - `source`: the network.
        - `image_size`: (H, W) of images, by which the sizes of maps are told apart.

        **Raises:** `ValueError` if no convolution of the network makes a map of such an image.
        """
        super().__init__()
        self.about, self.is_grey = source.about, source.in_channels == 1
        self.mean = nn.Buffer(torch.tensor(source.mean).view(-1, 1, 1))
        self.std = nn.Buffer(torch.tensor(source.std).view(-1, 1, 1))
        self.net = source.net.eval().requires_grad_(False)
        self.example = torch.zeros(1, source.in_channels, *image_size)
        found, reason = _Names(), ""
        try:
            with torch.no_grad():
                self._run(self.example, found, [name for name, _ in self.net.named_modules() if name])
        except Exception as error:  # behind the maps a network may want the size of image that it was made for
            reason = f" ({first_line(error)})"
        self.steps = found.parts | found.numbered
        self.layers = list(found.numbered)
        self.kept: tuple[str, ...] = ()
        if not self.layers:
            height, width = image_size
            raise ValueError(
                f"network {self.about}: no convolution of it makes a map of an image of {height}x{width}{reason}; "
                "take a larger image or another network"
            )

    def keep(self, layers: Sequence[str]) -> None:
        """Makes `layers` what is answered, and frees the memory of the weights that they do not need.

        **Raises:** `ValueError` for one that is not there.
        """
        for name in layers:
            if name not in self.steps:
                raise ValueError(
                    f"{name!r} is no layer of network {self.about}{suggest(name, self.steps)}; it has "
                    f"{few(self.layers, 40)}"
                )
        self.kept = tuple(dict.fromkeys(layers))
        with torch.no_grad():
            used = self._watch(self.example).used
        for parameter in self.net.parameters():
            if id(parameter) not in used:
                parameter.data = parameter.new_empty(0)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if self.is_grey:
            images = luminance(images)  # (B, 3, H, W) -> (B, 1, H, W)
        found = self._watch((images - self.mean) / self.std).maps
        return {name: found[self.steps[name]] for name in self.kept}

    def _watch(self, images: Tensor) -> "_Kept":
        kept = _Kept({self.steps[name] for name in self.kept})
        if kept.wanted:
            self._run(images, kept, [step for step in kept.wanted if isinstance(step, str)])
        return kept

    def _run(self, images: Tensor, hearer: "_Hearer", parts: Sequence[str]) -> None:
        """Lets `hearer` hear of the outputs of these `parts`, and of each convolution and rectifier."""
        hooks = [
            self.net.get_submodule(name).register_forward_hook(
                lambda _, __, output, name=name: hearer.hear(name, output) if isinstance(output, Tensor) else None
            )
            for name in parts
        ]
        try:
            with hearer:
                self.net(images)
        except _Enough:
            pass
        finally:
            for hook in hooks:
                hook.remove()


class _Enough(Exception):
    """All that is wanted of a network has been heard."""


class _Hearer(TorchFunctionMode):
    """Hears of the steps of a network while it runs, whatever its code is like.

    A step is the name of a part, or which convolution or rectifier it is: ("conv", 3), ("relu", 5).

    **Attributes:** `used`: the ids of the parameters that were computed with so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.used: set[int] = set()
        self.calls = {"conv": 0, "relu": 0}

    def hear(self, step: Step, output: Tensor) -> None:
        raise NotImplementedError

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for value in (*args, *(kwargs or {}).values()):
            values = value if isinstance(value, list | tuple) else (value,)
            self.used |= {id(inner) for inner in values if isinstance(inner, nn.Parameter)}
        kind = "conv" if func in CONVOLUTIONS else "relu" if func in RECTIFIERS else None
        if kind is not None:
            self.calls[kind] += 1
            self.hear((kind, self.calls[kind]), output)
        return output


class _Names(_Hearer):
    """The steps that make maps of more than one place, by the names of their layers."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, Step] = {}
        self.numbered: dict[str, Step] = {}
        self.counts: dict[torch.Size, int] = {}  # convolutions so far, by the size of their maps
        self.latest = ""

    def hear(self, step: Step, output: Tensor) -> None:
        if output.ndim != 4 or output.shape[2:].numel() < 2:
            return
        if isinstance(step, str):
            self.parts[step] = step
        elif step[0] == "conv":
            size = output.shape[2:]
            self.counts[size] = self.counts.get(size, 0) + 1
            self.latest = f"{list(self.counts).index(size) + 1}_{self.counts[size]}"
            self.numbered[f"conv{self.latest}"] = step
        elif self.latest:
            self.numbered.setdefault(f"relu{self.latest}", step)


class _Kept(_Hearer):
    """The maps of the steps that are `wanted`; then the network need not go on."""

    def __init__(self, wanted: set[Step]):
        super().__init__()
        self.wanted = wanted
        self.maps: dict[Step, Tensor] = {}

    def hear(self, step: Step, output: Tensor) -> None:
        if step in self.wanted and step not in self.maps:
            self.maps[step] = output.clone()  # what comes next may work in place
            if len(self.maps) == len(self.wanted):
                raise _Enough


def luminance(pictures: Tensor) -> Tensor:
    """The brightness (B, 1, H, W) of pictures (B, 3, H, W) in RGB, by ITU-R BT.601."""
    red, green, blue = pictures.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def first_line(error: Exception) -> str:
    """What an exception says, as one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
