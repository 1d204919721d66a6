"""`dlrun eval RUN [--part test]`: the metrics of a finished run's best weights, measured again."""

import pathlib
from typing import Any

from dlrun import config, runs
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
    from dlrun import batching, build, trained
    from dlrun.engine import device as devices
    from dlrun.engine.evaluate import evaluate

    run = trained.load(checked, path, with_data=True)
    parts = run.dataset.load()
    part = wanted if wanted is not None else next(name for name in ("test", "val", "train") if name in parts)
    if part not in parts:
        raise UserError(f"eval: no part {part!r}; data={checked.data['name']} has {', '.join(parts)}")
    loaders = batching.loaders(checked, parts, run.prepare, run.device)
    autocast = devices.autocast(checked.device.precision, run.device)
    result = evaluate(run.model, run.task, loaders[part], autocast, keep_outputs=True)
    assert result is not None, "nothing asks this evaluation to stop"
    found = result.metrics | build.report(run.task, run.model, result)
    return {f"{part}/{name}": value for name, value in found.items()}


def _apply(tree: dict[str, Any], override: str) -> None:
    from dlrun import compose

    parsed = compose.parse([override])[0]
    *sections, name = parsed.key_or_group.split(".")
    for section in sections:
        tree = tree.get(section, {})
    tree[name] = parsed.value()
