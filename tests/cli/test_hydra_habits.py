"""Each row of docs/hydra.md does what it says."""

import contextlib
import io
import pathlib
import re
import shlex

import pytest

from dlrun.cli import hydra_habits, main
from dlrun.config import check, compose
from dlrun.errors import UserError
from dlrun.sweep import grid, search, start
from dlrun.sweep.jobs import Ended

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs/hydra.md"
ROWS = re.findall(r"^\| `(.+?)` \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
GIVEN = ["model=mlp", "data=digits"]


@pytest.fixture(autouse=True)
def nothing_trains(tmp_path, monkeypatch):
    """Only what would be trained is kept."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    monkeypatch.setattr(main, "_import_run", lambda: lambda config, words: None)
    monkeypatch.setattr(
        grid, "start", lambda overrides, dirs, *more: Ended(pathlib.Path(), int(not compose.expand(overrides, dirs)))
    )
    monkeypatch.setattr(search, "start", lambda overrides, *more: Ended(pathlib.Path(), 0))


def test_there_are_rows():
    assert len(ROWS) >= 40


@pytest.mark.parametrize(("words", "answer"), ROWS, ids=[words for words, _ in ROWS])
def test_a_habit_is_answered(words, answer, capsys):
    given = shlex.split(words)
    alone = [] if any("=" in word and word.startswith(("+experiment", "model=")) for word in given) else GIVEN
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        code = main.main([*alone, *given])
    err = capsys.readouterr().err
    if answer.startswith("refused"):
        (line,) = err.splitlines()
        assert code == 2 and line.startswith("dlrun: error: ")
        assert not (said := re.findall(r"`(\w[\w.]*=)", answer)) or said[0].rstrip("=") in line or "$SEED" in answer
    else:
        assert code == 0, err
        if (ours := re.match(r"= `(.+)`", answer)) is not None:
            assert f" is {ours[1]} here" in err
        else:
            assert not err or " is sweeper=optuna here" in err


@pytest.mark.parametrize("key", hydra_habits.KEYS)
def test_a_key_that_is_taken_for_another_is_one_of_dlruns(key):
    ours = hydra_habits.KEYS[key]
    tree = check.parse(compose.tree(["sweeper=optuna", "model=mlp", "data=digits"], [])).to_dict()
    for part in ours.split("."):
        tree = tree[part]


@pytest.mark.parametrize(
    "word", ["~hydra/launcher", "hydra.nothing=1", "~hydra.run.dir", "hydra/help=x", "hydra.run=x"]
)
def test_any_other_key_of_hydra_is_one_line(word):
    with pytest.raises(UserError) as error:
        hydra_habits.in_our_words([word])
    assert str(error.value).startswith(f"{word}: ") and "\n" not in str(error.value)


def test_start_is_what_a_sweep_begins_with():
    assert start.grid is grid and start.search is search
