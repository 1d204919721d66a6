"""What is wrong with a search is found before it begins, in one line, and nothing is left on disk."""

import json
import subprocess
import sys

import pytest

from dlrun.cli import main
from dlrun.errors import UserError
from dlrun.sweep import search, start
from dlrun.sweep.jobs import Ended

SPACE = "sweep.space={optimizer.lr:{low:0.001,high:0.1,log:true}}"
SEARCH = ["-m", "sweeper=optuna"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([*SEARCH], "sweeper=optuna: nothing to search; choose a space with sweep=NAME"),
        ([*SEARCH, SPACE, "optimizer.lr=0.1"], "sweeper=optuna: nothing to search"),
        (["sweeper=optuna", SPACE], "sweeper=optuna: is read by a search, which is many runs; add -m"),
        (["-m", "sweep=lr_search"], "sweep.space: is only searched by sweeper=optuna"),
        (["-m", "seed=1,2", "sweeper.trials=3"], "sweeper.trials: is only read by sweeper=optuna"),
        ([*SEARCH, SPACE, "sweeper.trials=0"], "sweeper.trials: must be an integer of at least 1, found 0"),
        ([*SEARCH, SPACE, "sweeper.trials=1,2"], "sweeper.trials=1,2: the keys of the sweep itself cannot be swept"),
        ([*SEARCH, SPACE, "sweeper.pruner=mean"], "sweeper.pruner: must be one of none, median, hyperband"),
        ([*SEARCH, SPACE, "folder=x"], "folder: the jobs of a sweep stand in its own folder"),
        ([*SEARCH, SPACE, "sweep.folder=full"], "sweep.folder: full is in use"),
        ([*SEARCH, SPACE, "sweeper.storage=sqlite:////no/such/folder/x.db"], "sweeper.storage: cannot be opened"),
        ([*SEARCH, SPACE, "sweeper.storage=cupboard"], "sweeper.storage: cannot be opened"),
        (
            [*SEARCH, "sweep.space={optimizer.lt:{low:0.1,high:1.0}}"],
            "sweep.space: a trial with optimizer.lt=0.1: optimizer.lt: unknown key; did you mean lr?",
        ),
        ([*SEARCH, "model=mlp,resnt"], "sweep.space: a trial with model=resnt: model: no option 'resnt'"),
        ([*SEARCH, "trainer.epochs=interval(1,3.5)"], "trainer.epochs: must be an integer, found 1.0"),
        (
            [*SEARCH, "sweep.space.trainer.epochs={low:0,high:9}"],
            "sweep.space: a trial with trainer.epochs=0: trainer.epochs: must be an integer of at least 1, found 0",
        ),
        ([*SEARCH, "data=digits,diabetes", "model=mlp"], "sweep.space: its runs watch different metrics"),
        ([*SEARCH, SPACE, "data=line", "model=linear"], "data=line: has no val part, by which a search chooses"),
        ([*SEARCH, SPACE, "data.val_fraction=0"], "data.val_fraction: a search chooses by the val part, and with 0"),
        ([*SEARCH, SPACE, "data.val_fraction=0,0.1"], "data.val_fraction: a search chooses by the val part, and with"),
        ([*SEARCH, "optimizer.lr=interval(1.0,0.1)"], "sweep.space.optimizer.lr: low must be at most high"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_search_is_found_before_it_begins(home, capsys, words, line):
    (home / "full").mkdir()
    (home / "full/diary.txt").write_text("")
    before = sorted(home.rglob("*"))
    assert main.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dlrun: error: {line}")
    assert len(err.splitlines()) == 1
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize(
    ("targets", "words", "watched"),
    [
        ("abc", [], ("val/accuracy", "max")),
        ("abc", ["trainer.watch=f1_macro"], ("val/f1_macro", "max")),
        ([0.25, 1.5, 2.75, 3.5], [], ("val/loss", "min")),
    ],
    ids=["classes", "their f1", "values"],
)
def test_what_a_search_on_a_file_watches_follows_from_what_the_file_holds(home, monkeypatch, targets, words, watched):
    rows = [f"{place / 7},{place % 5},{targets[place % len(targets)]}" for place in range(30)]
    (home / "table.csv").write_text("\n".join(["first,second,target", *rows]) + "\n")
    seen = []

    def noted(home, plan, goal):
        seen.append((goal.watch, goal.mode))
        return Ended(home, 0)

    monkeypatch.setattr(search, "_search", noted)
    assert main.main([*SEARCH, SPACE, "model=mlp", "data=csv", "data.path=table.csv", *words]) == 0
    assert seen == [watched]


def test_without_optuna_one_line_says_what_to_install(home, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main.main([*SEARCH, SPACE]) == 2
    assert capsys.readouterr().err == (
        "dlrun: error: sweeper=optuna: Optuna is not installed; pip install 'dlrun[search]'\n"
    )
    assert list(home.iterdir()) == []


def test_optuna_is_imported_for_a_search_alone(home):
    code = (
        "import sys; from dlrun.cli.main import main\n"
        "main(['--help']); main(['list', 'models']); main(['-m', 'sweep=lr_search']); main(['-m', 'sweeper=optuna'])\n"
        "assert 'optuna' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("search", [1, {}, {"study": "x", "fixed": [], "space": [], "listed": {}}])
def test_a_damaged_record_is_refused(home, search):
    (home / "search").mkdir()
    record = {"words": [], "config_dirs": [], "jobs": [{"number": 0, "overrides": [], "changed": {}}]}
    (home / "search/sweep.json").write_text(json.dumps(record | {"search": search}))
    with pytest.raises(UserError, match=r"^search/sweep.json: (holds no search|cannot be read: search): "):
        start.resume((home / "search").relative_to(home), [])
