"""`dlrun show RUN`: what a run has left, and what its model looks at."""

import pathlib
from typing import TYPE_CHECKING, Any

from dlrun import disk
from dlrun.config import pairing
from dlrun.config.spec import last_part
from dlrun.data import DATA
from dlrun.errors import RunError, UserError
from dlrun.models import MODELS
from dlrun.report import comparison
from dlrun.store import runs, sweep_record
from dlrun.terminal.escaping import quoted

if TYPE_CHECKING:
    from torch import Tensor

    from dlrun.run.seen import Answer
    from dlrun.run.trained import Trained

MOST_LAYERS = 4
SHOWN_KINDS = ("image", "tokens", "series", "graph")
NOTHING = "nothing: no convolution over images, attention, embedding, clusters or kept nodes in this model"


def show(folder: str) -> None:
    """Prints how the run in `folder` went, and draws what its model looks at. **Raises:** `UserError` for no run."""
    path = pathlib.Path(folder)
    if sweep_record.is_sweep(path):
        raise UserError(f"{path}: is a sweep; see its runs: dlrun report {quoted(path)}")
    if not path.is_dir():
        raise UserError(f"show: no folder {path}; see dlrun list runs")
    run = runs.open_run(path)
    row = comparison.collect([path])[0]
    print(f"run     {path}")
    print(f"state   {row.ended}" + (f": {row.reason}" if row.reason else ""))
    print(f"time    started {row.started or 'never'}, finished {run.status.get('finished') or 'not yet'}")
    groups = ("model", "data", "optimizer", "scheduler", "seed")
    print(f"config  {' '.join(f'{group}={row.keys.get(group)}' for group in groups)}")
    if row.state == "done":
        seconds = "" if row.seconds is None else f" in {row.seconds:.1f} s"
        speed = f"{row.epochs} epochs{seconds} on {run.summary.get('device')}"
        print(f"trained {run.summary.get('parameters', 0):,} parameters, {speed}; best epoch {row.best_epoch}")
    if row.metrics:
        from dlrun.terminal.console import print_metrics

        title = "final metrics" if row.state == "done" else f"latest metrics, after epoch {row.epochs}"
        means = {name.partition("/")[0] for name in run.summary.get("means_during_epoch", [])}
        print_metrics(title, row.metrics, dict.fromkeys(means, f"epoch {row.best_epoch}"))
    for line in _draw(run):
        print(f"seen    {line}")
    files = sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file() and file.name != ".lock")
    print(f"files   {f'{chr(10)}        '.join(files)}")
    if row.state == "done":
        print(f"test    dlrun eval {quoted(path)}")
    else:
        print(f"go on   dlrun resume {quoted(path)}")
    print(f"again   {run.command}")


def _draw(run: runs.StoredRun) -> list[str]:
    """Writes pictures of what a model looks at into the folder of its run; a line for each, or why there is none.

    They are drawn again each time: the best weights of a run that goes on change.
    """
    if not _may_show(run.config):
        return [NOTHING]
    if not (run.path / "checkpoints" / "best.safetensors").exists():
        return ["nothing yet: there are no best weights"]
    try:
        pictures = _pictures(run)
    except (UserError, RunError) as error:
        return [f"nothing: {error}"]
    if not pictures:
        return [NOTHING]
    from dlrun.plots.figure import png_bytes

    folder = run.path / "plots"
    try:
        disk.folder(folder)
        for name, (figure, _) in pictures.items():
            disk.write(folder / f"{name}.png", png_bytes(figure))
    except OSError as error:
        return [f"nothing: {folder} cannot be written ({error.strerror})"]
    return [f"{folder / name}.png: {about}" for name, (_, about) in pictures.items()]


def _may_show(tree: dict[str, Any]) -> bool:
    """Whether the model of a config gets images as they are, sequences or graphs, as far as is known without torch."""
    keys = comparison.keys_of(tree)
    names = {group: keys.get(group, "") for group in ("model", "data")}
    if names["model"] not in MODELS or names["data"] not in DATA:
        return False
    kind = DATA.describe(names["data"]).attributes.get("kind")
    return kind is not None and kind in SHOWN_KINDS and kind in pairing.accepts(names["model"], kind)


def _pictures(stored_run: runs.StoredRun) -> dict[str, tuple[Any, str]]:
    """(Figure, what it shows) by name, of the first example of the last part there is; empty for other models."""
    import torch
    from torch import nn

    from dlrun.plots import feature_maps
    from dlrun.run import inside, seen, stored, trained

    run = trained.load(stored.config_of(stored_run, on_cpu=True), stored_run.path, with_data=False)
    if run.spec.kind != "image":
        return inside.pictures(run)
    if not any(isinstance(module, nn.Conv2d) for module in run.model.modules()):
        return {}
    parts = run.dataset.load()
    part = last_part(parts)
    raw = parts[part].take(torch.zeros(1, dtype=torch.int64))
    inputs, image = run.prepare(raw.inputs), raw.inputs[0][0].float() / 255
    answers = seen.convolutions(run.model, inputs)
    if not answers:
        return {}
    first, shown = answers[0], _spread(answers, MOST_LAYERS)
    found = {
        "kernels": (
            feature_maps.kernels(first.module.get_parameter("weight").detach(), first.path),
            f"the kernels of {first.path}",
        ),
        "feature_maps": (
            feature_maps.feature_maps(image, [(answer.path, answer.values[0]) for answer in shown]),
            f"the first image of {part} behind {', '.join(answer.path for answer in shown)}",
        ),
    }
    if run.spec.target in ("class", "binary"):
        found["class_activation"] = _class_activation(run, inputs, image, int(raw.target[0]))
    return found


def _class_activation(run: "Trained", inputs: "tuple[Tensor, ...]", image: "Tensor", true: int) -> tuple[Any, str]:
    """The picture of the predicted class beside the true one, or beside the next likely one if they are the same."""
    from dlrun.plots import feature_maps
    from dlrun.run import seen

    probabilities = run.task.predict(run.model(*inputs).detach())[0]
    names = run.spec.class_names or [str(k) for k in range(len(probabilities))]
    predicted, following = probabilities.topk(2).indices.tolist()
    other = (f"next: {names[following]}", following)
    if true != predicted:
        other = (f"true: {names[true]}", true)
    named = "predicted and true" if true == predicted else "predicted"
    maps, path = [], ""
    for title, k in ((f"{named}: {names[predicted]}", predicted), other):
        # One logit speaks for class 1, and against class 0.
        path, values = seen.class_activation(
            run.model, inputs, lambda output, k=k: output[0, k] if output.shape[1] > 1 else output[0, 0] * (2 * k - 1)
        )
        maps.append((f"{title} ({probabilities[k].item():.0%})", values))
    figure = feature_maps.class_activation(image, maps, path)
    return figure, f"where it sees {' and '.join(title for title, _ in maps)} (Grad-CAM behind {path})"


def _spread(answers: "list[Answer]", most: int) -> "list[Answer]":
    """The first, the last, and some between at even distances."""
    if len(answers) <= most:
        return answers
    return [answers[place * (len(answers) - 1) // (most - 1)] for place in range(most)]
