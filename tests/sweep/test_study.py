"""A study that several processes work on: a trial belongs to one of them, and no kill damages the log."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from dlrun.config import check, compose
from dlrun.errors import UserError
from dlrun.sweep.space import Choices, Interval
from dlrun.sweep.study import Study, create, cut_half_line

AXES = [Interval("optimizer.lr", 1e-5, 1e-1, log=True), Interval("trainer.batch_size", 16, 64, step=16)]
AXES += [Choices("model", ("mlp", "cnn"))]


def options(**changes):
    words = ["sweeper=optuna", *(f"sweeper.{key}={value}" for key, value in changes.items())]
    return check.parse(compose.tree(words, [])).sweeper


def opened(home, *, mode="max", epochs=9, **changes):
    return Study(home, "x", mode, options(**changes), AXES, epochs)


def give_up(study):
    """What the system does for a process that is killed."""
    for number in list(study.claims):
        study.release(number)


def test_each_process_gets_trials_of_its_own_and_no_more_than_are_wanted(tmp_path):
    one, two = opened(tmp_path, trials=3), opened(tmp_path, trials=3)
    first, second, third = one.claim(), two.claim(), one.claim()
    assert [trial.number for trial in (first, second, third)] == [0, 1, 2]
    assert one.claim() is None
    assert two.claim() is None
    assert all(study.is_held(number) for study in (one, two) for number in range(3))
    assert len({trial.params["optimizer.lr"] for trial in (first, second, third)}) == 3


def test_a_trial_that_was_left_behind_is_taken_up_once_and_one_that_has_ended_never(tmp_path):
    one, two, three = (opened(tmp_path, trials=2) for _ in range(3))
    left, ended = one.claim(), one.claim()
    one.finish(ended.number, "done", 0.5, {"seconds": 1.0})
    give_up(one)
    assert not two.is_held(left.number)
    again = two.claim()
    assert (again.number, again.params) == (left.number, left.params)
    assert three.claim() is None
    two.finish(again.number, "failed", None, {"reason": "broken wing"})
    assert three.claim() is None
    assert [trial.state for trial in three.trials()] == [TrialState.FAIL, TrialState.COMPLETE]
    assert three.trials()[0].user_attrs["reason"] == "broken wing"


@pytest.mark.parametrize("num_drawn", [0, 1, 2])
def test_a_trial_whose_process_was_killed_while_it_was_drawn_is_drawn_as_it_would_have_been(
    tmp_path, monkeypatch, num_drawn
):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, half = opened(tmp_path / "a"), opened(tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(half, "distributions", dict(list(half.distributions.items())[:num_drawn]))
        assert len(half.claim().params) == num_drawn
    half.release(0)
    assert half.claim().params == whole.claim().params


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_settings_follow_from_seed_number_and_what_came_before(tmp_path, sampler):
    def search(name, seed):
        (tmp_path / name).mkdir()
        study = opened(tmp_path / name, sampler=sampler, seed=seed, startup_trials=3)
        for number in range(6):
            study.finish(study.claim().number, "done", number / 10, {})
        return [trial.params for trial in study.trials()]

    assert search("a", 1) == search("b", 1) != search("c", 2)


def test_drawn_values_lie_in_the_space(tmp_path):
    study = opened(tmp_path, sampler="random")
    for _ in range(20):
        params = study.claim().params
        assert 1e-5 <= params["optimizer.lr"] <= 1e-1
        assert params["trainer.batch_size"] in (16, 32, 48, 64)
        assert params["model"] in ("mlp", "cnn")


def test_a_search_is_made_longer_for_all_and_never_shorter_than_it_is(tmp_path):
    one, two = opened(tmp_path, trials=1), opened(tmp_path, trials=1)
    one.claim()
    two.set_wanted(2)
    assert one.claim().number == 1
    with pytest.raises(UserError, match=r"^sweeper.trials: the search has 2 trials already"):
        two.set_wanted(1)


@pytest.mark.parametrize(("mode", "bad"), [("max", 0.1), ("min", 0.9)])
def test_the_median_gives_up_what_is_worse_than_others_at_the_same_epoch(tmp_path, mode, bad):
    study = opened(tmp_path, mode=mode, pruner="median", startup_trials=2, warmup_epochs=2)
    for value in (0.4, 0.6):
        number = study.claim().number
        assert not any(study.is_hopeless(number, epoch, value) for epoch in (1, 2, 3))
        study.finish(number, "done", value, {})
    number = study.claim().number
    assert [study.is_hopeless(number, epoch, bad) for epoch in (1, 2, 3)] == [False, False, True]
    # Who takes it up asks again, and gets the same answer.
    assert study.is_hopeless(number, 3, bad)
    study.finish(number, "pruned", None, {})
    assert (study.trials()[number].state, study.trials()[number].value) == (TrialState.PRUNED, bad)
    number = study.claim().number
    assert not any(study.is_hopeless(number, epoch, 1 - bad) for epoch in (1, 2, 3))


def test_hyperband_gives_up_some_of_many_and_none_gives_up_nothing(tmp_path):
    given_up = {}
    for pruner in ("hyperband", "none"):
        (tmp_path / pruner).mkdir()
        study = opened(tmp_path / pruner, pruner=pruner, trials=20)
        given_up[pruner] = 0
        for value in range(20, 0, -1):
            number = study.claim().number
            is_hopeless = any(study.is_hopeless(number, epoch, float(value)) for epoch in range(1, 9))
            given_up[pruner] += is_hopeless
            study.finish(number, "pruned" if is_hopeless else "done", None if is_hopeless else value, {})
    assert 0 < given_up["hyperband"] < 20
    assert given_up["none"] == 0


# ---- the log


@given(st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b"") + b"\n"), max_size=5), st.binary())
def test_half_a_line_is_cut_off_and_whole_ones_stay(tmp_path_factory, lines, rest):
    path = tmp_path_factory.mktemp("log") / "log"
    whole, rest = b"".join(lines), rest.replace(b"\n", b"")
    path.write_bytes(whole + rest)
    file = os.open(path, os.O_RDWR)
    cut_half_line(file)
    os.close(file)
    assert path.read_bytes() == whole


def test_a_log_cut_at_any_byte_can_be_gone_on_with(tmp_path):
    (tmp_path / "whole").mkdir()
    study = opened(tmp_path / "whole", trials=2)
    for number in range(2):
        study.claim()
        study.is_hopeless(number, 1, 0.5)
        study.finish(number, "done", 0.5, {"seconds": 1.0})
    log = (tmp_path / "whole/study.log").read_bytes()
    # DLRUN_FUZZ=5000: at every byte.
    for length in range(0, len(log), max(1, len(log) // int(os.environ.get("DLRUN_FUZZ", "8")))):
        home = tmp_path / str(length)
        home.mkdir()
        (home / "study.log").write_bytes(log[:length])
        study = opened(home, trials=2)
        while (trial := study.claim()) is not None:
            study.finish(trial.number, "done", 0.5, {})
        assert [trial.state for trial in study.trials()] == [TrialState.COMPLETE] * 2
        assert all(json.loads(line) for line in (home / "study.log").read_text().splitlines())


def test_a_database_holds_the_studies_of_many_folders(tmp_path):
    url = f"sqlite:///{tmp_path}/all.db"
    homes = [tmp_path / name for name in "ab"]
    studies = []
    for home in homes:
        home.mkdir()
        create(url, home.name, "max")
        studies.append(Study(home, home.name, "max", options(storage=url, trials=2), AXES, 9))
    assert [study.claim().number for study in studies] == [0, 0]
    again = Study(homes[0], "a", "max", options(storage=url, trials=2), AXES, 9)
    assert again.claim().number == 1
    assert again.claim() is None
