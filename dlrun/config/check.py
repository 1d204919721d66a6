"""The typed config of a run: every mistake in it is found here, before data or device is touched.

A composed config is a plain tree. `parse` checks the whole of it, then reports everything at
once, each mistake on a line of its own with the full key, what was found and what is allowed.
"""

import dataclasses
import os
import typing
import urllib.parse
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from dlrun.config import registry, schema
from dlrun.config.schema import NonNegativeInt, PositiveFloat, PositiveInt, ProperFraction, Range, Seed
from dlrun.config.spec import FILLED
from dlrun.errors import UserError

# More of them than this is a slip of the hand that would take the machine down.
Threads = Annotated[int, Range(low=1, high=1024)]
Workers = Annotated[int, Range(low=0, high=1024)]
Jobs = Annotated[int, Range(low=1, high=1024)]


@dataclass(frozen=True)
class Trainer:
    """How long and how to train; conf/trainer/default.yaml gives meanings, units and defaults."""

    epochs: PositiveInt
    batch_size: PositiveInt
    eval_batch_size: PositiveInt | None
    shuffle: bool
    drop_last: bool
    accumulate: PositiveInt
    clip_grad_norm: PositiveFloat | None
    ema_decay: ProperFraction | None
    warmup_steps: NonNegativeInt
    patience: PositiveInt | None
    limit_batches: PositiveInt | None
    overfit_one_batch: bool
    profile_steps: NonNegativeInt
    log_every: PositiveInt
    eval_every: PositiveInt
    curve_on_test: bool
    save_every: PositiveInt
    stop_when_warned: bool
    body_lr_scale: PositiveFloat
    unfreeze_every: PositiveInt | None
    watch: str | None


@dataclass(frozen=True)
class Init:
    """Which weights a model starts with; conf/config.yaml."""

    from_: schema.FilePath | None


@dataclass(frozen=True)
class Device:
    """Where and in which number format; conf/device/auto.yaml."""

    name: Literal["auto", "cpu", "cuda", "mps"]
    index: NonNegativeInt
    precision: Literal["fp32", "tf32", "bf16", "fp16"]
    channels_last: bool
    compile: bool
    residency: Literal["auto", "device", "workers"]
    resident_limit_mb: NonNegativeInt
    workers: Workers
    threads: Threads | None
    deterministic: bool


@dataclass(frozen=True)
class Logger:
    """What a run writes beside numbers and checkpoints; conf/logger/default.yaml."""

    tensorboard: bool
    pictures: bool
    graph: bool
    histograms: bool
    mlflow: bool
    tracking_uri: str | None
    wandb: bool
    online: bool
    project: str | None
    run_name: str | None


@dataclass(frozen=True)
class View:
    """How a model of sequences reads an image; conf/config.yaml."""

    series: Literal["rows", "pixels"]
    permute_seed: Seed | None


@dataclass(frozen=True)
class Sweep:
    """How `dlrun -m` runs its jobs; conf/sweep/default.yaml."""

    folder: str | None
    jobs: Jobs
    timeout_minutes: PositiveFloat | None
    over: dict
    space: dict


@dataclass(frozen=True)
class Sweeper:
    """Which settings `dlrun -m` tries; conf/sweeper/optuna.yaml."""

    name: Literal["grid", "optuna"]
    trials: PositiveInt
    sampler: Literal["tpe", "random"]
    pruner: Literal["none", "median", "hyperband"]
    startup_trials: NonNegativeInt
    warmup_epochs: NonNegativeInt
    seed: Seed
    storage: str | None


@dataclass(frozen=True)
class Config:
    """One run. The groups up to `scheduler` hold a registered `name` and its keys."""

    model: dict[str, Any]
    data: dict[str, Any]
    augment: dict[str, Any]
    sampler: dict[str, Any]
    task: dict[str, Any]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    view: View
    init: Init
    freeze: PositiveInt | str | tuple[str, ...] | None
    trainer: Trainer
    device: Device
    logger: Logger
    sweep: Sweep
    sweeper: Sweeper
    seed: Seed
    outputs: str
    folder: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, as config.yaml keeps them."""
        return dataclasses.asdict(self, dict_factory=lambda items: {_key(name): value for name, value in items})


# Keys that say where a run lies and what started it, nothing of what it is.
NOT_OF_THE_RUN = ("folder", "outputs", "sweep", "sweeper")


def _key(field: str) -> str:
    """The key that a field holds: one that is a word of Python ends in an underscore there."""
    return field.removesuffix("_")


def parse(tree: dict[str, Any]) -> Config:
    """Checks a composed config. **Raises:** `UserError` with one line for each mistake."""
    try:
        _refuse(_targets(tree))
    except RecursionError:
        raise UserError("config: is nested too deeply") from None
    problems: list[str] = []
    values: dict[str, Any] = {}
    hints = typing.get_type_hints(Config, include_extras=True)
    problems += _unknown_keys("", tree, list(hints))
    for name, annotation in hints.items():
        if name not in tree:
            problems.append(f"{name}: is missing")
        elif name in registry.TABLES:
            values[name] = _check_registered(name, tree[name], problems)
        elif dataclasses.is_dataclass(annotation):
            values[name] = _check_section(name, tree[name], annotation, problems)
        else:
            values[name] = _check_value(name, tree[name], annotation, problems)
    _refuse(problems)
    _refuse(_check_together(values))
    return Config(**values)


def lacking(tree: dict[str, Any]) -> list[str]:
    """The sections of a config, and the keys of typed sections, that `tree` does not have, as one of an older dlrun."""
    found = []
    for name, annotation in typing.get_type_hints(Config).items():
        if name not in tree:
            found.append(name)
        elif dataclasses.is_dataclass(annotation) and isinstance(tree[name], dict):
            keys = [_key(field.name) for field in dataclasses.fields(annotation)]
            found += [f"{name}.{key}" for key in keys if key not in tree[name]]
    return found


def path_keys(config: Config) -> list[str]:
    """The keys, `group.key`, that hold the path of a file or folder."""
    keys = ["init.from"]
    for group in registry.TABLES:
        name = getattr(config, group)["name"]
        if (group, name) != ("task", "auto"):
            parameters = registry.of(group).describe(name).parameters.values()
            keys += [f"{group}.{each.name}" for each in parameters if schema.is_path(each.annotation)]
    return keys


def with_absolute_paths(config: Config) -> Config:
    """`config` as it can be read from any folder: paths to what is there are absolute."""
    tree = config.to_dict()
    for key in path_keys(config):
        group, _, name = key.partition(".")
        given = tree[group].get(name)
        if isinstance(given, str) and os.path.exists(path := os.path.abspath(os.path.expanduser(given))):
            tree[group][name] = path
    return parse(tree)


def on_cpu(tree: dict[str, Any]) -> dict[str, Any]:
    """The config of a stored run for this machine, which may lack the device that it was trained on."""
    device = tree.get("device", {}) | {"name": "cpu", "index": 0, "precision": "fp32", "compile": False}
    return tree | {"device": device}


def _refuse(problems: list[str]) -> None:
    if problems:
        # A key from a file may hold line breaks; a mistake is one line.
        raise UserError("\n".join(" ".join(problem.split()) for problem in problems))


def _targets(tree: Any, path: str = "") -> list[str]:
    """Keys by which other tools let a config call code; dlrun never does."""
    if isinstance(tree, list):
        return [p for position, value in enumerate(tree) for p in _targets(value, f"{path}[{position}]")]
    if not isinstance(tree, dict):
        return []
    found = []
    for key, value in tree.items():
        full = f"{path}.{key}" if path else str(key)
        if str(key).startswith("_") and str(key).endswith("_"):
            found.append(
                f"{full}: a config names registered things and runs no code; remove this key and write `name:`"
            )
        found += _targets(value, full)
    return found


def _unknown_keys(section: str, tree: dict[str, Any], known: list[str]) -> list[str]:
    prefix = f"{section}." if section else ""
    problems = []
    for key in tree:
        if key in known:
            continue
        elsewhere = _other_owners(section, key)
        hint = f"; it is a key of {elsewhere}" if elsewhere else schema.suggest(str(key), known)
        allowed = ", ".join(known) if known else "none"
        problems.append(f"{prefix}{key}: unknown key{hint} ({section or 'top-level'} keys: {allowed})")
    return problems


def _other_owners(section: str, key: str) -> str:
    if key in typing.get_type_hints(Trainer):
        return f"trainer: trainer.{key}"
    if section not in registry.TABLES:
        return ""
    owners = [name for name, described in registry.of(section).descriptions() if key in described.parameters]
    return ", ".join(f"{section}={name}" for name in owners)


def _check_registered(group: str, tree: Any, problems: list[str]) -> dict[str, Any]:
    name = tree.get("name") if isinstance(tree, dict) else None
    if not isinstance(name, str):
        names = ", ".join(registry.of(group).names())
        problems.append(f"{group}.name: must be one of {names}, found {name!r}; choose with {group}=NAME")
        return {}
    if group == "task" and name == "auto":
        problems += _unknown_keys("task", tree, ["name"])
        return dict(tree)
    try:
        parameters = registry.of(group).describe(name).parameters
    except UserError as error:
        problems.append(f"{group}.name: {error}")
        return {}
    problems += _unknown_keys(group, tree, ["name", *parameters])
    checked: dict[str, Any] = {"name": name}
    for key, parameter in parameters.items():
        value = tree.get(key, None if parameter.default is schema.REQUIRED else parameter.default)
        if value is None and group in ("model", "task") and key in FILLED:
            checked[key] = None
        elif key == "spec" and group == "task":
            continue
        elif value is None and parameter.default is schema.REQUIRED and key not in tree:
            problems.append(f"{group}.{key}: is missing; write {group}.{key}=VALUE")
        else:
            checked[key] = _check_value(f"{group}.{key}", value, parameter.annotation, problems)
    return checked


def _check_section(name: str, tree: Any, kind: Any, problems: list[str]) -> Any:
    if not isinstance(tree, dict):
        problems.append(f"{name}: must be a group of keys, found {tree!r}")
        return None
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {_key(field): field for field in hints}
    before = len(problems)
    problems += _unknown_keys(name, tree, list(fields))
    problems += [f"{name}.{key}: is missing" for key in fields if key not in tree]
    values = {
        field: _check_value(f"{name}.{key}", tree[key], hints[field], problems)
        for key, field in fields.items()
        if key in tree
    }
    return kind(**values) if len(problems) == before else None


def _check_value(key: str, value: Any, annotation: Any, problems: list[str]) -> Any:
    try:
        return schema.check(value, annotation)
    except ValueError as error:
        problems.append(f"{key}: {error}")
        return None


def _check_together(values: dict[str, Any]) -> list[str]:
    """Keys that are right one by one and wrong together."""
    trainer, device = values["trainer"], values["device"]
    folders = {"outputs": values["outputs"], "folder": values["folder"], "sweep.folder": values["sweep"].folder}
    problems = [f"{key}: must name a folder, found ''" for key, folder in folders.items() if folder == ""]
    if (uri := values["logger"].tracking_uri) is not None:
        problems += [f"logger.tracking_uri: {problem}" for problem in _uri_problems(uri)]
    if device.name == "cpu" and device.precision in ("tf32", "fp16"):
        problems.append(f"device.precision: {device.precision} does not work on cpu; use fp32 or bf16")
    if device.name == "mps" and device.precision == "tf32":
        problems.append("device.precision: tf32 needs a CUDA GPU; on mps use fp32, bf16 or fp16")
    scheduler, optimizer = (_facts(group, values[group]["name"]) for group in ("scheduler", "optimizer"))
    if trainer.warmup_steps and (rises := scheduler.get("warms_up")):
        name = values["scheduler"]["name"]
        problems.append(
            f"trainer.warmup_steps: scheduler={name} warms up by itself (scheduler.{rises}); set trainer.warmup_steps=0"
        )
    if trainer.unfreeze_every is not None and values["freeze"] is None:
        problems.append("trainer.unfreeze_every: nothing is frozen; add freeze=body, or remove this key")
    for group, facts in (("scheduler", scheduler), ("optimizer", optimizer)):
        if trainer.body_lr_scale != 1 and facts.get("one_rate"):
            name = values[group]["name"]
            problems.append(f"trainer.body_lr_scale: {group}={name} has one rate for all; choose another {group}")
    if optimizer.get("needs_closure") and (trainer.accumulate > 1 or device.precision == "fp16"):
        problems.append(
            f"optimizer={values['optimizer']['name']}: evaluates a batch several times a step, which goes neither with "
            "trainer.accumulate above 1 nor with device.precision=fp16"
        )
    if device.workers and device.residency == "device":
        problems.append(
            "device.workers: residency=device reads no files in workers; set workers=0 or residency=workers"
        )
    return problems


def _uri_problems(uri: str) -> list[str]:
    """Why `uri` is no address that a run may keep in its folder; a password in it is not said again."""
    try:
        parts = urllib.parse.urlsplit(uri)
        has_secret = parts.password is not None or (parts.scheme.startswith("http") and parts.username is not None)
        has_secret |= "password" in parts.query
    except ValueError:
        return ["is no address"]
    if has_secret:
        return [
            "holds a password, which would be kept in the run's folder; set MLFLOW_TRACKING_URI to it, or "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        ]
    if "://" not in uri and not uri.startswith("databricks"):
        return [f"must be an address such as http://HOST:5000 or sqlite:///FILE, found {uri!r}"]
    return []


def _facts(group: str, name: str) -> dict[str, Any]:
    return registry.of(group).describe(name).attributes
