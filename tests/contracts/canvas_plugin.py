"""An image as the only parameter, drawn to look like another through the eyes of a network that stays as it is and
stands in no checkpoint. Written with nothing but the public contracts."""

import torch
from torch import Tensor, nn

from dlrun.config.spec import DataSpec
from dlrun.data import DATA
from dlrun.engine.contracts import Batch, DataSet, Findings, Loader, Part, Task
from dlrun.engine.parts import TensorPart
from dlrun.models import MODELS
from dlrun.tasks import TASKS


@DATA.register("one_picture")
class OnePicture(DataSet):
    """A single picture of stripes; nothing else is to be learned from it than itself."""

    kind: str = "image"
    target: str = "picture"
    source: str = "made"

    @property
    def spec(self) -> DataSpec:
        return DataSpec(kind="image", target="picture", in_channels=3, image_size=(12, 12))

    def load(self) -> dict[str, Part]:
        stripes = (torch.arange(12) % 4 < 2).byte()[None, None, :, None] * 200
        return {"train": TensorPart((stripes.expand(1, 3, 12, 12).contiguous(),), torch.zeros(1))}


@MODELS.register("a_canvas")
class Canvas(nn.Module):
    """The picture is the parameter."""

    accepts: tuple = ("image",)
    answers: tuple = ("picture",)

    def __init__(self, *, in_channels: int, image_size: tuple[int, int]):
        super().__init__()
        self.picture = nn.Parameter(torch.rand(1, in_channels, *image_size))

    def forward(self, content: Tensor) -> Tensor:
        return self.picture


@TASKS.register("a_style")
class Style(Task):
    """Features and Gram matrices of the picture and of the content, through a network of random filters."""

    learns: str = "picture"
    needs: str = "picture"
    is_default: bool = True

    def __init__(self, spec: DataSpec):
        super().__init__(spec)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.eyes = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)).requires_grad_(False)

    def to(self, device: torch.device) -> None:
        self.eyes.to(device)

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        ours, theirs = self.eyes(output), self.eyes(batch.inputs[0])
        content = (ours - theirs).square().mean()
        style = (gram(ours) - gram(theirs)).square().mean()
        return {"loss": content + style, "content": content, "style": style}

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[float]]:
        return {"brightness": output.mean(dim=(1, 2, 3)).tolist()}

    def answers(self, output: Tensor) -> dict[str, list[str]]:
        return {"brightness": [f"{value:.3f}" for value in output.mean(dim=(1, 2, 3)).tolist()]}

    def sample(self, model: nn.Module, loader: Loader) -> Tensor:
        return model(*loader.example().inputs)[0]

    def pictures(self, findings: Findings) -> dict[str, Tensor]:
        return {"painted": findings.outputs[0]}


def gram(features: Tensor) -> Tensor:
    flat = features.flatten(2)  # (B, C, H * W)
    return flat @ flat.transpose(1, 2) / flat.shape[2]
