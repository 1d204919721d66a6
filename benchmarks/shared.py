"""How much a run slows down beside another program: `python -m benchmarks.shared [--repeats 7]`.

`cnn` on digits, 5 epochs, alone and beside a program that multiplies matrices on all cores, under each way of waiting
that OpenMP has. A figure is the seconds of the training itself, as the run's summary has them; the ways take turns.
Start it on an idle machine: the load is printed.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

WORDS = ["model=cnn", "data=digits", "trainer.epochs=5", "device=cpu", "logger=none"]
WAYS = {
    "torch's own": {"GOMP_SPINCOUNT": "300000"},
    "dlrun": {},
    "spins 1,000": {"GOMP_SPINCOUNT": "1000"},
    "spins 0": {"GOMP_SPINCOUNT": "0"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "1 thread": {"DLRUN_WORDS": "device.threads=1"},
}
BUSY = "import torch\nx = torch.randn(1500, 1500)\nwhile True: x @ x\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=7)
    repeats = arguments.parse_args().repeats
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {repeats} times each")
    found: dict[tuple[str, bool], list[float]] = {}
    for _ in range(repeats):
        for is_busy in (False, True):
            other = subprocess.Popen([sys.executable, "-c", BUSY]) if is_busy else None
            try:
                for way in WAYS:
                    found.setdefault((way, is_busy), []).append(seconds(WAYS[way]))
            finally:
                if other is not None:
                    other.kill()
                    other.wait()
    base = statistics.median(found["torch's own", False])
    for way in WAYS:
        alone, busy = (statistics.median(found[way, is_busy]) for is_busy in (False, True))
        spread = f"{min(found[way, True]):.2f} to {max(found[way, True]):.2f}"
        print(
            f"{way:<14} alone {alone:.2f} s ({alone / base:.2f} x)  busy {busy:.2f} s ({busy / alone:.1f} x; {spread})"
        )


def seconds(way: dict[str, str]) -> float:
    """The training's seconds of one run in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    more = way.get("DLRUN_WORDS", "").split()
    with tempfile.TemporaryDirectory() as home:
        run = [sys.executable, "-m", "dlrun", *WORDS, *more, f"folder={home}/run"]
        subprocess.run(run, env=environment | way, check=True, capture_output=True)
        return json.loads(pathlib.Path(home, "run/summary.json").read_text())["seconds"]


if __name__ == "__main__":
    main()
