"""What a recipe's header says it `Reached:`, from runs: `python -m benchmarks.reached RUN... [--metrics NAME...]`.

The runs are of one config with several seeds; ± is the sample deviation. For example

    dlrun -m experiment=cnn_mnist seed=0,1,2 sweep.folder=multirun/cnn
    python -m benchmarks.reached multirun/cnn/* --metrics test/accuracy
"""

import argparse
import os
import pathlib
import platform
import statistics
import textwrap
from collections.abc import Sequence

from dlrun.errors import UserError
from dlrun.report import comparison
from dlrun.store import runs
from dlrun.terminal.console import number

WIDTH = 118
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "tf32": "TF32"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("runs", nargs="+", metavar="RUN")
    arguments.add_argument("--metrics", nargs="+", metavar="NAME", help="such as test/accuracy; usual: the watched one")
    given = arguments.parse_args()
    print(header(given.runs, given.metrics))


def header(folders: Sequence[str], metrics: Sequence[str] | None = None) -> str:
    """The comment lines. **Raises:** `UserError` for runs that are not done, or differ in more than the seed."""
    rows = comparison.collect(folders)
    if not rows or any(row.state != "done" for row in rows):
        raise UserError("reached: only runs that are done have reached something")
    changed = [key for key in comparison.differing(rows) if key != "seed"]
    if changed:
        raise UserError(f"reached: the runs differ in {', '.join(changed)}; only the seed may differ")
    measured = sorted((runs.open_run(row.path) for row in rows), key=lambda run: run.config["seed"])
    first = measured[0].summary
    values = [_spread(name, [run.metrics[name] for run in measured]) for name in metrics or [measured[0].watch[0]]]
    seeds = [run.config["seed"] for run in measured]
    seconds = [run.summary["seconds"] for run in measured]
    torch = first["versions"]["torch"].partition("+")[0]
    text = (
        f"Reached: {', '.join(values)}, {_seeds(seeds)}; {_range(seconds)} a run, {_threads(first['threads'])} of "
        f"{_machine(first['device'])}, {PRECISIONS[first['precision']]}, torch {torch}."
    )
    lines = textwrap.wrap(text, WIDTH - 2, subsequent_indent="  ")
    return "\n".join(f"# {line}" for line in lines)


def _spread(name: str, values: list[float]) -> str:
    if len(set(values)) == 1:
        return f"{name} {number(values[0])}"
    each = ", ".join(number(value) for value in values)
    return f"{name} {number(statistics.mean(values))} ± {statistics.stdev(values):.2g} ({each})"


def _seeds(seeds: list[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    is_row = seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"seeds {seeds[0]} to {seeds[-1]}" if is_row else f"seeds {', '.join(map(str, seeds))}"


def _range(seconds: list[float]) -> str:
    low, high = round(min(seconds)), round(max(seconds))
    return f"{low} s" if low == high else f"{low} to {high} s"


def _machine(device: str) -> str:
    """A GPU as the run names it; of a CPU, which it does not name, the one here."""
    if device != "cpu":
        return device
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"a {os.cpu_count()}-core {model}"


def _threads(threads: int) -> str:
    return "one thread" if threads == 1 else f"{threads} threads"


if __name__ == "__main__":
    main()
