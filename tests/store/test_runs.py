"""A stored run as it is read again, also one of an older dlrun."""

import json

import pytest
import stored_runs

from dlrun.store import runs


@pytest.mark.parametrize(
    ("summary", "watch", "value"),
    [
        ({"watch": "val/accuracy", "mode": "max", "metrics": {"val/accuracy": 0.5}}, ("val/accuracy", "max"), 0.5),
        # It watched the val part that it had not.
        ({"watch": "val/loss", "mode": "min", "metrics": {"train/loss": 0.25}}, ("val/loss", "min"), 0.25),
        ({}, ("val/loss", "min"), None),
    ],
)
def test_what_a_run_of_an_older_dlrun_watches_stands_in_its_summary(tmp_path, summary, watch, value):
    folder = stored_runs.write_run(tmp_path / "run")
    (folder / "summary.json").write_text(json.dumps(summary))
    status = json.loads((folder / "status.json").read_text())
    del status["watch"], status["mode"]
    (folder / "status.json").write_text(json.dumps(status))
    run = runs.open_run(folder)
    assert (run.watch, run.value) == (watch, value)
