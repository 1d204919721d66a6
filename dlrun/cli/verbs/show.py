"""`dlrun show [key=value ...]`: what would be trained, layer by layer; `dlrun show RUN`: what was.

`dlrun show example=NAME`: the numbers of a chapter, step by step.
"""

import math
import pathlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dlrun.cli.arguments import Arguments
from dlrun.cli.verbs import show_run
from dlrun.config import catalogue, check, compose, pairing
from dlrun.config.filling import filled
from dlrun.config.spec import FILLED, DataSpec
from dlrun.errors import UserError
from dlrun.report import comparison
from dlrun.terminal.tables import print_table

if TYPE_CHECKING:
    from torch import Tensor, nn

USAGE = "dlrun show [--config-dir DIR] [key=value ...] | dlrun show RUN | dlrun show example=NAME [key=value ...]"
# Without the batch dimension: what one input of a kind looks like.
SHAPES = {
    "features": lambda spec: (spec.in_features,),
    "image": lambda spec: (spec.in_channels, *spec.image_size),
    "series": lambda spec: (spec.seq_len, spec.in_features),
    "tokens": lambda spec: (spec.seq_len,),
}
BATCH_SIZE = 2  # more than one, so that no layer can take it for a size of the data
MOST_CLASSES = 10
MOST_SIDES = 6


def main(words: list[str]) -> int:
    """Trains nothing; draws graphs, what an augmentation does, and what the convolutions of a run see."""
    arguments = Arguments(
        USAGE,
        "Layers, shapes, parameters and FLOPs of a model on a data set; what a run has left; or a worked example "
        "(example alone lists them).",
    )
    arguments.add_argument("words", nargs="*", metavar="key=value", help="as for training; or the folder of one run")
    arguments.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="config groups of your own")
    given = arguments.parse_intermixed_args(words)
    if any(word.startswith("example=") for word in given.words):
        from dlrun.cli.verbs import show_example

        show_example.show(given.words)
    elif given.words == ["example"]:
        from dlrun.cli.verbs import list as list_verb

        return list_verb.main(["examples"])
    elif len(given.words) == 1 and _is_folder(given.words[0]):
        show_run.show(given.words[0])
    else:
        checked = check.parse(compose.tree(given.words, given.config_dir))
        for word in given.words:
            group, _, name = word.removeprefix("+").partition("=")
            header = catalogue.header(name, given.config_dir) if group == "experiment" else []
            for place, line in enumerate(header):
                print(f"{'' if place else 'recipe':8}{line}")
        _show_model(checked, words)
    return 0


def _is_folder(word: str) -> bool:
    return pathlib.Path(word).is_dir() or ("=" not in word and "/" in word)


def _show_model(checked: check.Config, words: list[str]) -> None:
    from dlrun.run import assemble, augmenting, transfer
    from dlrun.run.blocks import blocks, size

    dataset = assemble.data(checked)
    assemble.augmentation(checked, dataset.spec)
    about = _graphs(dataset) if dataset.spec.kind == "graph" else []
    fitting = pairing.models_for(dataset.spec.kind, dataset.spec.target)
    if not any(word.startswith(("model=", "experiment=")) for word in words) and checked.model["name"] not in fitting:
        _print_data(checked, dataset.spec, dataset.spec, about)
        if about:
            from dlrun.run import graph_pictures

            print(f"        drawn: {graph_pictures.picture(checked, dataset)}")
        print(f"models  that take such data: {', '.join(fitting) or 'none'}; choose one with model=NAME")
        return
    seen, prepare = assemble.view(checked, dataset.spec)
    model = assemble.model(checked, seen)
    task = assemble.task(checked, seen)
    augment = assemble.augmentation(checked, dataset.spec)
    inputs = _example(checked, dataset, seen, prepare)
    shape = tuple(inputs[0].shape[0 if seen.kind == "graph" else 1 :])
    layers = {module: path for path, module in model.named_modules() if _computes(module)}
    calls, flops = _run_once(checked.model["name"], model, inputs, layers)

    _print_data(checked, dataset.spec, seen, about)
    if augment is not None:
        print(f"augment {checked.augment['name']}: {_keys(checked.augment, lambda key, value: True)}")
        print(f"        before and after: {augmenting.picture(checked, dataset, augment, task)}")
    print(f"model   {checked.model['name']}: {_keys(checked.model, lambda key, value: value is not None)}")
    sizes = filled(checked.model, "model", seen, checked.data["name"])
    found = {key: value for key, value in sizes.items() if key in FILLED and checked.model[key] is None}
    print(f"filled  from the data: {_keys(found, lambda _, value: value is not None)}")
    best = "highest" if task.mode == "max" else "lowest"
    print(f"task    {type(task).__name__}: watches val/{task.watch}, {best} is best\n")
    title, columns = f"layers, of one {seen.kind} input {_size(shape)}", ("layer", "type", "output shape", "parameters")
    print_table(title, columns, _layer_rows(calls, layers), right=("output shape", "parameters"))
    print()
    for line in _sides(calls, layers):
        print(line)
    found = blocks(model, inputs)
    print(f"blocks  {', '.join(block.name or '(itself)' for block in found)}: the last is the head")
    freezing = transfer.freezing(checked, model, found)
    if freezing is not None:
        freezing.apply(model, epoch=0)
    print(f"size    {size(model)}, {_memory(model)}")
    if seen.kind != "graph":  # torch counts a sparse product as if its zeros were multiplied too
        flops //= BATCH_SIZE
        print(f"cost    {flops // 2:,} multiply-adds ({flops:,} FLOPs) of one example, in products and convolutions")
    saving = _saving(calls)
    if saving is not None:
        print(f"saving  {saving}")
    if task.is_seen:
        train = dataset.load()["train"]
        for line in [*task.begin(model, train), *task.targets(model, train)]:
            print(line)
    print(f"train   {shlex.join(['dlrun', *words])}")


def _print_data(checked: check.Config, offered: DataSpec, seen: DataSpec, about: list[str]) -> None:
    print(f"data    {checked.data['name']}: {_offer(offered)}")
    if seen.kind != offered.kind:
        print(f"        seen by the model as {_offer(seen)}")
    if seen.class_names is not None:
        print(f"        classes: {_shorten(seen.class_names)}")
    for line in about:
        print(f"        {line}")


def _graphs(dataset: Any) -> list[str]:
    """What can be said of graphs. They are loaded for it: no size of theirs can be made up."""
    from dlrun.data.graphs import parts

    return parts.describe(dataset.load(), dataset.spec.class_names or ())


@dataclass
class Call:
    """One call of a layer; `shape` is that of its first output, without the batch, `sides` are its last two sizes.

    `before` are those of its first input.
    """

    layer: "nn.Module"
    shape: str | None = None
    sides: tuple[int, ...] = ()
    before: tuple[int, ...] = ()


def _run_once(
    name: str, model: "nn.Module", inputs: "tuple[Tensor, ...]", layers: Iterable["nn.Module"]
) -> tuple[list[Call], int]:
    """The calls of `layers` in order, and the FLOPs of the batch `inputs`.

    **Raises:** `UserError` if the model cannot take it.
    """
    from torch.utils.flop_counter import FlopCounterMode

    calls: list[Call] = []

    def note_input(layer: "nn.Module", inputs: Any) -> None:
        calls.append(Call(layer, before=tuple(inputs[0].shape[-2:]) if inputs and hasattr(inputs[0], "shape") else ()))

    def note_output(layer: "nn.Module", inputs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        # Calls nest: the latest that has not returned is this one.
        call = next(call for call in reversed(calls) if call.layer is layer and call.shape is None)
        call.shape = _size(first.shape[1:]) if hasattr(first, "shape") else type(first).__name__
        call.sides = tuple(first.shape[-2:]) if hasattr(first, "shape") else ()

    hooks = []
    for layer in layers:
        hooks.append(layer.register_forward_pre_hook(note_input))
        hooks.append(layer.register_forward_hook(note_output))
    counter = FlopCounterMode(display=False)
    try:
        # Gradients stay on: without them a Transformer layer runs as one fused call that hides its parts.
        with counter:
            model.eval()(*inputs)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"model={name}: cannot take an input of shape {tuple(inputs[0].shape[1:])}: {str(error).splitlines()[0]}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return calls, counter.get_total_flops()


def _sides(calls: list[Call], layers: "dict[nn.Module, str]") -> list[str]:
    """How the pixels along a side of each convolution over more than one come about, those with equal numbers once."""
    from torch import nn

    sums: dict[str, list[str]] = {}
    for call in calls:
        layer = call.layer
        if not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str) or math.prod(call.before) == 1:
            continue
        sizes = zip(
            call.before, layer.padding, layer.kernel_size, layer.stride, layer.dilation, call.sides, strict=True
        )
        texts = [f"floor(({n} + 2 * {p} - {d * (f - 1) + 1}) / {s}) + 1 = {after}" for n, p, f, s, d, after in sizes]
        sums.setdefault(" and ".join(dict.fromkeys(texts)), []).append(layers[layer])
    if not sums:
        return []
    lines = ["sides   of a convolution, floor((n + 2p - f) / s) + 1: n pixels, padding p, kernel f, stride s"]
    for text, paths in list(sums.items())[:MOST_SIDES]:
        lines.append(f"        {text}  {paths[0]}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else ""))
    rest = len(sums) - MOST_SIDES
    return [*lines, f"        and {rest} others"] if rest > 0 else lines


def _saving(calls: list[Call]) -> str | None:
    """What depthwise convolutions with their pointwise ones cost beside plain ones; None where there are none."""
    from torch import nn

    # Those on one pixel weigh channels (squeeze and excitation) and stand between the two of a pair.
    convolutions = [call for call in calls if isinstance(call.layer, nn.Conv2d) and math.prod(call.sides) > 1]
    apart, plain, pairs = 0, 0, 0
    for first, second in pairwise(convolutions):
        depthwise, pointwise = first.layer, second.layer
        assert isinstance(depthwise, nn.Conv2d) and isinstance(pointwise, nn.Conv2d)
        channels = depthwise.in_channels
        if depthwise.groups != channels or channels == 1 or pointwise.kernel_size != (1, 1):
            continue
        each = math.prod(depthwise.kernel_size) * channels * math.prod(first.sides)
        apart += each + channels * pointwise.out_channels * math.prod(second.sides)
        plain += each * pointwise.out_channels
        pairs += 1
    if not pairs:
        return None
    costs = f"{apart:,} multiply-adds, {apart / plain:.1%} of {plain:,} as plain ones"
    return f"{pairs} depthwise and pointwise pairs: {costs}"


def _example(checked: check.Config, dataset: Any, seen: DataSpec, prepare: Any) -> "tuple[Tensor, ...]":
    """What the model gets: of most kinds made up, of graphs the first that there is."""
    import torch

    if seen.kind == "graph":
        part = next(iter(dataset.load().values()))
        return prepare(part.take(torch.zeros(1, dtype=torch.int64)).inputs)
    if seen.kind not in SHAPES:
        raise UserError(f"show: cannot make up an input of kind {seen.kind!r}; kinds it can: {', '.join(SHAPES)}")
    shape = SHAPES[seen.kind](seen)
    if seen.kind == "tokens":
        return (torch.zeros(BATCH_SIZE, *shape, dtype=torch.int64),)
    return (torch.rand(BATCH_SIZE, *shape),)


def _layer_rows(calls: list[Call], layers: "dict[nn.Module, str]") -> list[tuple[str, ...]]:
    """Calls in order; weights that are used without a call (or not at all) stand behind what they belong to."""
    called = {call.layer for call in calls}
    ordered = list(calls)
    for layer, path in reversed(layers.items()):
        if layer not in called and _num_own(layer):
            owner = path.rpartition(".")[0]
            places = [place for place, call in enumerate(ordered, start=1) if layers[call.layer] == owner]
            ordered.insert(places[-1] if places else len(ordered), Call(layer))
    rows, counted = [], set()
    for call in ordered:
        own = 0 if call.layer in counted else _num_own(call.layer)
        counted.add(call.layer)
        shape = "not called" if call.shape is None else call.shape
        rows.append((layers[call.layer] or "(itself)", type(call.layer).__name__, shape, f"{own:,}" if own else ""))
    return rows


def _num_own(layer: "nn.Module") -> int:
    """Parameters of a layer without those of its parts."""
    return sum(parameter.numel() for parameter in layer.parameters(recurse=False))


def _computes(module: "nn.Module") -> bool:
    """Whether a module has parameters of its own or no parts that could do the work."""
    return next(module.children(), None) is None or next(module.parameters(recurse=False), None) is not None


def _size(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def _offer(spec: DataSpec) -> str:
    names = ("in_features", "in_channels", "image_size", "vocab_size", "seq_len", "out_features")
    sizes = {key: getattr(spec, key) for key in names}
    return f"{spec.kind} -> {spec.target}, {_keys(sizes, lambda _, value: value is not None)}"


def _keys(values: dict[str, Any], wanted: Any) -> str:
    words = [
        f"{key}={comparison.as_word(value)}" for key, value in values.items() if key != "name" and wanted(key, value)
    ]
    return " ".join(words) or "nothing"


def _shorten(names: tuple[str, ...]) -> str:
    rest = len(names) - MOST_CLASSES
    return ", ".join(names[:MOST_CLASSES]) + (f" and {rest} more" if rest > 0 else "")


def _memory(model: "nn.Module") -> str:
    num_bytes = sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()])
    return f"{num_bytes / 2**20:.2f} MiB of weights"
