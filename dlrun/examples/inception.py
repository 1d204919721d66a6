"""The sizes inside an Inception block, and in the network around it."""

from typing import TYPE_CHECKING, Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import Range, says
from dlrun.examples.lesson import Lesson, Step
from dlrun.models.googlenet_mini import GoogLeNetMini, InceptionA
from dlrun.plots import diagrams
from dlrun.plots.diagrams import INPUT, OUTPUT, Box

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BRANCHES = ("branch1x1", "branch5x5", "branch3x3", "branch_pool")


@says(chapter="10 Inception and residual networks")
def inception_shapes(
    *, image_size: Annotated[int, Range(1, 512)] = 28, channels: Annotated[int, Range(1, 512)] = 10
) -> Lesson:
    """Four branches see the same maps, keep their height and width, and are joined along the channels: 1408 features.

    **Arguments:**

    - `image_size`: pixels a side of an image of one channel.
    - `channels`: channels of the maps that go into the first block.
    """
    with torch.device("meta"), torch.no_grad():  # tensors that have a shape and no numbers
        model = GoogLeNetMini(in_channels=1, image_size=image_size, channels=(channels, 20), out_features=10)
        block = model.blocks[0]
        assert isinstance(block, InceptionA)
        x = F.relu(model.pool(model.convs[0](torch.zeros(1, 1, image_size, image_size))))
        branches = {name: _layers(x, getattr(block, name)) for name in BRANCHES}
        joined = block(x)
        second = F.relu(model.pool(model.convs[1](joined)))
        last = model.blocks[1](second)
    shape = x.shape[1:]
    rows = [
        [name, layer, _shape(out), f"{weights:,}"]
        for name, layers in branches.items()
        for layer, out, weights in layers
    ]
    widths = [layers[-1][1].shape[1] for layers in branches.values()]
    direct, reduced = _costs(channels, block, shape[1] * shape[2])
    network = [
        ["image", f"1 x {image_size} x {image_size}"],
        ["convolution 5x5, max-pooling 2, ReLU", _shape(x)],
        ["Inception", _shape(joined)],
        ["convolution 5x5, max-pooling 2, ReLU", _shape(second)],
        ["Inception", _shape(last)],
        ["flattened: what the linear layer takes", str(last.numel())],
    ]
    steps = [
        Step(f"What goes in: the maps behind the first convolution and pooling, {_shape(x)}."),
        Step(
            "The four branches. A padding of (f - 1) / 2 keeps height and width.",
            values=rows,
            columns=("branch", "layer", "channels x height x width", "parameters"),
        ),
        Step(
            "Joined along the channels.", f"{' + '.join(map(str, widths))} = {sum(widths)} channels: {_shape(joined)}"
        ),
        Step(
            f"What the 1x1 convolution in front of the 5x5 one is for: with it, {channels} channels take "
            f"{reduced / direct:.0%} of the multiply-adds. It pays where many come in, as 192 do in GoogLeNet.",
            f"5x5 alone: {direct:,} multiply-adds;  1x1, then 5x5: {reduced:,}",
        ),
        Step("The whole network.", values=network, columns=("layer", "what comes out")),
    ]
    return Lesson(steps, _diagram(x, branches, joined))


def _layers(x: Tensor, branch: nn.Module) -> list[tuple[str, Tensor, int]]:
    """Each layer of a branch: what it is, what comes out, how many parameters it has."""
    found = []
    for layer in branch if isinstance(branch, nn.Sequential) else [branch]:
        x = layer(x)
        weights = sum(parameter.numel() for parameter in layer.parameters())
        sides = getattr(layer, "kernel_size", None)
        side = sides[0] if isinstance(sides, tuple) else sides
        name = "average pooling" if isinstance(layer, nn.AvgPool2d) else "convolution"
        found.append((f"{name} {side}x{side}", x, weights))
    return found


def _costs(channels: int, block: InceptionA, pixels: int) -> tuple[int, int]:
    """Multiply-adds of the 5x5 branch without its 1x1 convolution, and with it."""
    first, second = (layer.out_channels for layer in block.branch5x5 if isinstance(layer, nn.Conv2d))
    return pixels * 25 * channels * second, pixels * (channels * first + 25 * first * second)


def _shape(maps: Tensor) -> str:
    return " x ".join(map(str, maps.shape[1:]))


def _diagram(x: Tensor, branches: dict[str, list[tuple[str, Tensor, int]]], joined: Tensor) -> "Figure":
    middle, bottom = (len(branches) - 1) / 2, 1 + max(map(len, branches.values()))
    boxes = {"in": Box(f"input\n{_shape(x)}", middle, 0, INPUT)}
    arrows = []
    for column, (name, layers) in enumerate(branches.items()):
        before = "in"
        for row, (layer, out, _) in enumerate(layers, start=1):
            boxes[f"{name} {row}"] = Box(f"{layer}\n{_shape(out)}", column, row)
            arrows.append((before, f"{name} {row}"))
            before = f"{name} {row}"
        arrows.append((before, "out"))
    boxes["out"] = Box(f"joined\n{_shape(joined)}", middle, bottom, OUTPUT)
    return diagrams.diagram(boxes, arrows, "An Inception block: channels x height x width", elbows=True)
