"""What can be trained: models, data sets and experiments, described without importing any of them."""

import itertools
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from dlrun import disk
from dlrun.config import course, pairing, registry, schema
from dlrun.config.places import conf_folder, data_root
from dlrun.config.spec import FILLED

FAMILIES = ("features", "images", "places in images", "pictures", "faces", "sequences", "graphs", "other")
_OF_PLACES = ("boxes", "object", "points", "mask", "instances")
_OF_KIND = {"features": "features", "image": "images", "tokens": "sequences", "series": "sequences", "graph": "graphs"}
_HEADLINE_LENGTH = 60
HERE = ("ships", "made")  # the sources of data that need no download


def models() -> list[dict[str, Any]]:
    """Every model by family: name, kinds it accepts, and with a view of the data `takes`, what it answers, its keys.

    `fits` are the data sets that it learns, first those that need no download.
    """
    rows = {row["name"]: row for row in data_sets()}
    kinds = {row["kind"] for row in rows.values() if row["kind"]}
    pairs = pairing.fitting()
    found = []
    for name, described in registry.of("model").descriptions():
        accepts = list(described.attributes.get("accepts", ()))
        takes = accepts + sorted(kind for kind in kinds.difference(accepts) if pairing.fits(kind, accepts))
        keys = {key: _key(parameter) for key, parameter in described.parameters.items()}
        row = {"name": name, "accepts": accepts, "takes": takes, "answers": list(pairing.answers(name))}
        row["family"] = _family(row["accepts"], row["answers"])
        fitting = [data for model, data in pairs if model == name]
        row["fits"] = sorted(fitting, key=lambda data: rows[data]["source"] not in HERE)
        found.append(row | {"about": first_sentence(described.doc), "keys": keys})
    return sorted(found, key=lambda row: FAMILIES.index(row["family"]))


def data_sets(root: pathlib.Path | None = None) -> list[dict[str, Any]]:
    """Every data set; `is_there` says whether its files are in `root`, None if that depends on the user.

    `source`: `ships` with dlrun's dependencies, `download`, `made` on the spot, or `yours`.
    """
    found = []
    for name, described in registry.of("data").descriptions():
        kind, source = (described.attributes.get(key) for key in ("kind", "source"))
        target = " or ".join(pairing.targets(name))
        files = files_of(described.doc, root or data_root(None))
        there = files_are_there(files) if files is not None else True if source in HERE else None
        row = {"name": name, "kind": kind, "target": target, "source": source, "is_there": there}
        found.append(row | {"files": str(files) if files else None, "about": first_sentence(described.doc)})
    return found


def experiments(config_dirs: list[str]) -> list[dict[str, Any]]:
    """Every recipe, by family and the course's chapter: name, title, command, and the result that its header states.

    `headline` is the first figure of the result, `time` how long it took, as the header has it.
    """
    found = [_experiment(path) for _, path in sorted(_recipes(config_dirs).items())]
    return sorted(found, key=lambda row: (FAMILIES.index(row["family"]), _in_course(row)))


def by_chapter(recipes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same in the order of the course; those of no chapter last."""
    return sorted(recipes, key=_in_course)


def header(name: str, config_dirs: list[str]) -> list[str]:
    """The comment at the head of a recipe, line by line; empty if there is none."""
    path = _recipes(config_dirs).get(name)
    return [] if path is None else _header(disk.content(path).decode(errors="replace"))


def first_sentence(doc: str) -> str:
    """The first sentence of a docstring, on one line, without its full stop."""
    paragraph = " ".join(doc.strip().split("\n\n")[0].split())
    # "et al. 1998" does not end a sentence: a new one starts with a capital or a backtick.
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", paragraph)[0].rstrip(".")


def meanings(doc: str) -> dict[str, str]:
    """What a docstring says of each key under **Arguments:**, on one line."""
    items = re.findall(r"^- `(\w+)`: (.*(?:\n  .*)*)", doc, re.MULTILINE)
    return {key: " ".join(text.split()) for key, text in items}


def files_of(doc: str, root: pathlib.Path) -> pathlib.Path | None:
    """The place of a data set's files, where its docstring says "Files: `<root>/...`"."""
    place = re.search(r"Files: `<root>/([^`]+)`", doc)
    return root / place[1] if place else None


def files_are_there(place: pathlib.Path) -> bool:
    """A cheap look: whether the file is there, or the folder and anything in it."""
    return any(place.iterdir()) if place.is_dir() else place.is_file()


def _in_course(recipe: dict[str, Any]) -> tuple[int, int]:
    """Where a recipe stands in the course, behind all chapters if in none."""
    place = course.place_of(recipe["name"])
    if place is None:
        return len(course.CHAPTERS), 0
    return place, course.CHAPTERS[place].recipes.index(recipe["name"])


def _key(parameter: schema.Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {"type": schema.describe(parameter.annotation)}
    if parameter.default is not schema.REQUIRED:
        return described | {"default": parameter.default}
    return described | ({"from_data": True} if parameter.name in FILLED else {"required": True})


def _recipes(config_dirs: list[str]) -> dict[str, pathlib.Path]:
    folders = [conf_folder(), *map(pathlib.Path, config_dirs)]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("experiment/*.yaml"))}


def _header(text: str) -> list[str]:
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    # Hydra reads the one with @package.
    return [line.removeprefix("#").removeprefix(" ").rstrip() for line in lines if "@package" not in line]


def _family(kinds: Sequence[str], answers: Sequence[str]) -> str:
    """What a model, or a data set, is about: from its kinds of input and of answer."""
    if set(answers) & set(_OF_PLACES):
        return "places in images"
    if set(answers) & {"embedding", "identity"}:
        return "faces"
    if set(answers) & {"image", "picture", "style"}:
        return "pictures"
    return next((_OF_KIND[kind] for kind in kinds if kind in _OF_KIND), "other")


def _experiment(path: pathlib.Path) -> dict[str, Any]:
    text = disk.content(path).decode(errors="replace")
    header = [line.strip() for line in _header(text)]
    title = header[0] if header else ""
    choose = f"experiment={path.stem}"
    command = next((line for line in header if line.startswith("dlrun ") and choose in line.split()), f"dlrun {choose}")
    start = next((i for i, line in enumerate(header) if line.startswith("Reached:")), len(header))
    reached, _, smoke = " ".join(header[start:]).removeprefix("Reached:").strip().partition(" Smoke: ")
    place, choice = course.place_of(path.stem), re.search(r"override /data: (\w+)", text)
    data = registry.of("data")
    known = data.describe(choice[1]).attributes if choice and choice[1] in data else {}
    family = _family([str(known.get("kind", ""))], pairing.targets(choice[1]) if known and choice else ())
    headline = re.split(r"; | \(|: |, seed|, of the epoch| with seed", reached, maxsplit=1)[0].strip(" ,")
    headline = headline if re.search(r"\d", headline) else reached
    time = re.search(r"[\d.]+(?: to [\d.]+)? (?:s|minutes)\b", reached)
    return {
        "name": path.stem,
        "family": family,
        "chapter": None if place is None else course.CHAPTERS[place].title,
        "title": title,
        "command": command,
        "headline": headline if len(headline) <= _HEADLINE_LENGTH else headline[: _HEADLINE_LENGTH - 1].rstrip() + "…",
        "time": time[0].replace("minutes", "min") if time else None,
        "reached": reached,
        "smoke": smoke.partition(" with ")[0] or None,
    }
