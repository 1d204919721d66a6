"""Runs recipes and keeps small pictures of them: `python docs/gallery.py [--only NAME,...] [KEY=VALUE ...]`.

A recipe of one's own files needs their place: `--only unet_membrane data.root=FOLDER`. The pages of the gallery are
made from the headers of the recipes and from these pictures whenever the site is built.
"""

import argparse
import itertools
import pathlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from PIL import Image

from dlrun.config import catalogue, compose
from dlrun.store import runs

PICTURES = pathlib.Path(__file__).parent / "gallery"
WIDTH, COLOURS = 640, 48
MOST = 4  # pictures of a recipe


def words(recipe: dict[str, Any], changes: Sequence[str] = ()) -> list[str]:
    """What the pictures of a recipe are made with: its command with one seed, `-m` only where several runs are left.

    `changes`: KEY=VALUE in place of the command's own.
    """
    given = shlex.split(recipe["command"], comments=True)[1:]
    changed = {"seed", *(change.partition("=")[0] for change in changes)}
    kept = [word for word in given if word != "-m" and word.partition("=")[0] not in changed] + list(changes)
    jobs = compose.expand(kept, [])
    over = compose.tree(jobs[0], [])["sweep"]["over"]
    is_sweep = "-m" in given and (len(jobs) > 1 or over.keys() - {"seed"})
    return ["-m", *kept, "seed=0"] if is_sweep else kept


def before(recipe: dict[str, Any]) -> list[list[str]]:
    """The words of the commands that a header has before the recipe's own: what it goes on from."""
    header = [line.strip() for line in catalogue.header(recipe["name"], [])]
    lines = itertools.takewhile(lambda line: line != recipe["command"], header)
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("dlrun ")]


def seconds(recipe: dict[str, Any]) -> float:
    """The longest that a run of a recipe takes, by its header; infinity if that does not say."""
    if not recipe["time"]:
        return float("inf")
    number, unit = recipe["time"].split(" to ")[-1].split()
    return float(number) * (60 if unit == "min" else 1)


def pictures(name: str) -> list[pathlib.Path]:
    """The pictures that are kept of a recipe, the most telling first."""
    return sorted(PICTURES.glob(f"{name}.*.png"), key=lambda path: rank(path.stem.partition(".")[2]))


def rank(stem: str) -> tuple[bool, int, str]:
    """Where a picture of this name stands among those of a run or a sweep; its curves are the last."""
    return not stem.startswith("report"), *runs.rank(stem)


def make(recipe: dict[str, Any], changes: Sequence[str] = ()) -> list[pathlib.Path]:
    """Runs a recipe in a folder that is gone afterwards. **Raises:** `RuntimeError` with the end of what it printed."""
    with tempfile.TemporaryDirectory(prefix="dlrun-gallery-") as home:
        command = words(recipe, changes)
        place = ["sweep.folder=run"] if "-m" in command else ["folder=run"]
        for one in [*before(recipe), [*command, *place]]:
            done = subprocess.run([sys.executable, "-m", "dlrun", *one], cwd=home, capture_output=True, text=True)
            if done.returncode:
                printed = (done.stdout + done.stderr)[-2000:]
                raise RuntimeError(f"{recipe['name']}: exit code {done.returncode}\n{printed}")
        run = pathlib.Path(home) / "run"
        # Of a sweep its report, and what its first job shows beside curves, which the report has of all jobs.
        found = sorted(run.glob("report*.png")) + sorted((run / "0/plots").glob("*.png")) * ("-m" in command)
        found = [path for path in found if path.stem != "learning_curves"] + sorted((run / "plots").glob("*.png"))
        found.sort(key=lambda path: rank(path.stem))
        for path in pictures(recipe["name"]):
            path.unlink()
        curves = [path for path in found if path.stem == "learning_curves"]
        shown = [path for path in found if path not in curves]
        return [_keep(path, recipe["name"]) for path in shown[: MOST - len(curves)] + curves]


def _keep(path: pathlib.Path, name: str) -> pathlib.Path:
    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((WIDTH, 2 * WIDTH))
        kept = PICTURES / f"{name}.{path.stem}.png"
        small.quantize(COLOURS, dither=Image.Dither.NONE).save(kept, optimize=True)
    return kept


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", metavar="NAME,...", help="these recipes, however long they take")
    arguments.add_argument("--seconds", type=float, default=20, help="recipes of which a run takes at most so long")
    arguments.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="in place of a command's own")
    given = arguments.parse_args()
    recipes = {recipe["name"]: recipe for recipe in catalogue.experiments([])}
    chosen = given.only.split(",") if given.only else [n for n, r in recipes.items() if seconds(r) <= given.seconds]
    if unknown := [name for name in chosen if name not in recipes]:
        arguments.error(f"no recipe {', '.join(unknown)}")
    failed = []
    for name in chosen:
        try:
            kept = make(recipes[name], given.changes)
            print(f"{name}: {', '.join(path.name for path in kept) or 'no picture'}", flush=True)
        except RuntimeError as error:
            failed.append(name)
            print(error, file=sys.stderr, flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
