"""TensorBoard: scalars while a run goes on; pictures, graph and hparams at its end."""

import contextlib
import io
import pathlib
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from dlrun import disk
from dlrun.engine import nested
from dlrun.engine.contracts import Embedded
from dlrun.run.loggers.logger import LONGEST_NAME, Logger, told
from dlrun.terminal.escaping import quoted

PROJECTOR = "projector"  # a folder of the run
THUMBNAIL = 48  # pixels a side
# Groups stand in the order of the alphabet: curves first, step/, train/ and val/; then pictures; then points.
PICTURES, FINAL = "visual", "when_done"


class TensorBoard(Logger):
    """One event file in the run's folder; that of a sweep's job is in a folder called by what sets the job apart.

    TensorBoard calls a run by its folder: `3/lr=0.1`.

    What an interrupted run wrote after its last checkpoint is hidden.
    """

    title = "TensorBoard"

    def __init__(self, folder: pathlib.Path, purge_step: int | None = None, changed: Mapping[str, str] | None = None):
        # Importing TensorBoard costs a third of a second: only a run that logs pays it.
        from torch.utils.tensorboard import SummaryWriter

        self.look = f"tensorboard --logdir {quoted(folder)}"
        if changed:
            folder = disk.folder(folder / _name(told(changed)))
        self.writer = SummaryWriter(str(folder), purge_step=purge_step)

    def scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def text(self, name: str, words: str, step: int) -> None:
        """What a model says, as it is: Markdown would eat its stars and dashes."""
        self.writer.add_text(name, f"```\n{words}\n```", step)

    def histograms(self, model: nn.Module, step: int) -> None:
        for name, parameter in model.named_parameters():
            self.writer.add_histogram(f"weights/{name}", parameter, step)
            if parameter.grad is not None:
                self.writer.add_histogram(f"gradients/{name}", parameter.grad, step)

    def flush(self) -> None:
        self.writer.flush()

    def picture(self, name: str, path: pathlib.Path, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        image = Summary.Image(encoded_image_string=disk.content(path))
        value = Summary.Value(tag=f"{PICTURES}/{name}", image=image)
        self.writer._get_file_writer().add_summary(Summary(value=[value]), step)

    def points(self, embedded: Callable[[], Embedded | None]) -> None:
        """Each with its picture, for the tab Projector."""
        found = embedded()
        if found is None:
            return
        images = found.images.float() / 255
        small = F.interpolate(images, (THUMBNAIL, THUMBNAIL), mode="bilinear", antialias=True)
        # A name of two lines would be two names.
        names = [" ".join(name.split()) for name in found.names]
        # torch names a folder by the step; a step would be no name for it, and what was there before stays.
        shutil.rmtree(pathlib.Path(self.writer.log_dir) / PROJECTOR, ignore_errors=True)
        self.writer.add_embedding(found.vectors, names, small, PROJECTOR, "embedding")  # type: ignore[arg-type]

    def graph(self, model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        """The model's graph; says why where a model cannot be traced."""
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
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            print(f"dlrun: note: this model's graph cannot be drawn ({reason})")

    def conclude(self, settings: dict[str, Any], metrics: dict[str, float], step: int) -> None:
        """The table of hparams.

        Written by hand because `SummaryWriter.add_hparams` opens a second event file.
        """
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # type: ignore[attr-defined]
        from torch.utils.tensorboard.summary import hparams

        plain = {
            k: value if isinstance(value, bool | int | float | str) else str(value) for k, value in settings.items()
        }
        named = {f"{FINAL}/{name}": value for name, value in metrics.items()}
        experiment, *session = hparams(plain, named)
        about = HParamsPluginData.FromString(experiment.value[0].metadata.plugin_data.content)
        for column in about.experiment.metric_infos:
            column.display_name = column.name.tag.removeprefix(f"{FINAL}/")
        experiment.value[0].metadata.plugin_data.content = about.SerializeToString()
        for summary in (experiment, *session):
            self.writer._get_file_writer().add_summary(summary)
        for name, value in named.items():
            self.writer.add_scalar(name, value)

    def close(self, state: str) -> None:
        self.writer.close()


def _name(told: str) -> str:
    """`told`, as a name of a folder."""
    return re.sub(r"[^\w.=,+\[\]-]+", "_", told).strip(".")[:LONGEST_NAME] or "run"


class _Leaves(nn.Module):
    """A model whose answer is but its tensors: a trace takes no named fields, and nothing that is not there."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found: list[torch.Tensor] = []
        nested.mapped(self.model(*inputs), lambda tensor: found.append(tensor) or tensor)
        return tuple(found)
