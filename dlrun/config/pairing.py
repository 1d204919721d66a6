"""Which model, data set and task go together, by what each says of itself; nothing of them is imported for it."""

from collections.abc import Collection, Iterable
from typing import Any

from dlrun.config import registry, schema
from dlrun.errors import UserError

# What data of a kind can also be seen as; dlrun/data/views.py says how.
SEEN_AS = {"image": ("features", "series")}
VALUES = ("values",)  # what a model answers with if it does not say: numbers for each example, step, node or graph


def fits(kind: str, accepts: Collection[str]) -> bool:
    """Whether data of `kind` can be fed to a model that takes any of `accepts`."""
    return kind in accepts or any(seen in accepts for seen in SEEN_AS.get(kind, ()))


def accepts(model: str, kind: str) -> tuple[str, ...]:
    """The kinds of input that a model takes; one that does not say takes `kind`."""
    return tuple(registry.of("model").describe(model).attributes.get("accepts") or (kind,))


def answers(model: str) -> tuple[str, ...]:
    """The kinds of output that a model gives."""
    return tuple(registry.of("model").describe(model).attributes.get("answers", VALUES))


def needs(task: str) -> str:
    """The kind of output that a task needs."""
    return registry.of("task").describe(task).attributes.get("needs", VALUES[0])


def targets(data: str) -> tuple[str, ...]:
    """The kinds of target that a data set may have: more than one if a file must be read to know."""
    target = registry.of("data").describe(data).attributes.get("target", "")
    return tuple(filter(None, target.split("|")))


def target_for(model: str, task: str, data: str) -> str | None:
    """Of the targets that a data set offers the first that the model can learn, by `task` or for `auto` the usual one.

    None: it can learn none of them.
    """
    for target in targets(data):
        name = usual_task(target) if task == "auto" else task
        if name is None or (_attribute("task", name, "learns") or target) != target:
            continue
        if needs(name) in answers(model):
            return target
    return None


def usual_task(target: str) -> str | None:
    """The task that `task=auto` takes for a kind of target: the one that says so, or the only one that learns it.

    **Raises:** `UserError` if several say so.
    """
    tasks = registry.of("task")
    learning = [name for name in tasks.names() if _attribute("task", name, "learns") == target]
    usual = [name for name in learning if _attribute("task", name, "is_default")] or learning
    if len(usual) > 1:
        raise UserError(f"task: {' and '.join(usual)} learn a target of kind {target!r}; choose with task=NAME")
    return usual[0] if usual else None


def task_for(task: str, data: str, target: str) -> str:
    """The task `task`, or for `auto` the usual one. **Raises:** `UserError` if it learns another target."""
    if task == "auto":
        found = usual_task(target)
        if found is None:
            raise UserError(f"data={data}: no task learns its target {target!r}")
        return found
    learns = _attribute("task", task, "learns") or target
    if learns != target:
        raise UserError(f"task={task}: learns a target of kind {learns!r}, data={data} gives {target!r}")
    return task


def check_answer(model: str, data: str, target: str, task: str) -> None:
    """**Raises:** `UserError` if the model does not answer with what the task needs: what is given, and what fits."""
    needed = needs(task)
    if needed in answers(model):
        return
    fitting = [name for name in registry.of("model").names() if needed in answers(name)]
    other = [name for name in registry.of("data").names() if any(_is_answered(model, t) for t in targets(name))]
    raise UserError(
        f"model={model} data={data}: the target is of kind {target}, for which task={task} needs "
        f"{_a(needed)}, and the model answers with {' or '.join(map(_a, answers(model)))}; models that fit: "
        f"{schema.few(fitting)}; data sets that fit: {schema.few(other)}"
    )


def check_input(model: str, data: str, kind: str) -> None:
    """**Raises:** `UserError` if the model cannot take data of `kind`, however it is seen."""
    accepted = accepts(model, kind)
    if fits(kind, accepted):
        return
    data_sets = registry.of("data").descriptions()
    fitting = [name for name, described in data_sets if fits(described.attributes.get("kind", ""), accepted)]
    raise UserError(
        f"model={model} data={data}: model and data do not fit: the model takes {' or '.join(accepted)}, the data are "
        f"{kind}; data sets that fit: {schema.few(fitting)}"
    )


def watched(task: str) -> tuple[str, str]:
    """(The metric that chooses the best epoch, whether its highest or lowest value is best: max or min)."""
    attributes = registry.of("task").describe(task).attributes
    return attributes.get("watch", "loss"), attributes.get("mode", "min")


def _is_answered(model: str, target: str) -> bool:
    task = usual_task(target)
    return task is not None and needs(task) in answers(model)


def _attribute(group: str, name: str, attribute: str) -> Any:
    return registry.of(group).describe(name).attributes.get(attribute)


def _a(kind: str) -> str:
    return "an image" if kind == "image" else kind


def models_for(kind: str, target: str) -> Iterable[str]:
    """The models that learn such a target from such data, by their usual task."""
    task = usual_task(target)
    if task is None:
        return []
    needed = needs(task)
    return [
        name for name in registry.of("model").names() if fits(kind, accepts(name, kind)) and needed in answers(name)
    ]


def models_of(data: str) -> set[str]:
    """The models that learn what a data set may offer, by what both say of themselves; building one may still fail."""
    kind = str(registry.of("data").describe(data).attributes.get("kind", ""))
    return {model for target in targets(data) for model in models_for(kind, target)}


def fitting() -> list[tuple[str, str]]:
    """All pairs of a model and a data set that fit, by name."""
    found: dict[tuple, set[str]] = {}
    pairs = []
    for data in registry.of("data").names():
        # Many data sets offer the same, and looking takes a moment.
        offered = registry.of("data").describe(data).attributes.get("kind"), targets(data)
        if offered not in found:
            found[offered] = models_of(data)
        pairs += [(model, data) for model in found[offered]]
    return sorted(pairs)
