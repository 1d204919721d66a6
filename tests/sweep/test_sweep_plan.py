"""What is wrong with a sweep is found before any job starts; a record of one is not trusted."""

import json
import os

import pytest

from dlrun.cli import main
from dlrun.errors import UserError
from dlrun.sweep import start, worker


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- mistakes are found before anything starts


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["optimizer.lr=0.1,nan", "seed=0,1"],
            "job 2 (optimizer.lr=nan seed=0): optimizer.lr: must be a finite number, found nan (and 1 more like it)",
        ),
        (["model=mlp,resnt"], "job 1 (model=resnt): model: no option 'resnt'; did you mean resnet?"),
        (["seed=0,1", "sweep.jobs=1,2"], "sweep.jobs=1,2: the keys of the sweep itself cannot be swept"),
        (["seed=0,1", "folder=x"], "folder: the jobs of a sweep stand in its own folder; choose it with sweep.folder="),
        (["seed=0,1", "outputs=x"], "outputs: the jobs of a sweep stand in its own folder"),
        (["seed=interval(0,1)"], "seed=interval(0,1): has no end of values"),
        (["seed=0,1", "sweep.folder=file/x"], "sweep.folder: cannot make file/x"),
        (["seed=0,1", "sweep.folder=full"], "sweep.folder: full is in use"),
        (["seed=0,1", "sweep.jobs=0"], "sweep.jobs: must be an integer of at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_job_is_found_before_any_starts(home, capsys, words, line):
    (home / "file").write_text("")
    (home / "full").mkdir()
    (home / "full/diary.txt").write_text("")
    before = sorted(home.rglob("*"))
    assert main.main(["-m", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dlrun: error: {line}")
    assert len(err.splitlines()) == 1
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"words": [], "config_dirs": [], "jobs": []}',
        '{"words": [], "config_dirs": [], "jobs": [{"number": "../../x", "overrides": [], "changed": {}}]}',
        '{"words": [], "config_dirs": [], "jobs": [{"number": 0, "overrides": [], "changed": {}, "code": "x"}]}',
    ],
)
def test_a_damaged_record_is_refused(home, text):
    (home / "sweep").mkdir()
    (home / "sweep/sweep.json").write_text(text)
    with pytest.raises(UserError, match=r"^sweep/sweep.json: "):
        start.resume((home / "sweep").relative_to(home), [])


def test_a_sweep_takes_no_changes_when_it_goes_on(home, capsys):
    (home / "sweep").mkdir()
    record = {"words": [], "config_dirs": [], "jobs": [{"number": 0, "overrides": [], "changed": {}}]}
    (home / "sweep/sweep.json").write_text(json.dumps(record))
    assert main.main(["resume", "sweep", "trainer.epochs=3"]) == 2
    assert "a sweep goes on as it was planned; leave out trainer.epochs=3" in capsys.readouterr().err


# ---- the pieces


@pytest.mark.parametrize(
    ("code", "words"),
    [(-9, "ended by SIGKILL (often: out of memory)"), (-11, "ended by SIGSEGV"), (3, "left with exit code 3")],
)
def test_an_exit_code_in_words(code, words):
    assert worker.describe_exit(code).endswith(words)


@pytest.mark.parametrize(
    ("given", "slot", "expected"), [("0,1,2", 1, "1"), ("0,1,2", 5, "2"), ("GPU-abc", 3, "GPU-abc"), ("", 0, None)]
)
def test_jobs_take_turns_on_the_gpus(monkeypatch, given, slot, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    worker._take_gpu(slot)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == (expected or given)


def test_a_recipe_sweeps_its_own_keys_unless_they_are_given():
    given = ["experiment=weight_search", "seed=0,1"]
    assert start._with_own_axes(given, [])[0] == [*given, "model.weight=range(0,4.5,0.5)"]
    for given in (["experiment=weight_search", "model.weight=1"], ["model=mlp,cnn"]):
        assert start._with_own_axes(given, [])[0] == given
