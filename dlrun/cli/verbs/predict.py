"""`dlrun predict RUN INPUT...`: what a finished run makes of texts, images or rows; or a text that it writes."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun import disk
from dlrun.cli.arguments import Arguments
from dlrun.config.schema import few
from dlrun.errors import UserError
from dlrun.store import runs
from dlrun.terminal.tables import print_table

if TYPE_CHECKING:
    from dlrun.run.trained import Trained

USAGE = (
    "dlrun predict RUN INPUT... [--out FOLDER] [--format coco] [--score 0.5] [--gallery FOLDER] "
    "[data.path=FILE] [data.root=FOLDER] | "
    "dlrun predict RUN --prompt TEXT [--length 200] [--temperature 0.8] [--seed 0]"
)
SHOWN_LETTERS = 60
OUT = "predictions"
MOST_UNREAD = 3  # in a message
_OVERRIDE = re.compile(r"data\.\w+=")


def main(words: list[str]) -> int:
    """Prints a table, or the text. Returns 1 if some of the inputs could not be read, which are named.

    **Raises:** `UserError` for what the run cannot take, and if it is all.
    """
    arguments = Arguments(USAGE, "What the best weights of a run say of new inputs.")
    arguments.add_argument("run", metavar="RUN", help="the folder of a run")
    arguments.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="a text, an image or a folder of them, a CSV file"
    )
    arguments.add_argument("--prompt", metavar="TEXT", help="what a model of text goes on with")
    arguments.add_argument("--length", type=int, default=200, metavar="N", help="characters to write")
    arguments.add_argument("--temperature", type=float, default=0.8, metavar="T", help="0: always the likeliest")
    arguments.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another text")
    arguments.add_argument("--out", metavar="FOLDER", help=f"where images with what was found go; default: {OUT}")
    arguments.add_argument("--format", metavar="NAME", help="also a file of what was found: coco or yolo")
    arguments.add_argument("--score", type=float, metavar="S", help="the least score that is drawn, listed and written")
    arguments.add_argument("--gallery", metavar="FOLDER", help="known people, a folder each or a picture each")
    overrides = [word for word in words if _OVERRIDE.match(word)]
    given = arguments.parse_intermixed_args([word for word in words if word not in overrides])
    if given.score is not None and not 0 <= given.score <= 1:
        raise UserError(f"predict: --score must be between 0 and 1, found {given.score:g}")
    run = runs.open_run(given.run)

    from dlrun.run import stored, trained

    # A handful of inputs need no GPU.
    found = trained.load(stored.config_of(run, overrides, on_cpu=True), run.path, with_data=False)
    _check_options(given, found)
    unread: dict[str, str] = {}
    if found.spec.target == "next_token":
        _write(given, found)
    elif given.prompt is not None:
        raise UserError("predict: --prompt is for a run that has learned to write a text (data=text)")
    elif not (words := given.inputs or found.dataset.unanswered()):
        raise UserError(f"predict: which inputs? usage: {USAGE}")
    elif found.task.is_compared:
        _compare(given, found, unread)
    elif found.task.is_seen and found.offered.kind == "image":
        _show(given, found, unread)
    else:
        _tell(words, found, unread)
    if not unread:
        return 0
    first = next(iter(unread.values())).rpartition(": ")[2]
    names = few(map(_end, unread), MOST_UNREAD)
    print(
        f"dlrun: warning: no answer for {len(unread)} that cannot be read: {names} (the first {first})", file=sys.stderr
    )
    return 1


def _check_options(given: argparse.Namespace, run: "Trained") -> None:
    """**Raises:** `UserError` for an option that means nothing to the run."""
    task = run.task
    if not task.is_seen and (given.out or given.format or given.score is not None):
        option = "--out" if given.out else "--format" if given.format else "--score"
        raise UserError(f"predict: {option} is for a run that finds places in images; this one learned {task.learns}")
    if given.gallery and not task.is_compared:
        raise UserError(f"predict: --gallery is for a run that compares pictures; this one learned {task.learns}")
    if given.format and given.format not in task.formats:
        can = f"it can be {' or '.join(task.formats)}" if task.formats else "there is none for what this run finds"
        raise UserError(f"predict: --format {given.format}: {can}")
    if given.score is not None and not task.is_scored:
        raise UserError(f"predict: --score: what this run finds has no score (it learned {task.learns})")


def _write(given: argparse.Namespace, run: "Trained") -> None:
    from dlrun.run import answers

    if given.inputs or not given.prompt:
        raise UserError(
            f'predict: this run writes text; give it a beginning: dlrun predict {given.run} --prompt "The "'
        )
    print(answers.written(run, given.prompt, given.length, given.temperature, given.seed))


def _show(given: argparse.Namespace, run: "Trained", unread: dict[str, str]) -> None:
    """Tells where things are in images, and draws them."""
    from dlrun.data import inputs
    from dlrun.run import answers, sightings

    images, raw = inputs.read_images(run.dataset, run.offered, given.inputs, unread)
    seen = answers.seen(run, images, raw, given.score)
    folder = Path(given.out) if given.out else disk.folder(Path(OUT))
    files = sightings.write(run.task, images, seen, folder, given.format)
    rows = [sighting.cells() for sighting in seen]
    print_table("", ["input", *rows[0]], [
        [_end(image.path), *row.values()] for image, row in zip(images, rows, strict=True)
    ])  # fmt: skip
    pictures = "1 picture" if len(images) == 1 else f"{len(images)} pictures"
    print(f"{folder}: {', '.join([pictures, *files])}")


def _compare(given: argparse.Namespace, run: "Trained", unread: dict[str, str]) -> None:
    """Tells what each input is like: of those in the gallery, or else of the first input."""
    from dlrun.data import inputs

    names, raw = inputs.read(run.dataset, run.offered, given.inputs, unread)
    output = run.outputs(raw)
    if given.gallery:
        known = inputs.gallery(given.gallery)
        name_of = {str(file): name for name, files in known for file in files}
        paths, raw = inputs.read(run.dataset, run.offered, list(name_of), unread)
        people, theirs = [name_of[path] for path in paths], run.outputs(raw)
    elif len(names) < 2:
        raise UserError(f"predict: this run compares pictures; give two of them, or --gallery FOLDER; usage: {USAGE}")
    else:
        people, theirs, names, output = [_cut(names[0])], output[:1], names[1:], output[1:]
    columns = run.task.comparisons(run.model, output, theirs, people)
    print_table("", ["input", *columns], list(zip(map(_cut, names), *columns.values(), strict=True)))


def _tell(words: list[str], run: "Trained", unread: dict[str, str]) -> None:
    from dlrun.data import inputs

    names, raw = inputs.read(run.dataset, run.offered, words, unread)
    try:
        columns = run.task.answers(run.outputs(raw))
    except ValueError as error:
        raise UserError(f"predict: {error}") from error
    right = list(columns) if run.spec.target == "value" else []
    print_table("", ["input", *columns], list(zip(map(_cut, names), *columns.values(), strict=True)), right=right)


def _end(path: str) -> str:
    """A path whose file can be told, however deep it lies."""
    return path if len(path) <= SHOWN_LETTERS else f"…{path[-SHOWN_LETTERS:]}"


def _cut(name: str) -> str:
    return name if len(name) <= SHOWN_LETTERS else f"{name[:SHOWN_LETTERS]}…"
