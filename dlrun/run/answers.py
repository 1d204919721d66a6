"""What a trained model says of new inputs: `dlrun predict` prints it, `run.predict` gives it as a table."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dlrun.data import inputs
from dlrun.engine.contracts import Batch, ImageFile, Sighting
from dlrun.errors import UserError
from dlrun.run import sightings
from dlrun.run.trained import Trained

if TYPE_CHECKING:
    import pandas as pd

BATCH_SIZE = 256  # examples that a model answers for together


def frame(run: Trained, given: Any, score: float | None = None) -> "pd.DataFrame":
    """What the model says of `given`, a row each: words, arrays, or a table of pandas; see `Run.predict`.

    **Raises:** `UserError` for what the run cannot take.
    """
    import pandas as pd

    task = run.task
    if run.spec.target == "next_token":
        raise UserError("predict: this run writes text; run.write(PROMPT) goes on with one")
    if score is not None and not task.is_scored:
        raise UserError(f"predict: score: what this run finds has no score (it learned {task.learns})")
    names, raw, images = read(run, given)
    if task.is_compared:
        if len(names) < 2:
            raise UserError("predict: this run compares pictures; give two of them or more")
        output = run.outputs(raw)
        columns: dict[str, list[Any]] = dict(task.comparisons(run.model, output[1:], output[:1], [str(names[0])]))
        names = names[1:]
    elif images is not None:
        rows = [sighting.cells() for sighting in seen(run, images, raw[0], score)]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
    else:
        columns = told(run, raw)
    return pd.DataFrame(columns, index=pd.Index(names, name="input"))


def read(run: Trained, given: Any) -> tuple[Sequence[Any], tuple[Tensor, ...], list[ImageFile] | None]:
    """(What each input is called, the raw inputs (N, ...), and for places in images each with its frame) of `given`.

    **Raises:** `UserError` for what the run cannot take.
    """
    is_seen = run.task.is_seen and run.offered.kind == "image"
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(given, pandas.DataFrame | pandas.Series):
        return *inputs.read_table(run.dataset, run.offered, given), None
    words = [given] if isinstance(given, str | os.PathLike) else given
    if isinstance(words, list | tuple) and words and isinstance(words[0], str | os.PathLike):
        words = [str(os.fspath(word)) for word in words]
        if is_seen:
            images, raw = inputs.read_images(run.dataset, run.offered, words)
            return [image.path for image in images], (raw,), images
        return *inputs.read(run.dataset, run.offered, words), None
    raw = inputs.read_array(run.offered, words)
    names = range(len(raw[0]))
    return names, raw, inputs.framed(raw[0], words) if is_seen else None


def told(run: Trained, raw: tuple[Tensor, ...]) -> dict[str, list[Any]]:
    """Columns with what the model says, a row an input. **Raises:** `UserError` if its task has no words for it."""
    columns: dict[str, list[Any]] = {}
    # A graph is one input, whatever is asked of it.
    parts = [raw] if run.offered.kind == "graph" else zip(*(value.split(BATCH_SIZE) for value in raw), strict=True)
    try:
        for part in parts:
            for name, values in run.task.values(run.outputs(part)).items():
                columns.setdefault(name, []).extend(values)
    except ValueError as error:
        raise UserError(f"predict: {error}") from error
    return columns


def seen(run: Trained, images: Sequence[ImageFile], raw: Tensor, score: float | None) -> list[Sighting]:
    """What the model finds in each of `images`, whose raw inputs are `raw` (N, C, H, W)."""
    found: list[Sighting] = []
    # All frames of a video at once would not fit into memory.
    for first in range(0, len(images), sightings.BATCH_SIZE):
        own = slice(first, first + sightings.BATCH_SIZE)
        found += run.task.sightings(run.outputs((raw[own],)), images[own], score)
    return found


def written(run: Trained, prompt: str, length: int, temperature: float, seed: int) -> str:
    """`prompt` as a model of text goes on with it.

    **Raises:** `UserError` for a run that has learned something else, and for numbers that mean nothing.
    """
    from dlrun.tasks.generation import continue_text

    if run.spec.target != "next_token":
        raise UserError(f"write: is for a run that has learned to write a text; this one learned {run.task.learns}")
    if length < 0 or not 0 <= temperature < float("inf") or not 0 <= seed < 2**63:
        raise UserError("predict: length, temperature and seed must not be negative")
    raw = run.dataset.encode([prompt], run.spec)
    assert raw is not None, "data of texts read texts"
    options = {"temperature": temperature, "seed": seed}
    with torch.inference_mode():
        return continue_text(run.model, run.spec.vocabulary or (), raw[0][0].to(run.device), length, **options)


class TrainedModel(nn.Module):
    """The network of a run together with what is done to its inputs: raw inputs in, outputs of the network out.

    **Attributes:**

    - `network`: the model of the run with its best weights.
    - `class_names`: of the outputs, in their order; None where there are no classes.
    - `spec`: what the network sees of the data: sizes, names, mean and standard deviation.
    """

    def __init__(self, run: Trained):
        super().__init__()
        self.run, self.network = run, run.model
        self.class_names, self.spec = run.spec.class_names, run.spec
        self.eval()

    def preprocess(self, inputs: Any) -> tuple[Tensor, ...]:
        """What the network takes, `model.network(*model.preprocess(x))`, of all that `Run.predict` takes."""
        device = next(self.network.parameters()).device
        raw = read(self.run, inputs)[1]
        return self.run.prepare(tuple(value.to(device) for value in raw))

    def forward(self, inputs: Any) -> Any:
        """Outputs (N, ...) of the network, of a classifier logits (N, K)."""
        taken = self.preprocess(inputs)
        index = torch.arange(len(taken[0]), device=taken[0].device)
        return self.run.task.forward(self.network, Batch(taken, (), index))
