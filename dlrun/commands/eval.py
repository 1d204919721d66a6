"""`dlrun eval RUN [--part test]`: the metrics of a finished run's best weights, measured again."""

import pathlib
from dataclasses import replace
from typing import Any

from dlrun import config, runs
from dlrun.data.spec import DataSpec
from dlrun.errors import UserError

USAGE = "dlrun eval RUN [--part train|val|test] [device.KEY=VALUE] [data.root=FOLDER]"


def main(words: list[str]) -> int:
    """Prints a table. **Raises:** `UserError` for a folder without usable weights."""
    overrides = [word for word in words if "=" in word]
    plain = [word for word in words if "=" not in word]
    wanted = None
    if "--part" in plain:
        place = plain.index("--part")
        wanted = plain[place + 1] if place + 1 < len(plain) else ""
        del plain[place : place + 2]
    if len(plain) != 1:
        raise UserError(f"eval: give one run; usage: {USAGE}")
    stored = runs.open_run(plain[0])
    for override in overrides:
        _apply(stored.config, override)
    checked = config.parse(stored.config)

    from dlrun.console import print_metrics

    metrics = evaluate_run(checked, stored.path, wanted)
    print_metrics(f"{stored.path}, best weights", metrics)
    return 0


def evaluate_run(checked: config.Config, path: pathlib.Path, wanted: str | None = None) -> dict[str, float]:
    """`part/name` metrics of the best weights in `path`, on `wanted` or the last part there is."""
    from dlrun import build, checkpoint
    from dlrun.engine import device as devices
    from dlrun.engine.evaluate import evaluate
    from dlrun.folder import BEST

    try:
        best = checkpoint.read(path / "checkpoints" / BEST)
    except checkpoint.DamagedCheckpoint as error:
        raise UserError(f"no usable weights: {error}") from error
    device = build.device(checked)
    dataset = build.data(checked)
    spec, prepare = build.view(checked, _as_trained(dataset.spec, best["spec"], path))
    parts = dataset.load()
    part = wanted if wanted is not None else next(name for name in ("test", "val", "train") if name in parts)
    if part not in parts:
        raise UserError(f"eval: no part {part!r}; data={checked.data['name']} has {', '.join(parts)}")
    loaders = build.loaders(checked, parts, prepare, device)
    model = devices.place(build.model(checked, spec), device, checked.device.channels_last)
    model.load_state_dict(best["model"])
    task = build.task(checked, spec)
    autocast = devices.autocast(checked.device.precision, device)
    result = evaluate(model, task, loaders[part], autocast, keep_outputs=True)
    assert result is not None, "nothing asks this evaluation to stop"
    return {
        f"{part}/{name}": value for name, value in (result.metrics | task.report(result.outputs, result.target)).items()
    }


def _as_trained(given: DataSpec, trained: dict[str, Any], path: pathlib.Path) -> DataSpec:
    """What the data offer now, with the statistics that the weights were trained with.

    **Raises:** `UserError` if its classes or features are no longer those of the run.
    """
    then = DataSpec.from_dict(trained)
    names = ("class_names", "out_features") + (("feature_names",) if given.kind == then.kind else ())
    for key in names:
        if getattr(then, key) != getattr(given, key):
            raise UserError(
                f"{path}: was trained with {key} {getattr(then, key)}, the data now have {getattr(given, key)}"
            )
    statistics = {key: getattr(then, key) for key in ("mean", "std") if given.kind == then.kind}
    return replace(given, **statistics, target_mean=then.target_mean, target_std=then.target_std)


def _apply(tree: dict[str, Any], override: str) -> None:
    from dlrun import compose

    parsed = compose.parse([override])[0]
    *sections, name = parsed.key_or_group.split(".")
    for section in sections:
        tree = tree.get(section, {})
    tree[name] = parsed.value()
