"""Nothing is written through a link that stands in a run's or a sweep's folder."""

import os
import shutil

import pytest
from attacking import some
from stored_runs import write_sweep

FILES = [
    *("config.yaml", "config.yaml.tmp", "status.json", "status.json.tmp", "overrides.json", "overrides.json.tmp"),
    *("spec.json", "spec.json.tmp", "offered.json", "offered.json.tmp", "metrics.csv", "metrics.csv.tmp"),
    *("summary.json", "summary.json.tmp", "predictions.csv", "predictions.csv.tmp", "error.txt", ".lock"),
    *("checkpoints/last.safetensors", "checkpoints/last.safetensors.tmp", "checkpoints/last.previous.safetensors"),
    *("checkpoints/best.safetensors", "checkpoints/best.safetensors.tmp", "projector_config.pbtxt"),
    *("plots/learning_curves.png", "plots/confusion_matrix.png", "plots/feature_maps.png", "samples/00002.png"),
]
FOLDERS = ["checkpoints", "plots", "samples", "profile", "projector"]
WAYS = ["symbolic", "hard", "to nothing yet"]
VERBS = {
    "resume": lambda run: ("resume", run, "trainer.epochs=2"),
    "show": lambda run: ("show", run),
    "report": lambda run: ("report", run),
    "report there": lambda run: ("report", run, "--output", run),
    "list": lambda run: ("list", "runs", run),
    "eval": lambda run: ("eval", run),
}


def put_link(place, target, way):
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    if way == "hard":
        os.link(target, place)
    else:
        place.symlink_to(target if way == "symbolic" else target.with_name("egg"))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("name", "way"), some([(name, way) for name in FILES for way in WAYS], 5))
def test_no_file_is_written_through_a_link(copied, canary, attempt, name, way, verb):
    run = copied("images")
    put_link(run / name, canary, way)
    attempt(*VERBS[verb](run))


@pytest.mark.parametrize("verb", ["resume", "show", "report there"])
@pytest.mark.parametrize("name", some(FOLDERS, 5))
def test_no_folder_of_a_run_may_be_a_link(copied, canary, attempt, name, verb):
    run = copied("images")
    shutil.rmtree(run / name, ignore_errors=True)
    (run / name).symlink_to(canary.parent)
    attempt(*VERBS[verb](run))


@pytest.mark.parametrize("name", ["sweep.json.tmp", "logs", "logs/0.log", "0", "report.html", "report.md", ".lock"])
def test_no_sweep_goes_on_through_a_link(copied, canary, attempt, name):
    home = write_sweep(copied("images").parent / "sweep", {"overrides": ["model=mlp", "data=nothing"]})
    (home / name).parent.mkdir(exist_ok=True)
    (home / name).symlink_to(canary.parent if name in ("logs", "0") else canary)
    code, _ = attempt("resume", home)
    assert code == 2
    attempt("report", home)


def test_the_link_is_named(copied, canary, attempt):
    run = copied("images")
    put_link(run / "plots/learning_curves.png", canary, "symbolic")
    code, printed = attempt("resume", run, "trainer.epochs=2")
    assert code == 2
    assert printed.splitlines()[-1] == (
        f"dlrun: error: {run}/plots/learning_curves.png: is a link, and nothing is written through one; put the file "
        "itself there"
    )


def test_a_run_folder_may_be_reached_by_a_link_and_files_may_be_read_through_one(copied, attempt):
    run = copied("images")
    run.with_name("named").symlink_to(run)
    best = run / "checkpoints/best.safetensors"
    best.rename(run.with_name("kept.safetensors"))
    best.symlink_to(run.with_name("kept.safetensors"))
    assert attempt("eval", run.with_name("named"))[0] == 0


def test_what_a_killed_process_left_unfinished_is_taken_away(copied, attempt):
    run = copied("images")
    for name in ("config.yaml.0a1b.tmp", "checkpoints/last.safetensors.9f.tmp"):
        (run / name).write_text("half")
    assert attempt("resume", run, "trainer.epochs=2")[0] == 0
    assert not list(run.rglob("*.tmp"))
