"""A search: its trials are pruned, fail alone, and survive any kill; several processes work on one."""

import json
import os
import random
import shutil
import signal
import time
from collections import Counter

import driving
import pytest
from driving import JOB, driver

from dlrun.cli import main
from dlrun.store import runs

# (Where, which call of it, whether before or after it): the moments at which the death of a driver could do most harm.
MOMENTS = [
    ("dlrun.sweep.study:Study.claim", 2, "after"),  # a trial that is not trained
    ("dlrun.sweep.study:Study.finish", 2, "before"),  # a run that has ended, of which the study has not heard
]
# DLRUN_SEARCH_TRIALS=30 for a long one; DLRUN_SEARCH_KILLS=10: as many more kills, at random moments.
TRIALS = int(os.environ.get("DLRUN_SEARCH_TRIALS", "4"))
RANDOM = int(os.environ.get("DLRUN_SEARCH_KILLS", "0"))
SPACE = ["optimizer.lr=tag(log,interval(1e-5,1.0))", "model.width=4,8,16"]
SEARCH = ["-m", "sweeper=optuna", *JOB, *SPACE, "trainer.epochs=6", "sweeper.startup_trials=2", "sweep.folder=search"]
# The operation of Optuna's journal that ends a trial.
ENDS = 6


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory):
    with driving.server(tmp_path_factory.mktemp("plug_in") / "plug_in.py"):
        yield


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def jobs_of(place):
    return json.loads((place / "sweep.json").read_text())["jobs"]


def journal(place):
    path = place / "study.log"
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def ended(place):
    """How often the study has heard of the end of each trial."""
    return Counter(line["trial_id"] for line in journal(place) if line["op_code"] == ENDS)


def statuses(place):
    """The status of each trial that has ended, as it stands on disk."""
    found = {}
    for path in place.glob("[0-9]*/status.json"):
        text = path.read_text()
        if json.loads(text)["state"] in ("done", "pruned"):
            found[path.parent.name] = text
    return found


def check(place, trials):
    """Each trial has ended once, with settings of its own, and its folder says the same as the study."""
    jobs = jobs_of(place)
    assert [job["number"] for job in jobs] == list(range(trials))
    assert {job["state"] for job in jobs} <= {"done", "pruned"}
    assert ended(place) == Counter(range(trials))
    assert len({tuple(job["overrides"]) for job in jobs}) == trials
    for job in jobs:
        run = runs.open_run(place / str(job["number"]))
        assert run.state == job["state"]
        assert job["value"] == (run.value if run.state == "done" else run.history()[-1]["val/accuracy"])
        assert run.config["optimizer"]["lr"] == float(job["changed"]["optimizer.lr"])


# ---- one search, looked at from all sides


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A folder with a search of 8 trials in it, and its seconds."""
    place = tmp_path_factory.mktemp("searched")
    started = time.perf_counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main.main([*SEARCH, "sweeper.trials=8"]) == 0
    return place, time.perf_counter() - started


@pytest.fixture
def finished(home, searched):
    shutil.copytree(searched[0] / "search", "search")
    return home / "search"


def test_trials_end_done_or_pruned_and_are_kept(finished):
    check(finished, 8)
    states = Counter(job["state"] for job in jobs_of(finished))
    assert set(states) == {"done", "pruned"}
    for job in jobs_of(finished):
        run = runs.open_run(finished / str(job["number"]))
        assert (run.path / "checkpoints/last.safetensors").exists()
        assert len(run.history()) == 6 if job["state"] == "done" else 1 < len(run.history()) < 6
        assert not any(word.startswith("sweep") for word in run.words)
    for name in ("report.csv", "report_keys.png", "report_trials.png"):
        assert (finished / name).exists()


def test_the_best_config_is_a_recipe_that_gives_the_same_run(finished):
    done = [job for job in jobs_of(finished) if job["state"] == "done"]
    best = max(done, key=lambda job: (job["value"], -job["number"]))
    assert main.main(["--config-dir", "search", "experiment=best", "folder=again"]) == 0
    again = runs.open_run("again")
    assert again.value == best["value"]
    assert (again.path / "metrics.csv").read_bytes() == (finished / f"{best['number']}/metrics.csv").read_bytes()


def test_a_report_names_the_best_and_resume_changes_nothing(finished, capsys):
    before = (finished / "study.log").read_bytes()
    (finished / "report_trials.png").unlink()
    assert main.main(["report", "search"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("8 runs (")
    assert (finished / "report_trials.png").exists()
    assert main.main(["resume", "search"]) == 0
    assert (finished / "study.log").read_bytes() == before
    assert "repeat  dlrun --config-dir search experiment=best" in capsys.readouterr().out


def test_a_pruned_trial_can_be_trained_to_its_end(finished):
    number = next(job["number"] for job in jobs_of(finished) if job["state"] == "pruned")
    assert main.main(["resume", f"search/{number}"]) == 0
    assert runs.open_run(f"search/{number}").summary["epochs"] == 6


def test_a_search_can_be_made_longer_and_goes_on_as_one_of_that_length(finished, capsys):
    assert main.main(["resume", "search", "sweeper.trials=9"]) == 0
    check(finished, 9)
    capsys.readouterr()
    assert main.main(["resume", "search", "trainer.epochs=9"]) == 2
    assert main.main(["resume", "search", "sweeper.trials=3"]) == 2
    assert [line.partition(";")[0] for line in capsys.readouterr().err.splitlines()] == [
        "dlrun: error: resume: of a search only sweeper.trials=N can change",
        "dlrun: error: sweeper.trials: the search has 9 trials already",
    ]


def test_a_failing_trial_is_recorded_and_the_search_goes_on(home, capsys):
    fates = ["model.fate=fine,raise,kill", "model.nan_step=null,2", "optimizer.lr=interval(0.01,0.1)"]
    words = ["-m", "sweeper=optuna", *JOB, *fates, "sweeper.trials=5", "trainer.epochs=3", "sweeper.seed=7"]
    assert main.main([*words, "sweep.folder=search", "sweep.jobs=2"]) == 0
    jobs = jobs_of(home / "search")
    for job in jobs:
        fate, step = job["changed"]["model.fate"], job["changed"]["model.nan_step"]
        reason = {"raise": "RuntimeError: broken wing", "kill": "the process was ended by SIGKILL"}.get(fate)
        reason = reason or ("the loss is not a finite number at step 2" if step == "2" else None)
        assert job["state"] == ("failed" if reason else "done")
        assert (job["reason"] or "").startswith(reason or "")
    assert len({job["state"] for job in jobs}) == 2
    failed = [job for job in jobs if job["state"] == "failed"]
    assert capsys.readouterr().err.count(" failed: model.fate=") == len(failed)
    assert ended(home / "search") == Counter(range(5))


# ---- several processes, and kills


def wait_for(place, count, process):
    """Until so many trials have ended, or the process has."""
    while sum(ended(place).values()) < count and process.exitcode is None:
        process.join(timeout=0.05)


def test_a_search_killed_half_way_is_ended_by_two_processes_at_once(home):
    trials = TRIALS + 8  # enough left for both, whoever is faster
    words = [*SEARCH, f"sweeper.trials={trials}", "sweep.jobs=2", f"model.tell={home}/starts"]
    first = driver(*words)
    wait_for(home / "search", trials // 2, first)
    first.kill()
    first.join()
    before = statuses(home / "search")
    assert trials // 2 <= len(before) < trials
    pair = [driver("resume", "search") for _ in range(2)]
    for process in pair:
        process.join()
    assert [process.exitcode for process in pair] == [0, 0]
    check(home / "search", trials)
    after = statuses(home / "search")
    assert {number: after[number] for number in before} == before
    workers = {line["worker_id"] for line in journal(home / "search") if line["op_code"] == ENDS}
    assert len(workers) == 3, "each of the three has ended trials"
    # What was at work when the driver was killed has two lives, anything else has one.
    starts = len((home / "starts").read_text().split())
    assert trials <= starts <= trials + 2


def go_on(home, moment=None):
    """A driver that starts the search, or goes on with one that has begun."""
    begun = (home / "search/sweep.json").exists()
    return driver(*(["resume", "search"] if begun else [*SEARCH, "sweeper.trials=8"]), moment=moment)


def check_same(home, place):
    check(home / "search", 8)
    for ours, theirs in zip(jobs_of(home / "search"), jobs_of(place / "search"), strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[2]} {moment[0].split(':')[1]} {moment[1]}")
def test_a_search_killed_at_a_moment_finds_what_it_would_have_found(home, searched, moment):
    process = go_on(home, moment)
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the moment never came"
    done = statuses(home / "search")
    process = go_on(home)
    process.join()
    assert process.exitcode == 0
    assert done.items() <= statuses(home / "search").items()
    check_same(home, searched[0])


@pytest.mark.parametrize("seed", range(RANDOM))
def test_a_search_killed_at_any_moment_finds_what_it_would_have_found(home, searched, seed):
    place, seconds = searched
    moments, done, lives, process = random.Random(seed), {}, 0, None
    while process is None or process.exitcode != 0:
        lives += 1
        process = go_on(home)
        process.join(timeout=moments.uniform(0, 0.4 * seconds * lives))
        process.kill()
        process.join()
        assert process.exitcode in (0, -9)
        now = statuses(home / "search")
        assert done.items() <= now.items()
        done = now
    check_same(home, place)
