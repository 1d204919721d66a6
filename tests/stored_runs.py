"""Folders of runs as training leaves them, written in milliseconds."""

import functools
import json
import os
import socket

from dlrun.config import check, compose
from dlrun.store import files

WORDS = ["model=mlp", "data=synthetic"]


@functools.cache
def config_text(*words):
    return files.to_yaml(check.parse(compose.tree([*WORDS, *words], [])).to_dict())


def write_run(folder, *words, state="done", values=(0.5, 0.7), metric="accuracy", mode="max", **changes):
    """A run whose val metric had `values`, an epoch each; `changes` go into status.json."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config_text(*words))
    (folder / "overrides.json").write_text(json.dumps([*WORDS, *words]))
    rows = [f"{epoch},{epoch * 3},0.001,1.5,{value}" for epoch, value in enumerate(values, start=1)]
    (folder / "metrics.csv").write_text("\n".join([f"epoch,step,lr,train/loss,val/{metric}", *rows]) + "\n")
    status = {"state": state, "pid": os.getpid(), "host": socket.gethostname(), "error": None}
    status |= {"started": "2026-01-31T12:00:00+00:00", "finished": "2026-01-31T12:01:30+00:00"}
    status |= {"watch": f"val/{metric}", "mode": mode}
    (folder / "status.json").write_text(json.dumps(status | changes))
    if state == "done":
        best = (max if mode == "max" else min)(values)
        summary = {
            "metrics": {"train/loss": 1.5, f"val/{metric}": best, f"test/{metric}": best / 2},
            "best_epoch": values.index(best) + 1,
            "seconds": 2.25,
            "parameters": 1234,
            "device": "cpu",
        }
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def write_sweep(folder, *jobs):
    """sweep.json with `jobs`: dicts with what differs from a job that waits."""
    folder.mkdir(parents=True, exist_ok=True)
    empty = {"overrides": [], "changed": {}, "state": "waiting", "reason": None, "value": None, "seconds": None}
    plan = {"words": [], "config_dirs": [], "jobs": [empty | {"number": i} | job for i, job in enumerate(jobs)]}
    (folder / "sweep.json").write_text(json.dumps(plan))
    return folder
