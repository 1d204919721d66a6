"""What can be trained: models, data sets and experiments, described without importing any of them."""

import pathlib
import re
from typing import Any

from dlrun.config import pairing, registry, schema
from dlrun.config.places import conf_folder, data_root
from dlrun.config.spec import FILLED


def models() -> list[dict[str, Any]]:
    """Every model: name, kinds of data it accepts, and with a view of them `takes`, what it answers with, its keys."""
    kinds = {row["kind"] for row in data_sets() if row["kind"]}
    found = []
    for name, described in registry.of("model").descriptions():
        accepts = list(described.attributes.get("accepts", ()))
        takes = accepts + sorted(kind for kind in kinds.difference(accepts) if pairing.fits(kind, accepts))
        keys = {key: _key(parameter) for key, parameter in described.parameters.items()}
        row = {"name": name, "accepts": accepts, "takes": takes, "answers": list(pairing.answers(name))}
        found.append(row | {"about": first_sentence(described.doc), "keys": keys})
    return found


def data_sets(root: pathlib.Path | None = None) -> list[dict[str, Any]]:
    """Every data set; `is_there` says whether its files are in `root`, None if that depends on the user.

    `source`: `ships` with dlrun's dependencies, `download`, `made` on the spot, or `yours`.
    """
    found = []
    for name, described in registry.of("data").descriptions():
        kind, source = (described.attributes.get(key) for key in ("kind", "source"))
        target = " or ".join(pairing.targets(name))
        files = files_of(described.doc, root or data_root(None))
        there = files_are_there(files) if files is not None else True if source in ("ships", "made") else None
        row = {"name": name, "kind": kind, "target": target, "source": source, "is_there": there}
        found.append(row | {"files": str(files) if files else None, "about": first_sentence(described.doc)})
    return found


def experiments(config_dirs: list[str]) -> list[dict[str, Any]]:
    """Every recipe: name, title, command and the result that its header comment states."""
    folders = [conf_folder(), *map(pathlib.Path, config_dirs)]
    paths = {path.stem: path for folder in folders for path in sorted(folder.glob("experiment/*.yaml"))}
    return [_experiment(paths[name]) for name in sorted(paths)]


def first_sentence(doc: str) -> str:
    """The first sentence of a docstring, on one line, without its full stop."""
    paragraph = " ".join(doc.strip().split("\n\n")[0].split())
    # "et al. 1998" does not end a sentence: a new one starts with a capital or a backtick.
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", paragraph)[0].rstrip(".")


def files_of(doc: str, root: pathlib.Path) -> pathlib.Path | None:
    """The place of a data set's files, where its docstring says "Files: `<root>/...`"."""
    place = re.search(r"Files: `<root>/([^`]+)`", doc)
    return root / place[1] if place else None


def files_are_there(place: pathlib.Path) -> bool:
    """A cheap look: whether the file is there, or the folder and anything in it."""
    return any(place.iterdir()) if place.is_dir() else place.is_file()


def _key(parameter: schema.Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {"type": schema.describe(parameter.annotation)}
    if parameter.default is not schema.REQUIRED:
        return described | {"default": parameter.default}
    return described | ({"from_data": True} if parameter.name in FILLED else {"required": True})


def _experiment(path: pathlib.Path) -> dict[str, Any]:
    header = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        # Hydra reads this one.
        if "@package" not in line:
            header.append(line.removeprefix("#").strip())
    title = header[0] if header else ""
    command = next((line for line in header if line.startswith("dlrun ")), f"dlrun experiment={path.stem}")
    start = next((i for i, line in enumerate(header) if line.startswith("Reached:")), len(header))
    reached = " ".join(header[start:]).removeprefix("Reached:").strip()
    return {"name": path.stem, "title": title, "command": command, "reached": reached}
