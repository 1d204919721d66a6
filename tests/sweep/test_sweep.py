"""A sweep: jobs fail alone, nothing is trained twice, and a killed driver leaves nothing that cannot go on."""

import json
import multiprocessing
import os
import random
import signal
import threading
import time

import driving
import pytest
from driving import JOB, driver

from dlrun.cli import main
from dlrun.store import locks, runs
from dlrun.sweep import driver as driver_of_jobs

# (Where, which call of it, whether before or after it): the moments at which the death of a driver could do most harm.
MOMENTS = [
    ("dlrun.store.files:create", 1, "after"),  # an empty folder
    ("dlrun.sweep.grid:_Grid.record", 1, "before"),  # the first job has begun, and nobody knows
    ("dlrun.sweep.grid:_Grid.record", 3, "before"),  # a job has ended, and nobody knows
    ("dlrun.report.report:report", 1, "before"),  # all but the report
]
# DLRUN_SWEEP_KILLS=20: as many more, at random moments.
RANDOM = int(os.environ.get("DLRUN_SWEEP_KILLS", "0"))
SHORT = [*JOB, "trainer.epochs=3"]


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory):
    with driving.server(tmp_path_factory.mktemp("plug_in") / "plug_in.py"):
        yield


@pytest.fixture
def bell(tmp_path):
    with driving.Bell(tmp_path / "bell") as made:
        yield made


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def jobs_of(place):
    return json.loads((place / "sweep.json").read_text())["jobs"]


def begun_jobs(place):
    return [runs.open_run(path.parent) for path in sorted(place.glob("*/config.yaml"))]


def wait_until_ended(place):
    """A job that does not end would make this wait for ever; a minute is enough for any."""
    waiter = threading.Thread(target=locks.wait_until_free, args=(place,), daemon=True)
    waiter.start()
    waiter.join(timeout=60)
    assert not waiter.is_alive()


# ---- failing jobs

REASONS = {
    "fine": None,
    "raise": "RuntimeError: broken wing",
    "user": "model.fate: this one is refused",
    "memory": "out of memory with trainer.batch_size=8; try trainer.batch_size=4",
    "exit": "the process left with exit code 3",
    "leave": "the process left with exit code 4",
    "segv": "the process was ended by SIGSEGV",
    "kill": "the process was ended by SIGKILL (often: out of memory)",
}


def test_a_failing_job_ends_alone_and_resume_runs_only_what_is_missing(home, capsys):
    words = ["-m", *JOB, "trainer.epochs=1", f"model.fate={','.join(REASONS)}", f"model.tell={home}/starts", "seed=5"]
    assert main.main([*words, "sweep.jobs=2", "sweep.folder=sweep"]) == 1
    out, err = capsys.readouterr()
    jobs = jobs_of(home / "sweep")
    for job, (fate, reason) in zip(jobs, REASONS.items(), strict=True):
        assert job["changed"] == {"model.fate": fate}
        assert job["state"] == ("failed" if reason else "done")
        assert (job["reason"] or "").startswith(reason or "")
        told = [
            line for line in err.splitlines() if line.startswith(f"job {job['number']} failed: model.fate={fate}: ")
        ]
        assert len(told) == bool(reason)
        assert all(reason in line and f"sweep/logs/{job['number']}.log" in line for line in told)
    assert len(err.splitlines()) == 7
    assert jobs[0]["value"] == runs.open_run("sweep/0").metrics["val/accuracy"]
    assert "again   dlrun resume sweep" in out
    assert "plug_in.py" in (home / "sweep/logs/1.log").read_text()
    assert sorted((home / "starts").read_text().split()) == sorted(REASONS)

    finished = (home / "sweep/0/status.json").read_bytes()
    assert main.main(["resume", "sweep"]) == 1
    starts = (home / "starts").read_text().split()
    assert {fate: starts.count(fate) for fate in REASONS} == {
        fate: 2 if reason else 1 for fate, reason in REASONS.items()
    }
    assert (home / "sweep/0/status.json").read_bytes() == finished
    assert [job["state"] for job in jobs_of(home / "sweep")] == ["done"] + ["failed"] * 7


def test_a_job_that_hangs_is_ended_when_its_time_is_up(home, capsys, monkeypatch):
    monkeypatch.setattr(driver_of_jobs, "GRACE_SECONDS", 0)
    words = ["-m", *JOB, "model.fate=hang", "sweep.timeout_minutes=0.02", "sweep.folder=sweep"]
    assert main.main(words) == 1
    (job,) = jobs_of(home / "sweep")
    assert (job["state"], job["reason"]) == ("failed", "took longer than 0.02 minutes")
    assert "took longer than 0.02 minutes" in capsys.readouterr().err


def test_jobs_of_one_at_a_time_run_in_order_and_in_a_process_each(home):
    assert main.main(["-m", *JOB, "trainer.epochs=1,2", "seed=3", "sweep.folder=sweep"]) == 0
    first, second = (runs.open_run(home / "sweep" / number) for number in "01")
    assert first.status["finished"] <= second.status["started"]
    assert len({first.status["pid"], second.status["pid"], os.getpid()}) == 3
    assert (first.summary["epochs"], second.summary["epochs"]) == (1, 2)
    assert (home / "sweep/report.csv").exists()


def test_a_job_is_the_run_that_its_words_describe(home):
    words = [*JOB, "trainer.epochs=2", "seed=3"]
    assert main.main(["-m", *words, "sweep.folder=sweep"]) == 0
    assert main.main([*words, "folder=alone"]) == 0
    assert (home / "sweep/0/metrics.csv").read_bytes() == (home / "alone/metrics.csv").read_bytes()
    assert runs.open_run("sweep/0").words == [*words, "sweep.folder=sweep"]


def test_loader_processes_of_a_job_start_as_in_a_run_of_its_own(home):
    # From a server of their own they would import torch anew, and outlive a job that is killed.
    words = ["trainer.epochs=1", "model.fate=method,fine,raise", "device.workers=1", "sweep.folder=sweep"]
    assert main.main(["-m", *JOB, *words]) == 1
    method, fine, wing = jobs_of(home / "sweep")
    assert method["reason"] == f"processes start by {multiprocessing.get_start_method()}"
    assert (fine["state"], fine["reason"]) == ("done", None)
    assert wing["reason"] == "RuntimeError: broken wing"
    assert all("is killed by signal" not in log.read_text() for log in (home / "sweep/logs").iterdir())


# ---- a driver that is stopped or killed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_lets_the_jobs_save(home, bell, number):
    process = driver("-m", *SHORT, *bell.words, "seed=1,2,3", "sweep.jobs=2", "sweep.folder=sweep")
    bell.wait()
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == 128 + number
    states = [job["state"] for job in jobs_of(home / "sweep")]
    assert "interrupted" in states
    assert set(states) <= {"interrupted", "waiting"}
    begun = begun_jobs(home / "sweep")
    assert {job.state for job in begun} == {"interrupted"}
    # One has rung at its first step; the other may have been stopped before it had anything to save.
    assert any((job.path / "checkpoints/last.safetensors").exists() for job in begun)
    bell.hold.unlink()
    assert main.main(["resume", "sweep"]) == 0
    assert [run.summary["steps"] for run in begun_jobs(home / "sweep")] == [3] * 3


def test_a_second_signal_ends_the_jobs_at_once(home, bell):
    process = driver("-m", *JOB, "model.fate=hang", bell.word, "sweep.folder=sweep")
    bell.wait()
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    wait_until_ended(home / "sweep/0")
    assert jobs_of(home / "sweep")[0]["state"] == "interrupted"


def test_the_jobs_of_a_killed_driver_save_and_end_by_themselves(home, bell):
    process = driver("-m", *SHORT, *bell.words, "sweep.folder=sweep")
    bell.wait()
    process.kill()
    process.join()
    wait_until_ended(home / "sweep/0")
    assert runs.open_run("sweep/0").state == "interrupted"
    assert jobs_of(home / "sweep")[0]["state"] == "running"
    bell.hold.unlink()
    assert main.main(["resume", "sweep"]) == 0
    assert runs.open_run("sweep/0").summary["steps"] == 3


def test_a_sweep_at_work_is_not_resumed_by_a_second_driver(home, bell, capsys):
    process = driver("-m", *SHORT, *bell.words, "sweep.folder=sweep")
    bell.wait()
    assert main.main(["resume", "sweep"]) == 2
    assert f"sweep belongs to a running process (process {process.pid} on" in capsys.readouterr().err
    assert main.main(["resume", "sweep/0"]) == 2
    assert "sweep/0 belongs to a running process" in capsys.readouterr().err
    process.terminate()
    process.join()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(metrics.csv of each job, seconds) of a sweep that nobody disturbs."""
    place = tmp_path_factory.mktemp("undisturbed")
    started = time.perf_counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        process = driver("-m", *KILLED)
        process.join()
    assert process.exitcode == 0
    return [(place / f"sweep/{n}/metrics.csv").read_text() for n in range(3)], time.perf_counter() - started


KILLED = [*JOB, "trainer.epochs=16", "trainer.save_every=4", "seed=1,2,3", "sweep.jobs=2", "sweep.folder=sweep"]


def check_undisturbed(home, expected):
    assert [job["state"] for job in jobs_of(home / "sweep")] == ["done"] * 3
    assert [(home / f"sweep/{n}/metrics.csv").read_text() for n in range(3)] == expected
    assert (home / "sweep/report.csv").exists()


def go_on(home, moment=None):
    """A driver that starts the sweep, or goes on with one that has begun."""
    begun = (home / "sweep/sweep.json").exists()
    return driver(*(["resume", "sweep"] if begun else ["-m", *KILLED]), moment=moment)


def done_jobs(home):
    """The status of each job that is done, as it stands on disk."""
    found = {run.path.name: run for run in begun_jobs(home / "sweep") if run.state == "done"}
    return {name: (run.path / "status.json").read_bytes() for name, run in found.items()}


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[2]} {moment[0].split(':')[1]} {moment[1]}")
def test_a_driver_killed_at_a_moment_loses_nothing_and_repeats_nothing(home, undisturbed, moment):
    process = go_on(home, moment)
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the moment never came"
    done = done_jobs(home)
    process = go_on(home)
    process.join()
    assert process.exitcode == 0
    assert done.items() <= done_jobs(home).items()
    check_undisturbed(home, undisturbed[0])


@pytest.mark.parametrize("seed", range(RANDOM))
def test_a_driver_killed_at_any_moment_loses_nothing_and_repeats_nothing(home, undisturbed, seed):
    expected, seconds = undisturbed
    moments, done, lives, ended = random.Random(seed), {}, 0, False
    while not ended:
        lives += 1
        process = go_on(home)
        process.join(timeout=moments.uniform(0, 0.5 * seconds * lives))
        ended = process.exitcode is not None
        process.kill()
        process.join()
        now = done_jobs(home)
        assert done.items() <= now.items()
        done = now
    assert process.exitcode == 0
    check_undisturbed(home, expected)
