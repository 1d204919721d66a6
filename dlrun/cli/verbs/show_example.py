"""`dlrun show example=NAME [key=value ...]`: a worked example of the notes, step by step, and its picture."""

import pathlib
import re
import shlex
import textwrap
from typing import TYPE_CHECKING, Any

from dlrun import disk
from dlrun.config import catalogue, compose, schema
from dlrun.errors import UserError
from dlrun.examples import EXAMPLES
from dlrun.store import files
from dlrun.terminal import tables, tensors

if TYPE_CHECKING:
    from dlrun.examples.lesson import Step

WIDTH = 100  # characters of a line of prose
OUTPUTS = "outputs"  # where the picture goes, as of any other `show`
LONGEST_VALUE = 40  # characters of a value in the list of keys


def show(words: list[str]) -> None:
    """Prints the steps of the example that `words` name, and saves its picture. **Raises:** `UserError`."""
    name, keys, outputs = read(words)
    files.check_writable(outputs)
    described = EXAMPLES.describe(name)
    try:
        lesson = EXAMPLES.get(name)(**keys)
    except ValueError as error:
        raise UserError(f"example={name}: {' '.join(str(error).split())}") from error
    print(f"example {name} (notes, {described.attributes['chapter']})")
    for line in _wrapped(f"{catalogue.first_sentence(described.doc)}.", WIDTH - 8):
        print(f"        {line}")
    for number, step in enumerate(lesson.steps, start=1):
        _print_step(number, step)
    print()
    meanings = catalogue.meanings(described.doc)
    rows = [(compose.word(key, value), meanings[key]) for key, value in keys.items()]
    tables.print_table("", ("key", "what it is"), [(_shorten(word), meaning) for word, meaning in rows])
    print()
    print(f"picture {_save(lesson.figure, name, outputs)}")
    print(f"again   {shlex.join(['dlrun', 'show', *words])}")


def read(words: list[str]) -> tuple[str, dict[str, Any], str]:
    """The name of an example, all its keys, the folder of its picture. **Raises:** `UserError`, a line a mistake."""
    given = {}
    for override in compose.parse(words):
        line, key = override.input_line, override.key_or_group
        if override.is_sweep_override():
            raise UserError(
                f"{line}: lists several values; a list is written {key}=[1,2], and an example is shown once"
            )
        if override.is_delete() or override.package is not None:
            raise UserError(f"{line}: an example needs each of its keys; change it with {key}=VALUE")
        given[key] = override.value()
    name, outputs = str(given.pop("example")), given.pop("outputs", OUTPUTS)
    parameters = EXAMPLES.describe(name).parameters
    known = [*parameters, "outputs"]
    problems = [
        f"{key}: unknown key{schema.suggest(key, known)} (keys of example={name}: {', '.join(known)})"
        for key in given
        if key not in parameters
    ]
    if not isinstance(outputs, str) or not outputs:
        problems.append(f"outputs: must name a folder, found {outputs!r}")
    keys = {}
    for key, parameter in parameters.items():
        try:
            keys[key] = schema.check(given.get(key, parameter.default), parameter.annotation)
        except ValueError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise UserError("\n".join(problems))
    return name, keys, outputs


def _print_step(number: int, step: "Step") -> None:
    print()
    for place, line in enumerate(_wrapped(step.says, WIDTH - 4)):
        print(f"{'' if place else number:<4}{line}")
    if step.formula:
        print(f"    {step.formula}")
    if step.values is None:
        return
    if isinstance(step.values, list):
        lines = tables.plain("", step.columns, step.values).splitlines()
    else:
        lines = tensors.block(step.values.tolist(), step.tables, step.rows, step.columns)
    for line in lines:
        print(f"        {line}")


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of prose; a size such as 4 x 4 stays on one."""
    together = re.sub(r"(?<=\d) x (?=\d)", "\u00a0x\u00a0", text)
    return [line.replace("\u00a0", " ") for line in textwrap.wrap(together, width)]


def _save(figure: Any, name: str, outputs: str) -> pathlib.Path:
    from dlrun.plots.figure import png_bytes

    path = pathlib.Path(outputs) / f"example-{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write(path, png_bytes(figure))
    return path


def _shorten(word: str) -> str:
    return word if len(word) <= LONGEST_VALUE else f"{word[: LONGEST_VALUE - 3]}..."
