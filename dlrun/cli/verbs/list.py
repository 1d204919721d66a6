"""`dlrun list [models|data|experiments|examples|runs [FOLDER]]`: what can be trained or shown, and what was.

`dlrun list models data=digits` and `dlrun list data model=resnet` leave those that fit.
"""

import itertools
import math
import pathlib
import sys
from typing import Any

from dlrun.cli.arguments import Arguments
from dlrun.config import catalogue, course, pairing, registry, schema
from dlrun.errors import UserError
from dlrun.examples import EXAMPLES
from dlrun.report import comparison
from dlrun.store import files, runs
from dlrun.terminal.tables import print_table

USAGE = (
    "dlrun list [models [data=NAME]|data [model=NAME]|experiments|examples|runs [FOLDER]] [--by chapter] "
    "[--config-dir DIR] [--json]"
)
WHAT = ("models", "data", "experiments", "examples", "runs")
ORDERS = ("family", "chapter")
RUN_FOLDERS = ("outputs", "multirun")
FITTED_TO = {"models": "data=", "data": "model="}  # what a list can be narrowed by
MOST_FITTING = 3  # that a line names


def main(words: list[str]) -> int:
    """Prints tables, or one JSON value. **Raises:** `UserError` for a folder that is not there."""
    arguments = Arguments(
        USAGE, "Models, data sets, experiments, examples, or the runs in a folder; without a word, all of them."
    )
    arguments.add_argument("words", nargs="*", metavar="WHAT", help=" | ".join(WHAT))
    arguments.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="experiments of your own")
    arguments.add_argument("--by", choices=ORDERS, default=ORDERS[0], help="how experiments are put together")
    arguments.add_argument("--json", action="store_true", help="for programs: one JSON value in place of tables")
    given = arguments.parse_intermixed_args(words)
    what, rest = (given.words[0], given.words[1:]) if given.words else (None, [])
    if what is not None and what not in WHAT:
        arguments.error(f"no list {what!r}{schema.suggest(what, WHAT)}")
    fitted_to = [word for word in rest if what in FITTED_TO and word.startswith(FITTED_TO[what])]
    rest = [word for word in rest if word not in fitted_to]
    if len(rest) > (1 if what == "runs" else 0) or len(fitted_to) > 1:
        arguments.error(f"too many words: {' '.join(given.words[1:])}")
    for folder in [*rest, *given.config_dir]:
        if not pathlib.Path(folder).is_dir():
            raise UserError(f"list: no folder {folder}")
    found = _found(what, rest, given.config_dir)
    if what is not None and fitted_to:
        found[what] = _fitting(found[what], *fitted_to[0].split("=", 1))
    if given.by == "chapter" and "experiments" in found:
        found["experiments"] = catalogue.by_chapter(found["experiments"])
    if given.json:
        print(files.to_json(found if what is None else found[what]))
        return 0
    for place, (name, value) in enumerate(found.items()):
        if place:
            print()
        _print(name, value, rest, given.by)
    return 0


def _found(what: str | None, folders: list[str], config_dirs: list[str]) -> dict[str, Any]:
    look = {
        "models": catalogue.models,
        "data": catalogue.data_sets,
        "experiments": lambda: catalogue.experiments(config_dirs),
        "examples": _examples,
        "runs": lambda: _runs(folders or RUN_FOLDERS),
    }
    if what is not None:
        return {what: look[what]()}
    count = {folder: len(runs.run_folders(pathlib.Path(folder))) for folder in RUN_FOLDERS}
    return {name: look[name]() for name in WHAT if name != "runs"} | {"runs": count}


def _fitting(rows: list[dict[str, Any]], group: str, name: str) -> list[dict[str, Any]]:
    """Those models or data sets that fit a data set or a model. **Raises:** `UserError` if there is no such one."""
    registry.of(group).describe(name)
    pairs = pairing.fitting()
    fitting = {
        model if group == "data" else data for model, data in pairs if name == (data if group == "data" else model)
    }
    return [row for row in rows if row["name"] in fitting]


def _examples() -> list[dict[str, Any]]:
    """Every worked example, by chapter."""
    rows = [
        {
            "name": name,
            "chapter": described.attributes["chapter"],
            "about": catalogue.first_sentence(described.doc),
            "keys": list(described.parameters),
            "command": f"dlrun show example={name}",
        }
        for name, described in EXAMPLES.descriptions()
    ]
    return sorted(rows, key=lambda row: course.TITLES.index(row["chapter"]))


def _runs(folders: Any) -> list[dict[str, Any]]:
    """All runs, newest first; a folder that cannot be read is named on stderr."""
    rows = []
    for row in comparison.collect(folders):
        if row.state == comparison.UNREADABLE:
            print(f"dlrun: warning: {row.reason}", file=sys.stderr)
        else:
            rows.append(row)
    rows.sort(key=lambda row: row.started)
    return [
        {
            "path": str(row.path),
            "state": row.ended,
            "metric": row.watch,
            "value": row.metrics.get(row.watch),
            "epochs": row.epochs,
            "seconds": row.seconds,
            "started": row.started,
        }
        for row in reversed(rows)
    ]


def _print(name: str, found: Any, folders: list[str], order: str) -> None:
    if name == "models":
        print(f"models (model=NAME model.KEY=VALUE): {len(found)}")
        _print_groups("family", ("name", "takes", "what it is", "fits data", "keys"), found, _model)
    elif name == "data":
        columns = ("name", "kind", "target", "source", "there", "what it is")
        print_table(f"data (data=NAME): {len(found)}", columns, [_data_set(row) for row in found])
    elif name == "experiments":
        if found:
            print(f"experiments (experiment=NAME; the whole header: dlrun show experiment=NAME): {len(found)}")
            _print_groups(order, ("name", "what it is", "reached", "time"), found, _experiment)
        else:
            print("experiments: none yet; write DIR/experiment/NAME.yaml and give --config-dir DIR")
    elif name == "examples":
        print(f"worked examples (dlrun show example=NAME KEY=VALUE, without training): {len(found)}")
        columns = ("name", "what it shows", "keys")
        for chapter, rows in itertools.groupby(found, key=lambda row: row["chapter"]):
            print()
            print_table(chapter, columns, [(row["name"], row["about"], ", ".join(row["keys"])) for row in rows])
    elif isinstance(found, dict):
        counts = ", ".join(f"{number} in {folder}" for folder, number in found.items())
        print(f"runs: {counts}" + (" (dlrun list runs)" if any(found.values()) else ""))
    elif found:
        columns = ("run", "state", "metric", "value", "epochs", "seconds")
        print_table(f"runs: {len(found)}", columns, [_run(row) for row in found], right=("value", "epochs", "seconds"))
    else:
        print(f"no runs in {' or '.join(folders or RUN_FOLDERS)}; a first one: dlrun model=mlp data=digits")


def _print_groups(key: str, columns: tuple[str, ...], found: list[dict[str, Any]], cells: Any) -> None:
    """A table for each family or chapter, in the order in which they come."""
    for group, rows in itertools.groupby(found, key=lambda row: row[key]):
        print()
        print_table(group or "of no chapter", columns, [cells(row) for row in rows])


def _experiment(row: dict[str, Any]) -> tuple[str, ...]:
    return row["name"], row["title"], row["headline"], row["time"] or ""


def _model(row: dict[str, Any]) -> tuple[str, ...]:
    keys = [key for key, described in row["keys"].items() if "from_data" not in described]
    fits = schema.few(row["fits"], MOST_FITTING)
    return row["name"], ", ".join(row["takes"]) or "any", row["about"], fits, ", ".join(keys)


def _data_set(row: dict[str, Any]) -> tuple[str, ...]:
    there = {True: "yes", False: "no", None: ""}[row["is_there"]]
    return row["name"], row["kind"] or "", row["target"] or "", row["source"] or "", there, row["about"]


def _run(row: dict[str, Any]) -> tuple[str, ...]:
    value, seconds = (row[key] for key in ("value", "seconds"))
    shown = "" if value is None or math.isnan(value) else f"{value:.4f}"
    return (
        row["path"],
        row["state"],
        row["metric"],
        shown,
        str(row["epochs"]),
        "" if seconds is None else f"{seconds:.1f}",
    )
