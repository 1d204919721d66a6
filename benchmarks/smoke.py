"""Seconds of each recipe by `trainer=smoke`, one after the other: `python -m benchmarks.smoke [--write]`.

`--write` puts them into the headers of the recipes, below what they have `Reached:`. Without a network, and without
DLRUN_DATA, each recipe trains on data that need no download.
"""

import argparse
import os
import pathlib
import re
import tempfile

from dlrun.config import catalogue, places
from dlrun.store import sweep_record
from dlrun.sweep import grid

OPTIONS = ["trainer=smoke", "device.threads=1", "sweep.jobs=1"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true")
    is_written = arguments.parse_args().write
    print(f"load {os.getloadavg()[0]:.1f}")
    names = [recipe["name"] for recipe in catalogue.experiments([])]
    with tempfile.TemporaryDirectory() as home:
        if not grid.try_each(pathlib.Path(home), names, OPTIONS):
            raise SystemExit("not every recipe can be trained here")
        jobs = sweep_record.read(pathlib.Path(home)).jobs
    seconds = dict(zip(names, (job.seconds or 0.0 for job in jobs), strict=True))
    for name, each in sorted(seconds.items(), key=lambda item: item[1]):
        print(f"{name:24}{each:6.1f} s")
        if is_written:
            path = places.conf_folder() / "experiment" / f"{name}.yaml"
            path.write_text(with_line(path.read_text(encoding="utf-8"), each), encoding="utf-8")
    print(f"{len(names)} recipes in {sum(seconds.values()):.0f} s")


def with_line(recipe: str, seconds: float) -> str:
    """The text of a recipe whose header ends with the line `# Smoke: N s ...`."""
    lines = [line for line in recipe.splitlines(keepends=True) if not re.match(r"# +Smoke: ", line)]
    place = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    lines.insert(place, f"# Smoke: {seconds:.1f} s with trainer=smoke, one thread.\n")
    return "".join(lines)


if __name__ == "__main__":
    main()
