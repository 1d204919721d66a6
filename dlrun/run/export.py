"""A run's best weights as one file that other programs load, checked against the run's own outputs.

`torch_export` and `onnx` hold the whole way from raw inputs, as the data give them, to the outputs: scaling, view and
units stand inside. `safetensors` and `state_dict` hold the weights by their names; what is to be done before is said in
the metadata of all four.
"""

import contextlib
import dataclasses
import importlib.util
import io
import json
import logging
import pathlib
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from dlrun import disk
from dlrun.config.check import Config
from dlrun.config.schema import few
from dlrun.config.spec import last_part
from dlrun.engine.contracts import Batch
from dlrun.errors import RunError, UserError, bounded
from dlrun.models.parts.detector import Detections
from dlrun.run import assemble
from dlrun.run.trained import Trained

FORMATS = {"safetensors": ".safetensors", "state_dict": ".pt", "torch_export": ".pt2", "onnx": ".onnx"}
WEIGHTS = ("safetensors", "state_dict")  # the formats of tensors by name alone
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
FOLDER = "exports"
BATCHES = (1, 2, 7)  # examples that each export is checked with at once
TRACED = 3  # examples at once from which a graph is made: sizes of 0 and 1 are treated apart
LARGEST = 1e-4  # difference, as a share of the largest output
ROUNDING, TRIES = 1e-6, 4  # of inputs, to see what it does to boxes of the same score
OPSET = 18
METADATA = "dlrun"  # the key, in each format
SEQUENCES = ("tokens", "series")
# What stands in the outputs, by the kind of target.
MEANINGS = {
    "class": "logits (B, K), the largest is of the likeliest class; (B, T, K) where every step has an answer",
    "binary": "a logit (B, 1); its sigmoid is the probability of the second class",
    "value": "values (B, K) in the units of the target",
    "step_class": "logits (B, T, K) of the classes at every step",
    "next_token": "logits (B, T, K) of the token that follows each step",
    "node_class": "logits (B, K) of the nodes that are asked for",
    "graph_class": "logits (B, K) of the graphs",
    "mask": "logits (B, K, H, W) of the classes of each pixel",
    "object": "(B, 5 + K): logits of presence, of a box [x, y, height, width] in shares of the image, and of classes",
    "points": "(B, 1 + 2 P): logits of presence and of each x, y in shares of the image",
    "boxes": "of the one image (m, 6): x1, y1, x2, y2 in pixels, score, class; best first",
    "instances": "of the one image boxes (m, 6), as x1, y1, x2, y2, score, class, and masks (m, 28, 28) inside them",
    "identity": "embeddings (B, E); the nearer two are, the likelier they show the same",
    "image": "pictures (B, C, H, W)",
    "style": "pictures (B, 3, H, W) in 0..1",
}


@dataclass(frozen=True)
class Export:
    """A file that was written; `difference` is the largest to the run's own outputs, as a share of the largest output.

    `compared`: the values of outputs that were; none where a detector finds nothing in the examples.
    `about`: what a user of the file has to know, as its metadata say it.
    """

    path: pathlib.Path
    difference: float
    compared: int
    about: dict[str, Any]


def export(run: Trained, config: Config, home: pathlib.Path, form: str, out: pathlib.Path | None = None) -> Export:
    """Writes the run in `home` as `form` to `out`, or into the folder `exports` of the run.

    **Raises:** `UserError` for what cannot be exported or written; `RunError` if the outputs of what was made differ
    from the run's. Then there is no file.
    """
    _check_form(run, config, form)
    path = out or home / FOLDER / f"{config.model['name']}{FORMATS[form]}"
    _check_place(path, named=out is not None)
    raw = _examples(run)
    about = _about(run, config, raw, form)
    if form in WEIGHTS:
        content = _weights(run.model, about, form)
        answer: Callable[..., Any] = _Whole(
            dataclasses.replace(run, model=_reloaded(content, config, run, form))
        ).eval()
    else:
        with _quiet():
            content, answer = _graph(_Whole(run).eval(), raw, about, form, config)
    difference, compared = _difference(run, answer, raw, about)
    if not difference <= LARGEST:
        raise RunError(
            f"export: {config.model['name']} as {form} differs from the run by {difference:.2g} of its largest output, "
            f"more than {LARGEST:g}; nothing was written"
        )
    try:
        if out is None:
            disk.folder(path.parent)
        disk.write(path, content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    return Export(path, difference, compared, about)


class _Whole(nn.Module):
    """From raw inputs, as the data give them, to the outputs as a tuple of tensors."""

    def __init__(self, run: Trained):
        super().__init__()
        self.model, self.run = run.model, run

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        index = torch.arange(raw[0].shape[0])
        return _tensors(self.run, self.run.task.forward(self.model, Batch(self.run.prepare(raw), (), index)))


def _tensors(run: Trained, output: Any) -> tuple[Tensor, ...]:
    """The outputs of the run as tensors, values in their units; of detections those of one image."""
    if isinstance(output, Detections):
        return (output.boxes[0], *(() if output.masks is None else output.masks[:1]))
    return (run.task.predict(output) if run.spec.target == "value" else output,)


def _check_form(run: Trained, config: Config, form: str) -> None:
    """**Raises:** `UserError` for packages that are missing, and for what no exporter can do."""
    if form == "onnx" and (missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]):
        raise UserError(f"export: --format onnx needs {few(missing, 3)}; pip install 'dlrun[export]'")
    if form in WEIGHTS:
        return
    if run.spec.kind == "graph":
        raise UserError(_refused(config, form, "a graph has sparse inputs of any size, which the format does not hold"))


def _refused(config: Config, form: str, why: str) -> str:
    model = config.model["name"]
    return bounded(f"export: model={model} cannot be a file of {form}: {why}; formats that work: {', '.join(WEIGHTS)}")


def _check_place(path: pathlib.Path, *, named: bool) -> None:
    """**Raises:** `UserError` if no file can be there, or if one is that is no export and was not named."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a file, such as --out {path / ('model' + path.suffix)}")
    if named and not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    if not named and path.exists() and not _is_export(path):
        raise UserError(f"{path}: is there and no earlier export; move it away, or name another file: --out FILE")


def _is_export(path: pathlib.Path) -> bool:
    """Whether a file holds the metadata that every export has."""
    try:
        disk.check_regular(path)
        if path.suffix == FORMATS["safetensors"]:
            with safe_open(path, framework="pt") as file:
                return METADATA in (file.metadata() or {})
        if path.suffix == FORMATS["onnx"]:
            return _is_onnx_export(path)
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(f"extra/{METADATA}.json") for name in archive.namelist())
    except (OSError, SafetensorError, zipfile.BadZipFile):
        return False


def _is_onnx_export(path: pathlib.Path) -> bool:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return METADATA in {entry.key for entry in onnx.load(path, load_external_data=False).metadata_props}
    except DecodeError:
        return False


def _examples(run: Trained) -> tuple[Tensor, ...]:
    """Raw inputs of the first examples of the last part; of images and features that are gone, made up ones.

    **Raises:** `UserError` if there are none to check with.
    """
    try:
        parts = run.dataset.load()
    except (UserError, RunError) as error:
        if run.offered.kind not in ("image", "features"):
            raise UserError(bounded(f"export: there are no examples to check with: {error}")) from error
        return _made(run)
    part = parts[last_part(parts)]
    return part.take(torch.arange(min(len(part), max(BATCHES)))).inputs


def _made(run: Trained) -> tuple[Tensor, ...]:
    spec, draw = run.offered, torch.Generator().manual_seed(0)
    if spec.kind == "image":
        assert spec.image_size is not None and spec.in_channels is not None
        shape = (max(BATCHES), spec.in_channels, *spec.image_size)
        return (torch.randint(256, shape, generator=draw, dtype=torch.uint8),)
    values = torch.randn(max(BATCHES), spec.in_features or 1, generator=draw)
    if spec.mean is None or spec.std is None:
        return (values,)
    return (values * torch.tensor(spec.std) + torch.tensor(spec.mean),)


def _first(raw: tuple[Tensor, ...], size: int) -> tuple[Tensor, ...]:
    """`size` examples; if there are fewer, some again."""
    index = torch.arange(size) % raw[0].shape[0]
    return tuple(value[index] for value in raw)


def _difference(
    run: Trained, answer: Callable[..., Any], raw: tuple[Tensor, ...], about: dict[str, Any]
) -> tuple[float, int]:
    """(The largest difference of `answer` to the run's outputs, as a share of the largest output; values compared).

    It is infinity where the shapes differ. In batches of several sizes; of sequences of any length also of fewer steps.
    """
    if run.spec.kind == "graph":
        batches = [raw]  # its inputs are no rows of examples
    elif about["batch"] == 1:
        batches = [tuple(value[number : number + 1] for value in raw) for number in range(raw[0].shape[0])]
    else:
        batches = [_first(raw, size) for size in BATCHES]
        if about["steps"] == "any":
            batches.append(_shorter(_first(raw, 2)))
    largest, compared = 0.0, 0
    for batch in batches:
        expected = _tensors(run, run.outputs(batch))
        with torch.inference_mode():
            share = _share(tuple(answer(*batch)), expected, is_boxes=about["batch"] == 1)
        if not share <= LARGEST and about["batch"] == 1 and _is_undecided(run, batch, expected):
            continue
        compared += sum(value.numel() for value in expected)
        largest = share if not share <= largest else largest  # nan stays
    return largest, compared


def _share(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], *, is_boxes: bool) -> float:
    """The largest difference as a share of the largest output; infinity where the shapes differ."""
    if is_boxes and len(found[0]) == len(expected[0]) > 0:
        # Boxes of nearly the same score may change places.
        places = torch.cdist(expected[0], found[0], p=float("inf")).argmin(dim=1)
        if places.unique().numel() < places.numel():
            return float("inf")  # one of theirs is none of ours
        found = tuple(value[places] for value in found)
    largest = 0.0
    for theirs, ours in zip(found, expected, strict=True):
        if theirs.shape != ours.shape:
            return float("inf")
        if ours.numel():
            scale = ours.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
            share = ((theirs.to(ours.dtype) - ours).abs().max() / scale).item()
            largest = share if not share <= largest else largest
    return largest


def _is_undecided(run: Trained, raw: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> bool:
    """Whether rounding alone changes the answer of a detector: of boxes of the same score another one is kept."""
    draw = torch.Generator().manual_seed(0)

    def moved(raw: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(value * (1 + ROUNDING * torch.randn(value.shape, generator=draw)) for value in run.prepare(raw))

    near = dataclasses.replace(run, prepare=moved)
    return any(not _share(_tensors(run, near.outputs(raw)), expected, is_boxes=True) <= LARGEST for _ in range(TRIES))


def _shorter(raw: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    steps = max(1, raw[0].shape[1] // 2)
    return raw[0][:, :steps], *(lengths.clamp(max=steps) for lengths in raw[1:])


def _weights(model: nn.Module, about: dict[str, Any], form: str) -> bytes:
    """The state dict. Weights that two names share stand under both, so that a strict reload finds all."""
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    if form == "safetensors":
        return save(tensors, {METADATA: json.dumps(about)})
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    # Where torch.export keeps its extra files; torch.load passes over it.
    with zipfile.ZipFile(buffer, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/extra/{METADATA}.json", json.dumps(about))
    return buffer.getvalue()


def _reloaded(content: bytes, config: Config, run: Trained, form: str) -> nn.Module:
    tensors = load(content) if form == "safetensors" else torch.load(io.BytesIO(content), weights_only=True)
    model = assemble.model(config, run.spec)
    model.load_state_dict(tensors, strict=True)
    return model


def _graph(
    whole: nn.Module, raw: tuple[Tensor, ...], about: dict[str, Any], form: str, config: Config
) -> tuple[bytes, Callable[..., Any]]:
    """(The file, what it answers); `about` learns what the file takes.

    **Raises:** `UserError` if the exporter cannot follow the model.
    """
    try:
        if about["batch"] == 1:
            return _of_detector(whole, raw, about, form)
        program = _captured(whole, raw, about)
        if form == "torch_export":
            buffer = io.BytesIO()
            torch.export.save(program, buffer, extra_files={f"{METADATA}.json": json.dumps(about)})
            return buffer.getvalue(), torch.export.load(io.BytesIO(buffer.getvalue())).module()
        names = about["inputs"], about["outputs"]
        made = torch.onnx.export(program, input_names=list(names[0]), output_names=list(names[1]), verbose=False)
        assert made is not None, "nothing is written to a file"
        return _session(made.model_proto, about)
    except Exception as error:
        why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {assemble.first_line(error)}"
        raise UserError(_refused(config, form, why)) from error


def _captured(whole: nn.Module, raw: tuple[Tensor, ...], about: dict[str, Any]) -> torch.export.ExportedProgram:
    """The graph for any number of examples; of sequences for any number of steps where the model allows it."""
    batch, steps = torch.export.Dim("batch"), torch.export.Dim("steps")
    only_batch = tuple({0: batch} for _ in raw)
    with torch.no_grad():
        if about["steps"] is not None:
            shapes = tuple({0: batch, 1: steps} if value.ndim > 1 else {0: batch} for value in raw)
            with contextlib.suppress(Exception):
                program = torch.export.export(whole, _first(raw, TRACED), dynamic_shapes=(shapes,))
                about["steps"] = "any"
                return program
        return torch.export.export(whole, _first(raw, TRACED), dynamic_shapes=(only_batch,))


def _of_detector(
    whole: nn.Module, raw: tuple[Tensor, ...], about: dict[str, Any], form: str
) -> tuple[bytes, Callable[..., Any]]:
    """By the path that torchvision's detectors take to ONNX, a trace of one image."""
    if form != "onnx":
        raise UserError("how many boxes there are depends on the image, which onnx alone can hold")
    import onnx

    buffer = io.BytesIO()
    with torch.no_grad():
        torch.onnx.export(
            whole, _first(raw, 1), buffer, dynamo=False, opset_version=OPSET,  # type: ignore[arg-type]
            input_names=list(about["inputs"]), output_names=list(about["outputs"]),
            dynamic_axes={name: {0: "found"} for name in about["outputs"]},
        )  # fmt: skip
    return _session(onnx.load_model_from_string(buffer.getvalue()), about)


def _session(model: Any, about: dict[str, Any]) -> tuple[bytes, Callable[..., Any]]:
    """(The file of an ONNX model with its metadata, what onnxruntime answers with it)."""
    import onnxruntime

    model.metadata_props.add(key=METADATA, value=json.dumps(about))
    content = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def answer(*raw: Tensor) -> tuple[Tensor, ...]:
        # An input that the model does not look at is none of the graph.
        taken = {entry.name for entry in session.get_inputs()}
        given = {name: value.numpy() for name, value in zip(about["inputs"], raw, strict=True) if name in taken}
        return tuple(map(torch.from_numpy, session.run(None, given)))

    return content, answer


def _about(run: Trained, config: Config, raw: tuple[Tensor, ...], form: str) -> dict[str, Any]:
    """What a user of the file has to know, as the metadata keep it."""
    offered, output = run.offered, run.outputs(raw if run.spec.kind == "graph" else _first(raw, 1))
    is_sequence = offered.kind in SEQUENCES
    names = ["lengths"] if is_sequence else [f"input{place}" for place in range(1, len(raw))]
    tensors = _tensors(run, output)
    outputs = {"boxes": tensors[0], "masks": tensors[-1]} if isinstance(output, Detections) else {"output": tensors[0]}
    return {
        "model": config.model,
        "data": config.data["name"],
        "format": form,
        "inputs": {
            name: {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape[1:])}
            for name, value in zip([offered.kind, *names], raw, strict=False)
        },
        "outputs": list(outputs)[: len(tensors)],
        "meaning": MEANINGS.get(run.spec.target, run.spec.target),
        "batch": 1 if isinstance(output, Detections) else "any",
        "steps": None if not is_sequence else "any" if form in WEIGHTS else raw[0].shape[1],
        "preprocessing": _preprocessing(run, config),
        "preprocessing_is_inside": form not in WEIGHTS,
        "class_names": run.spec.class_names,
        "feature_names": offered.feature_names,
        "point_names": offered.point_names,
        "vocabulary": offered.vocabulary,
        "table": offered.table,
    }


def _preprocessing(run: Trained, config: Config) -> dict[str, Any]:
    """What stands between the raw inputs and the model, and behind it, in the order in which it is done."""
    offered, found = run.offered, {}
    if offered.kind == "image":
        found["scale"] = "x / 255"
    if offered.kind in ("image", "features") and offered.mean is not None:
        found |= {"normalize": "(x - mean) / std", "mean": offered.mean, "std": offered.std}
    if offered.kind != run.spec.kind:
        found |= {"view": run.spec.kind, **(dataclasses.asdict(config.view) if run.spec.kind == "series" else {})}
    if run.spec.target == "value" and run.spec.target_mean is not None:
        found |= {"output": "y * target_std + target_mean"}
        found |= {"target_mean": run.spec.target_mean, "target_std": run.spec.target_std}
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters tell programmers much; a person gets one line."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
