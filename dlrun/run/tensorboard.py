"""TensorBoard: scalars while a run goes on; pictures, graph and hparams at its end."""

import contextlib
import io
import math
import pathlib
import re
import shutil
import warnings
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from dlrun import disk
from dlrun.engine import nested
from dlrun.engine.contracts import Embedded

PROJECTOR = "projector"  # a folder of the run
THUMBNAIL = 48  # pixels a side
PICTURES = "visual"  # groups stand in the order of the alphabet: this one behind train/ and val/
LONGEST_NAME = 100  # of a folder


class Events:
    """One event file in the run's folder; that of a sweep's job is in a folder called by what sets the job apart.

    TensorBoard calls a run by its folder: `3/optimizer.lr=0.1`.

    `purge_step` hides what an interrupted run wrote after its last checkpoint.
    """

    def __init__(self, folder: pathlib.Path, purge_step: int | None, changed: Mapping[str, str] | None = None):
        # Importing TensorBoard costs a third of a second: only a run that logs pays it.
        from torch.utils.tensorboard import SummaryWriter

        if changed:
            folder = disk.folder(folder / _name(changed))
        self.writer = SummaryWriter(str(folder), purge_step=purge_step)

    def scalars(self, values: dict[str, float], step: int) -> None:
        """One point for each of `values` at optimizer step `step`."""
        for name, value in values.items():
            if not math.isnan(value):
                self.writer.add_scalar(name, value, step)

    def text(self, name: str, words: str, step: int) -> None:
        """What a model says, as it is: Markdown would eat its stars and dashes."""
        self.writer.add_text(name, f"```\n{words}\n```", step)

    def image(self, name: str, picture: torch.Tensor, step: int) -> None:
        """A picture (C, H, W) in 0..1."""
        self.writer.add_image(f"{PICTURES}/{name}", picture.detach().float().clamp(0, 1).cpu(), step)

    def histograms(self, model: nn.Module, step: int) -> None:
        """How the values of each parameter, and of its gradient in the last step, are spread."""
        for name, parameter in model.named_parameters():
            self.writer.add_histogram(f"weights/{name}", parameter, step)
            if parameter.grad is not None:
                self.writer.add_histogram(f"gradients/{name}", parameter.grad, step)

    def flush(self) -> None:
        """To disk, so that a kill loses nothing that a checkpoint knows of."""
        self.writer.flush()

    def picture(self, name: str, png: bytes, step: int) -> None:
        """A PNG as it stands in plots/, without drawing it a second time."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        image = Summary.Image(encoded_image_string=png)
        value = Summary.Value(tag=f"{PICTURES}/{name}", image=image)
        self.writer._get_file_writer().add_summary(Summary(value=[value]), step)

    def projector(self, embedded: Embedded) -> None:
        """Points with their pictures, for the tab Projector."""
        images = embedded.images.float() / 255
        small = F.interpolate(images, (THUMBNAIL, THUMBNAIL), mode="bilinear", antialias=True)
        # A name of two lines would be two names.
        names = [" ".join(name.split()) for name in embedded.names]
        # torch names a folder by the step; a step would be no name for it, and what was there before stays.
        shutil.rmtree(pathlib.Path(self.writer.log_dir) / PROJECTOR, ignore_errors=True)
        self.writer.add_embedding(embedded.vectors, names, small, PROJECTOR, "embedding")  # type: ignore[arg-type]

    def graph(self, model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> str | None:
        """The model's graph; returns the reason where a model cannot be traced."""
        try:
            # torch prints what it also raises.
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                # What a model imports late cannot be imported in a trace.
                with torch.no_grad():
                    model.eval()(*inputs)
                # Checked, a trace runs again only to compare outputs, which imports torch's compiler (0.7 s).
                self.writer.add_graph(torch.jit.trace(_Leaves(model), inputs, check_trace=False), inputs)
        except Exception as error:
            # Tracing runs the model's own code under rules that not every model keeps.
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return None

    def hparams(self, values: dict[str, Any], metrics: dict[str, float]) -> None:
        """Ties the run's settings to its final metrics.

        Written by hand because `SummaryWriter.add_hparams` opens a second event file.
        """
        from torch.utils.tensorboard.summary import hparams

        plain = {k: value if isinstance(value, bool | int | float | str) else str(value) for k, value in values.items()}
        named = {f"final/{name}": value for name, value in metrics.items() if not math.isnan(value)}
        for summary in hparams(plain, named):
            self.writer._get_file_writer().add_summary(summary)
        for name, value in named.items():
            self.writer.add_scalar(name, value)

    def close(self) -> None:
        self.writer.close()


def _name(changed: Mapping[str, str]) -> str:
    """`optimizer.lr=0.1,seed=1`, as a name of a folder."""
    told = ",".join(f"{key}={value}" for key, value in changed.items())
    return re.sub(r"[^\w.=,+-]+", "_", told).strip(".")[:LONGEST_NAME] or "run"


class _Leaves(nn.Module):
    """A model whose answer is but its tensors: a trace takes no named fields, and nothing that is not there."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found: list[torch.Tensor] = []
        nested.mapped(self.model(*inputs), lambda tensor: found.append(tensor) or tensor)
        return tuple(found)
