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


def test_the_pictures_of_a_run_come_the_most_telling_first_and_none_through_a_link(tmp_path):
    run = stored_runs.write_run(tmp_path / "run")
    assert runs.plots(run) == {} and runs.samples(run) == {}
    (tmp_path / "own").mkdir()
    for folder in (tmp_path / "own", run / "plots", run / "samples"):
        folder.mkdir(exist_ok=True)
        for name in ("learning_curves", "roc", "predictions", "attention", "00010", "00002"):
            (folder / f"{name}.png").touch()
        (folder / "00001.png").symlink_to(tmp_path / "own/roc.png")
        (folder / "00000.png").mkdir()
    assert list(runs.plots(run)) == ["00002", "00010", "attention", "predictions", "roc", "learning_curves"]
    assert list(runs.samples(run)) == [2, 10]
    for name in ("plots", "samples"):
        (run / name).rename(tmp_path / name)
        (run / name).symlink_to(tmp_path / "own")
    assert runs.plots(run) == {} and runs.samples(run) == {}


def test_the_command_of_a_run_is_one_line_of_words(tmp_path):
    run = stored_runs.write_run(tmp_path / "run")
    (run / "overrides.json").write_text(json.dumps(["model=mlp", "a b", "$(x)", "c\nd"]))
    assert runs.open_run(run).command == "dlrun model=mlp 'a b' '$(x)' $'c\\nd'"
