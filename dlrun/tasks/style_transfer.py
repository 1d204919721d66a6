"""One picture with the content of a second and the style of a third (notes, neural style transfer).

Gatys, Ecker, Bethge 2016 (Image Style Transfer Using Convolutional Neural Networks). `total_variation` is that of
Mahendran and Vedaldi 2015, with beta = 2; `keep_colour` the luminance transfer of Gatys et al. 2016 (Preserving Color
in Neural Artistic Style Transfer).

Letters: B pictures, C channels, H, W pixels; C', H', W' those of a map of the loss network.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn

from dlrun.config.schema import FilePath, NonNegativeFloat, Seed
from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch, Findings, Loader, Part, Task
from dlrun.errors import RunError, UserError
from dlrun.tasks import loss_network
from dlrun.tasks.loss_network import LossNetwork, luminance

TINY = 1e-12  # what is divided by is no smaller
MOST_STYLE_LAYERS = 5
CONTENT_LAYER = "conv4_2"  # of the paper, if the network has it


class Canvas(Protocol):
    """What a picture that learns can do; dlrun/models/canvas.py says what each is."""

    def __call__(self, content: Tensor) -> Tensor: ...
    def begin(self, content: Tensor) -> None: ...


@dataclass(frozen=True)
class Wanted:
    """What the two pictures look like to the loss network, by layer.

    **Fields:**

    - `scales`: what maps are multiplied by.
    - `content`: maps (1, C', H', W') of the content picture.
    - `grams`: Gram matrices (1, C', C') of the style picture.
    """

    scales: dict[str, Tensor]
    content: dict[str, Tensor]
    grams: dict[str, Tensor]


@dataclass(frozen=True)
class Start:
    """Where a run began: the example, what was shown of the picture, and its style loss."""

    batch: Batch
    shown: Tensor
    style: float


class StyleTransfer(Task):
    """The loss is `content_weight` * content + `style_weight` * style + `tv_weight` * tv, of the picture (B, 3, H, W).

    - content: how far its maps are from those of the content picture, a sum over the content layers.
    - style: how far its Gram matrices are from those of the style picture, a weighted sum over the style layers.
    - tv: its total variation.

    plots/result.png is the picture by itself. A run whose picture is the same at the end as at the start has failed.
    """

    learns: str = "style"
    needs: str = "picture"
    is_default: bool = True

    def __init__(
        self, spec: DataSpec, *, network: str | None = None, weights: FilePath | None = None, network_seed: Seed = 0,
        content_layers: tuple[str, ...] | None = None, style_layers: tuple[str, ...] | None = None,
        style_layer_weights: tuple[NonNegativeFloat, ...] | None = None, content_weight: NonNegativeFloat = 1.0,
        style_weight: NonNegativeFloat = 100.0, tv_weight: NonNegativeFloat = 20.0,
        content_loss: Literal["mean", "sum"] = "mean", rescale: bool = True, keep_colour: bool = False,
    ):  # fmt: skip
        """**Arguments:**

        - `spec`: what the data offer.
        - `network`: the loss network, a model of images of dlrun or of torchvision; None: that of `weights`, or
          `vgg19`.
        - `weights`: the folder of a run, or a name of torchvision's such as `VGG19_Weights.DEFAULT`; None: untrained.
        - `network_seed`: of the weights of an untrained network.
        - `content_layers`: their names, see `LossNetwork`; None: conv4_2, as in the paper, or of a network without it
          the last of the usual style layers.
        - `style_layers`: None: the first convolution of each of the five largest sizes of map; of VGG these are the
          paper's.
        - `style_layer_weights`: of the style loss of each of `style_layers`; None: all alike, 1 together.
        - `content_weight`, `style_weight`, `tv_weight`: of the terms of the loss.
        - `content_loss`: `sum` of the squared differences of maps, as in the notes, or their `mean`.
        - `rescale`: whether the maps of a layer are divided by their root mean square over both pictures, so that one
          setting of the weights suits any network and layer. (The paper rescales the weights of its VGG.)
        - `keep_colour`: whether brightness alone takes the style, and the result has the colours of the content.

        **Raises:** `ValueError` or `UserError` for a network that cannot be looked through, a layer that it does not
        have, or another number of weights than of layers.
        """
        super().__init__(spec)
        assert spec.image_size is not None, "pictures have a size"
        self.network = LossNetwork(loss_network.source(network, weights, network_seed), spec.image_size)
        usual = [name for name in self.network.layers if re.fullmatch(r"conv\d+_1", name)][:MOST_STYLE_LAYERS]
        deep = CONTENT_LAYER if CONTENT_LAYER in self.network.layers else usual[-1]
        self.style_layers = tuple(usual) if style_layers is None else style_layers
        self.content_layers = (deep,) if content_layers is None else content_layers
        self.network.keep([*self.style_layers, *self.content_layers])
        self.layer_weights = style_layer_weights or (1 / max(1, len(self.style_layers)),) * len(self.style_layers)
        if len(self.layer_weights) != len(self.style_layers):
            raise ValueError(
                f"style_layer_weights are {len(self.layer_weights)}, and the style layers {len(self.style_layers)}: "
                f"{', '.join(self.style_layers)}"
            )
        self.content_weight, self.style_weight, self.tv_weight = content_weight, style_weight, tv_weight
        self.reduction: Literal["mean", "sum"] = content_loss
        self.rescale, self.keep_colour = rescale, keep_colour
        self.wanted: Wanted | None = None
        self.start: Start | None = None

    def to(self, device: torch.device) -> None:
        self.network.to(device)
        self.wanted = None

    def begin(self, model: nn.Module, train: Part) -> list[str]:
        """Hands the content picture to the model. **Raises:** `UserError` for more than one pair of pictures."""
        if len(train) != 1:
            raise UserError(f"task=style_transfer: paints one picture from one pair, and the data have {len(train)}")
        raw = train.take(torch.zeros(1, dtype=torch.int64))
        batch = Batch((raw.inputs[0].float() / 255,), raw.target, raw.index).to(self.network.mean.device)
        canvas = cast(Canvas, model)
        canvas.begin(batch.inputs[0])
        with torch.no_grad():
            picture = canvas(batch.inputs[0])
            losses = self.losses(picture, batch)
            self.start = Start(batch, self.shown(picture, batch.inputs[0]), losses["style"].item())
        weighted = [
            f"{name} x {weight:.3g}" for name, weight in zip(self.style_layers, self.layer_weights, strict=True)
        ]
        return [
            f"network {self.network.about}",
            f"content {', '.join(self.content_layers)}: loss {losses['content'].item():.4g} at the start",
            f"style   {', '.join(weighted)}: loss {self.start.style:.4g} at the start",
        ]

    def check(self, output: Tensor, batch: Batch) -> None:
        """**Raises:** `ValueError` with both shapes if the picture and the content differ in theirs."""
        if output.shape != batch.inputs[0].shape:
            raise ValueError(f"the picture is {tuple(output.shape)}, the content {tuple(batch.inputs[0].shape)}")

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        wanted, seen = self._wanted(batch), self._seen(output)
        maps = {name: value * wanted.scales[name] for name, value in self.network(seen).items()}
        content = style = seen.new_zeros(())
        for name in self.content_layers:
            content = content + content_loss(maps[name], wanted.content[name], self.reduction)
        for name, weight in zip(self.style_layers, self.layer_weights, strict=True):
            style = style + weight * style_loss(gram_matrix(maps[name]), wanted.grams[name])
        tv = total_variation(seen)
        loss = self.content_weight * content + self.style_weight * style + self.tv_weight * tv
        return {"loss": loss, "content": content, "style": style, "tv": tv}

    def shown(self, picture: Tensor, content: Tensor) -> Tensor:
        """`picture` (B, 3, H, W) in 0..1 as a person sees it: perhaps with the colours of `content`."""
        if not self.keep_colour:
            return picture
        # A number added to red, green and blue alike changes the brightness alone.
        return (content + luminance(picture) - luminance(content)).clamp(0, 1)

    def examine(self, model: nn.Module) -> dict[str, float]:
        """How many times smaller the style loss has become in this run.

        **Raises:** `RunError` if the picture in 8 bits is still the one that it began with.
        """
        if self.start is None:
            return {}
        with torch.no_grad():
            picture = cast(Canvas, model)(*self.start.batch.inputs)
            style = self.losses(picture, self.start.batch)["style"].item()
        shown = self.shown(picture, *self.start.batch.inputs)
        if torch.equal((255 * shown).round(), (255 * self.start.shown).round()):
            raise RunError(
                "the picture is still the one that it began with: none of its values has changed by one of 255; try a "
                "higher optimizer.lr, task.style_weight or trainer.epochs (L-BFGS stops at gradients below 1e-7)"
            )
        return {"style_fall": self.start.style / style} if style > 0 else {}

    def answers(self, output: Tensor) -> dict[str, list[str]]:
        raise ValueError(
            "this run has painted one picture, plots/result.png, and knows no other; for another content: "
            "data.content=FILE"
        )

    def sample(self, model: nn.Module, loader: Loader) -> Tensor:
        inputs = loader.example().inputs
        return self.shown(model(*inputs), *inputs)[0]

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """The result, beside the pictures that it comes from, and the Gram matrices of all in the first style layer."""
        from dlrun.plots import gram, images

        raw = findings.part.take(torch.zeros(1, dtype=torch.int64))
        batch = Batch((raw.inputs[0].float() / 255,), raw.target, raw.index).to(self.network.mean.device)
        picture = findings.outputs.to(self.network.mean.device)
        result = self.shown(picture, *batch.inputs)
        shown = {"content": batch.inputs[0][0], "style": batch.target[0] / 255, "result": result[0]}
        found = {name: value.cpu() for name, value in shown.items()}
        figures = {"result": found["result"], "style_transfer": images.side_by_side(found)}
        if self.style_layers:
            layer, wanted = self.style_layers[0], self._wanted(batch)
            with torch.no_grad():
                ours, theirs = (
                    gram_matrix(self.network(self._seen(value))[layer] * wanted.scales[layer])
                    for value in (picture, batch.inputs[0])
                )
            grams = {"content": theirs, "style": wanted.grams[layer], "result": ours}
            figures["gram"] = gram.matrices({name: value[0].cpu() for name, value in grams.items()}, layer)
        return figures

    def _seen(self, pictures: Tensor) -> Tensor:
        """What the loss network is shown of pictures (B, 3, H, W): all, or their brightness."""
        return luminance(pictures).expand_as(pictures) if self.keep_colour else pictures

    def _wanted(self, batch: Batch) -> Wanted:
        """Found out once: the pair is the same in every step."""
        if self.wanted is None:
            # In the middle of an evaluation too: gradients will be taken with what is found here.
            with torch.inference_mode(False), torch.no_grad():
                self.wanted = self._looked_at(batch.inputs[0], batch.target.to(batch.inputs[0].dtype) / 255)
        return self.wanted

    def _looked_at(self, content: Tensor, style: Tensor) -> Wanted:
        """**Raises:** `UserError` if the style picture is too small for the network."""
        content, style = self._seen(content), self._seen(style)
        if self.keep_colour:
            std, mean = torch.std_mean(style)
            style = (style - mean) / std.clamp_min(TINY) * content.std() + content.mean()
        theirs = self.network(content)
        try:
            styled = self.network(style)
        except RuntimeError as error:
            height, width = style.shape[2:]
            raise UserError(
                f"data.style: a picture of {height}x{width} is too small for network {self.network.about} "
                f"({loss_network.first_line(error)}); take a larger one, or layers of larger maps"
            ) from error
        scales = {name: value.new_ones(()) for name, value in theirs.items()}
        if self.rescale:
            both = {name: torch.cat([theirs[name].flatten(), styled[name].flatten()]) for name in theirs}
            scales = {name: 1 / value.square().mean().sqrt().clamp_min(TINY) for name, value in both.items()}
        return Wanted(
            scales,
            {name: theirs[name] * scales[name] for name in self.content_layers},
            {name: gram_matrix(styled[name] * scales[name]) for name in self.style_layers},
        )


def gram_matrix(maps: Tensor) -> Tensor:
    """The mean over all places of the product of each two channels of `maps` (B, C', H', W'): (B, C', C').

    The paper has the sum over the places, which is H' W' times that; so the same pattern over a larger picture has the
    same style here.
    """
    flat = maps.flatten(2)  # (B, C', H', W') -> (B, C', H' * W')
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def style_loss(gram: Tensor, wanted: Tensor) -> Tensor:
    """The sum of the squared differences of Gram matrices (B, C', C') / (4 C'^2), the mean over B.

    With the paper's sums over H' W' places it would be / (4 C'^2 (H' W')^2), which is the same.
    """
    return (gram - wanted).square().sum(dim=(1, 2)).mean() / (4 * gram.shape[1] ** 2)


def content_loss(maps: Tensor, wanted: Tensor, reduction: Literal["mean", "sum"]) -> Tensor:
    """The sum of the squared differences of maps (B, C', H', W') over channels and places, or their mean; mean over B.

    The paper has half the sum.
    """
    squared = (maps - wanted).square()
    return squared.mean() if reduction == "mean" else squared.sum(dim=(1, 2, 3)).mean()


def total_variation(pictures: Tensor) -> Tensor:
    """The squared differences of neighbours, below and to the right, of pictures (B, C, H, W), a value."""
    down, right = pictures.diff(dim=2), pictures.diff(dim=3)
    return (down.square().sum() + right.square().sum()) / pictures.numel()
