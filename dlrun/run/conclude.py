"""The two ends of a run that a person reads: what is about to start, and what came of it."""

import importlib.metadata
import math
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dlrun import __version__, disk
from dlrun.config import compose, registry
from dlrun.config.check import Config
from dlrun.config.spec import last_part
from dlrun.engine import device as devices
from dlrun.engine.contracts import Findings, Loader, Part, Task
from dlrun.engine.evaluate import Evaluation, evaluate
from dlrun.engine.kept import Kept
from dlrun.engine.state import State
from dlrun.run.blocks import size
from dlrun.run.loggers.logger import flatten
from dlrun.run.recorder import Recorder
from dlrun.store.checkpoint import DamagedCheckpoint
from dlrun.store.run_folder import RunFolder, picture_png
from dlrun.store.runs import has_diverged, rank, samples, small
from dlrun.terminal.console import print_metrics
from dlrun.terminal.escaping import quoted

MOST_SAMPLES = 6
MOST_WEIGHTS = 10  # numbers


@dataclass
class Result:
    """A finished run: its folder, its final metrics (`test/accuracy`, ...), the watched value, and how it ended."""

    path: pathlib.Path
    metrics: dict[str, float]
    value: float
    outcome: str


def announce(
    config: Config, path: pathlib.Path, model: nn.Module, parts: dict[str, Part], device: torch.device,
    about: Sequence[str] = (),
) -> None:  # fmt: skip
    """What is about to be trained, on what, where, and into which folder; `about`: what the task says of it."""
    sizes = " + ".join(f"{len(part):,} {name}" for name, part in parts.items())
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    print(f"model   {config.model['name']}, {size(model)}")
    print(f"data    {config.data['name']}, {sizes} examples")
    for line in about:
        print(line)
    print(f"device  {devices.label(device)}, {config.device.precision}{threads}")
    print(f"folder  {path}", flush=True)
    load = os.getloadavg()[0]
    if device.type == "cpu" and torch.get_num_threads() > 1 and load > (os.cpu_count() or 1):
        print(f"dlrun: note: other programs keep the cores busy (load {load:.1f}); device.threads=1 may be faster")
    if config.device.precision == "bf16" and device.type == "cpu" and not devices.bf16_is_native():
        print("dlrun: warning: this CPU has no bf16 instructions, so bf16 is slower than fp32 here")


def conclude(
    config: Config,
    words: list[str],
    home: RunFolder,
    state: State,
    task: Task,
    loaders: dict[str, Loader],
    recorder: Recorder,
    outcome: str,
    kept: Kept | None = None,
    changed: Mapping[str, str] | None = None,
    *,
    from_python: bool = False,
) -> Result:
    """Tests the best weights once, then writes summary, pictures and events and says what to do next.

    `kept` is what the run has kept of its data; `changed` are the keys that set it apart from others of its sweep;
    `from_python`: whoever has asked for it needs no commands.
    """
    model, part = _best_model(home, state), last_part(loaders)
    autocast = devices.autocast(config.device.precision, state.device)
    loader = loaders[part].exact()
    final = evaluate(model, task, loader, task.final_metrics(model), autocast, keep_outputs=True)
    assert final is not None, "only a signal ends an evaluation early, and none is listened to here"
    if has_diverged(state.history):
        outcome = "diverged"
    metrics = _final_metrics(state, part, final.metrics | task.examine(model))
    summary = _summary(config, words, state, recorder, metrics, _during(state, part), outcome)
    home.write_summary(summary | {"data_fingerprint": kept.fingerprint if kept is not None else None})
    assert final.index is not None, "the outputs were kept"
    home.write_predictions({"index": final.index.tolist(), **task.rows(final.outputs, final.target)})
    if config.logger.pictures:
        _draw(home, state, task, final, loader, recorder)
    # A trace knows no sparse matrices, which layers of graphs multiply with.
    if config.logger.graph and not task.spec.kind.startswith("graph"):
        recorder.loggers.each(lambda logger: logger.graph(model, loader.example().inputs))
    recorder.loggers.conclude(_settings(config, words, changed), _ranked(metrics, home.watch[0], part), state.step)
    if outcome == "nothing to learn":
        print("nothing to learn: no weight of this model changes, so it was evaluated as it is")
    if outcome == "stopped early":
        print(f"stopped early: no better {home.watch[0]} for {config.trainer.patience} epochs")
    if outcome == "diverged":
        first, last = (state.history[place]["train/loss"] for place in (0, -1))
        lower = f"optimizer.lr={config.optimizer['lr'] / 10:g}" if config.optimizer.get("lr") else "a lower rate"
        print(f"dlrun: warning: training diverged, train/loss {first:.4g} became {last:.4g}; try {lower}")
    during = {name.partition("/")[0]: f"epoch {state.best_epoch}" for name in _during(state, part)}
    print_metrics(f"best weights (epoch {state.best_epoch} of {state.epoch})", metrics, during)
    for line in _weights(model):
        print(line)
    for remark in task.remarks(metrics):
        print(f"dlrun: note: {remark}")
    print(f"folder  {home.path}")
    if not from_python:
        _say_next(recorder, home.path, words)
    return Result(
        home.path, metrics, metrics.get(home.watch[0], metrics.get(f"{part}/{state.watch}", math.nan)), outcome
    )


def _weights(model: nn.Module) -> list[str]:
    """The weights of a model that has so few of them that a person reads them: a line a tensor, by its name."""
    named = dict(model.named_parameters())
    if not 0 < sum(parameter.numel() for parameter in named.values()) <= MOST_WEIGHTS:
        return []
    width = max(map(len, named))
    shown = {name: [f"{value:.4f}" for value in tensor.detach().flatten().tolist()] for name, tensor in named.items()}
    return [f"weights {name.ljust(width)}  {' '.join(values)}" for name, values in shown.items()]


def _settings(config: Config, words: list[str], changed: Mapping[str, str] | None) -> dict[str, Any]:
    """What a table of many runs shows of this one: what its sweep changes, or what it is and what its words set."""
    values = flatten(config.to_dict())
    plain = [word for word in words if "=" in word and not word.startswith("-")]
    said = changed or {
        "model": "",
        "data": "",
        **{given.key_or_group: "" for given in compose.parse(plain)},
        "seed": "",
    }
    keys = [key if key in values else f"{key}.name" for key in said]
    return {key: values[key] for key in keys if key in values}


def command(words: list[str]) -> str:
    """The line that repeats the run, with the plug-ins that it needs."""
    plugins = os.environ.get("DLRUN_PLUGINS")
    return (f"DLRUN_PLUGINS={shlex.quote(plugins)} " if plugins else "") + shlex.join(["dlrun", *words])


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    packages = ("torch", "torchvision", "hydra-core", "numpy")
    return {"dlrun": __version__, "python": platform.python_version()} | {
        p: importlib.metadata.version(p) for p in packages
    }


def _best_model(home: RunFolder, state: State) -> nn.Module:
    model = state.eval_model
    try:
        model.load_state_dict(home.read_best()["model"])
    except (DamagedCheckpoint, RuntimeError) as error:
        print(f"dlrun: warning: {str(error).splitlines()[0]}; testing the last weights, not the best")
    return model


def _ranked(metrics: dict[str, float], watched: str, part: str) -> dict[str, float]:
    """The metric that was watched, those of the final part, the others: a table shows the first few."""
    return dict(sorted(metrics.items(), key=lambda item: (item[0] != watched, _part(item[0]) != part)))


def _final_metrics(state: State, part: str, final: dict[str, float]) -> dict[str, float]:
    """The best epoch's row, and all that was found out about the final part."""
    metrics = {name: value for name, value in _best_row(state).items() if "/" in name and _part(name) != part}
    return metrics | {f"{part}/{name}": value for name, value in final.items()}


def _best_row(state: State) -> dict[str, float]:
    return next((row for row in state.history if row["epoch"] == state.best_epoch), {})


def _during(state: State, part: str) -> list[str]:
    """The final metrics that are means over the best epoch, in which the weights changed, not measured with its last.

    Those of the train part, unless it is the final one.
    """
    return [name for name in _best_row(state) if _part(name) == "train"] if part != "train" and state.step else []


def _part(name: str) -> str:
    """`val` of `val/accuracy`."""
    return name.partition("/")[0]


def _summary(
    config: Config, words: list[str], state: State, recorder: Recorder, metrics: dict[str, float], during: list[str],
    outcome: str,
) -> dict[str, Any]:  # fmt: skip
    speeds = recorder.throughputs
    return {
        "metrics": metrics,
        "means_during_epoch": during,
        "outcome": outcome,
        "model": config.model["name"],
        "data": config.data["name"],
        "best_epoch": state.best_epoch,
        "epochs": state.epoch,
        "steps": state.step,
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "seconds": round(recorder.seconds(), 3),
        "examples_per_second": round(statistics.median(speeds), 1) if speeds else None,
        "device": devices.label(state.device),
        "precision": config.device.precision,
        "threads": torch.get_num_threads(),
        "seed": config.seed,
        "versions": versions(),
        "git_commit": _git_commit(pathlib.Path(__file__).parent),
        "plugin_commits": {path: _git_commit(pathlib.Path(path).parent) for path in registry.plugin_files()},
        "command": command(words),
    }


def _draw(home: RunFolder, state: State, task: Task, final: Evaluation, loader: Loader, recorder: Recorder) -> None:
    from dlrun.plots import curves, images
    from dlrun.plots.figure import png_bytes

    model = state.eval_model.eval()

    def forward(raw: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return model(*loader.options.prepare((raw.to(loader.device),))).cpu()

    assert final.index is not None, "the outputs were kept"
    findings = Findings(final.outputs, final.target, loader.part.subset(final.index), forward, model, loader)
    figures = task.pictures(findings)
    drawn = {
        name: picture_png(figure) if isinstance(figure, torch.Tensor) else png_bytes(figure)
        for name, figure in figures.items()
    }
    if state.step > 0:
        history, best = state.history, state.best_epoch
        figure = curves.learning_curves(history, best_epoch=best, diverged=has_diverged(history))
        drawn["learning_curves"] = png_bytes(figure)
    shown = samples(home.path)
    if len(shown) > 1:
        some = {f"epoch {epoch}": images.read(shown[epoch]) for epoch in _early_and_late(list(shown))}
        drawn["samples"] = png_bytes(images.side_by_side(some))
    plots = disk.folder(home.path / "plots")
    for name, png in drawn.items():
        path = plots / f"{name}.png"
        disk.write(path, png)
        recorder.loggers.each(lambda logger, name=name, path=path: logger.picture(name, path, state.step))
    for name in sorted(drawn, key=rank)[:1]:
        # A report of many runs shows it, and unpacking the large ones takes longer than all else there.
        disk.write(small(plots / f"{name}.png"), images.shrunk(drawn[name]))
    recorder.loggers.each(lambda logger: logger.points(lambda: task.embedded(findings)))


def _early_and_late(epochs: Sequence[int]) -> list[int]:
    """At most `MOST_SAMPLES` of them: the first, the last, and more of the early ones, in which most happens."""
    powers = [place / (MOST_SAMPLES - 1) for place in range(MOST_SAMPLES)]
    return [epochs[place] for place in sorted({round(len(epochs) ** power) - 1 for power in powers})]


def _git_commit(folder: pathlib.Path) -> str | None:
    """The commit of the code in `folder`, `+` marking local changes; None: it is in no repository, or not a part of it.

    Asked only of code that runs anyway: a repository's own configuration can name programs that git starts.
    """
    git = ["git", "-c", "core.fsmonitor=false", "-C", str(folder)]
    ask = ["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no", "."]
    try:
        # A package that was installed below somebody's repository is no part of it.
        subprocess.run([*git, "ls-files", "--error-unmatch", "."], capture_output=True, timeout=5, check=True)
        commit, changes = (
            subprocess.run([*git, *a], capture_output=True, text=True, timeout=5, check=True).stdout.strip()
            for a in ask
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changes else "")


def _say_next(recorder: Recorder, path: pathlib.Path, words: list[str]) -> None:
    for look in recorder.loggers.looks():
        print(f"look    {look}")
    print(f"test    dlrun eval {quoted(path)}")
    print(f"again   {command(words)}", flush=True)
