"""A run's folder: one owner at a time, whatever else starts beside it, and files that are whole."""

import datetime
import json
import multiprocessing
import os
import pathlib
import socket
import threading

import pytest

from dlrun.errors import UserError
from dlrun.store import files, locks, run_folder
from dlrun.store.run_folder import RunFolder

FORKS = multiprocessing.get_context("fork")
WATCH = ("val/accuracy", "max")


def in_processes(count, target, *arguments):
    """What `target(i, *arguments)` returned in `count` processes that all start at once."""
    gate, answers = FORKS.Barrier(count), FORKS.SimpleQueue()

    def work(number):
        gate.wait()
        try:
            answers.put(target(number, *arguments))
        except BaseException as error:
            # Nobody waits for an answer that does not come.
            answers.put(f"{type(error).__name__}: {error}")

    processes = [FORKS.Process(target=work, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    return found


# ---- making one


def test_many_starts_in_one_second_get_a_folder_each(tmp_path):
    made = in_processes(20, lambda _: str(files.create(tmp_path / "outputs/mlp-digits")))
    assert len(set(made)) == 20
    assert sorted(map(str, (tmp_path / "outputs/mlp-digits").iterdir())) == sorted(made)


def test_a_name_that_is_drawn_twice_is_drawn_again(tmp_path, monkeypatch):
    names = iter(["aa", "aa", "aa", "bb"])
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: next(names))

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 31, 12, 0, 0)

    monkeypatch.setattr(files.datetime, "datetime", Clock)
    assert files.create(tmp_path).name == "2026-01-31_12-00-00-aa"
    assert files.create(tmp_path).name == "2026-01-31_12-00-00-bb"


def test_a_named_folder_is_made_or_taken_over_from_a_run_that_never_began(tmp_path):
    path = files.create(tmp_path / "deep/er", "run")
    assert path == tmp_path / "deep/er/run"
    RunFolder(path, WATCH).write_status("running")
    with locks.owned(path):
        pass
    (path / "overrides.json").write_text("[]")
    (path / "config.yaml.tmp").write_text("see")
    assert files.create(tmp_path / "deep/er", "run") == path


@pytest.mark.parametrize("content", ["config.yaml", "metrics.csv", "diary.txt"])
def test_a_named_folder_with_anything_else_in_it_is_in_use(tmp_path, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / content).write_text("")
    with pytest.raises(UserError, match=r"^folder: .*run is in use; choose another, or go on with it: dlrun resume"):
        files.create(tmp_path, "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {content}


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match=r"^folder: .*run is in use"):
        files.create(tmp_path, "run")
    with pytest.raises(UserError, match=r"^outputs: cannot make .*/run/x.*; choose another folder with outputs=FOLDER"):
        files.create(tmp_path / "run/x")
    with pytest.raises(UserError, match=r"^sweep.folder: cannot make"):
        files.create(tmp_path / "run/x", key="sweep.folder")


def test_a_look_makes_nothing(tmp_path):
    files.check_writable(str(tmp_path / "a/b/c"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        files.check_writable(str(tmp_path / "file/x"))


def test_a_place_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="is not writable; choose another folder with outputs=FOLDER"):
        files.check_writable(str(tmp_path))


# ---- owning one


def take(number, path, gate):
    """Starts a run in `path`; its process, or the reason why it may not."""
    try:
        place = files.create(pathlib.Path(path).parent, pathlib.Path(path).name)
        with locks.owned(RunFolder(place, WATCH).path):
            # Nobody is done before all have tried.
            gate.wait()
            return os.getpid()
    except UserError as error:
        gate.wait()
        return str(error)


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_starts_in_one_folder_one_owns_it_and_the_other_names_the_owner(tmp_path, attempt):
    answers = in_processes(2, take, str(tmp_path / "run"), FORKS.Barrier(2))
    (owner,) = [answer for answer in answers if isinstance(answer, int)]
    (refusal,) = [answer for answer in answers if isinstance(answer, str)]
    assert refusal == (f"{tmp_path}/run belongs to a running process (process {owner} on {socket.gethostname()})")


def test_a_running_run_is_not_offered_for_resume(tmp_path):
    path = files.create(tmp_path, "run")
    with locks.owned(path):
        (path / "config.yaml").write_text("")
        with pytest.raises(UserError, match=f"belongs to a running process \\(process {os.getpid()} on"):
            files.create(tmp_path, "run")


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    def hold(_):
        manager = locks.owned(tmp_path)
        manager.__enter__()
        os.kill(os.getpid(), 9)

    process = FORKS.Process(target=hold, args=(0,))
    process.start()
    process.join()
    assert f"process {process.pid} on" in (tmp_path / ".lock").read_text()
    locks.wait_until_free(tmp_path)
    with locks.owned(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"


def test_a_lock_that_only_the_orphans_of_a_killed_process_hold_is_waited_for(tmp_path):
    inside, outside = FORKS.Pipe(duplex=False)

    def hold(_):
        with locks.owned(tmp_path):
            if os.fork() == 0:
                # A loader process: it has inherited the lock, and lives until it sees that its parent is gone.
                outside.close()
                inside.poll(None)
                os._exit(0)
            os.kill(os.getpid(), 9)

    process = FORKS.Process(target=hold, args=(0,))
    process.start()
    process.join()
    taken = []

    def take_over():
        with locks.owned(tmp_path):
            taken.append((tmp_path / ".lock").read_text())

    waiter = threading.Thread(target=take_over)
    waiter.start()
    assert taken == []
    outside.close()
    waiter.join()
    assert taken == [f"process {os.getpid()} on {socket.gethostname()}"]


def test_waiting_for_a_folder_ends_when_its_owner_does(tmp_path):
    locks.wait_until_free(tmp_path)
    waiter = threading.Thread(target=locks.wait_until_free, args=(tmp_path,))
    with locks.owned(tmp_path):
        waiter.start()
        assert waiter.is_alive()
    waiter.join()


# ---- its files


def test_files_are_whole_or_not_there(tmp_path, monkeypatch):
    files.write_json(tmp_path / "a.json", {"x": 1})

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        files.write_json(tmp_path / "a.json", {"x": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}


def test_a_config_is_the_last_of_the_first_files(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(run_folder, "write_text", lambda path, text: written.append(path.name))
    RunFolder(tmp_path, WATCH).write_config({"seed": 1}, ["seed=1"], {}, {})
    assert written[-1] == "config.yaml"
    assert set(written[:-1]) <= files.LEFTOVERS


def test_rows_of_metrics_are_added_and_a_new_column_is_made_for_all(tmp_path):
    home, history = RunFolder(tmp_path, WATCH), [{"epoch": 1, "train/loss": 0.5}]
    home.append_metrics(history)
    history.append({"epoch": 2, "train/loss": 0.25})
    home.append_metrics(history)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,train/loss\n1,0.5\n2,0.25\n"
    history.append({"epoch": 3, "train/loss": 0.125, "val/loss": 1.5})
    home.append_metrics(history)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,train/loss,val/loss\n1,0.5,\n2,0.25,\n3,0.125,1.5\n"
    home.write_metrics(history[:1])
    assert (tmp_path / "metrics.csv").read_text() == "epoch,train/loss\n1,0.5\n"


def test_status_tells_who_when_and_why(tmp_path):
    home = RunFolder(tmp_path, WATCH)
    home.write_status("running")
    running = json.loads((tmp_path / "status.json").read_text())
    assert (running["pid"], running["host"], running["finished"]) == (os.getpid(), socket.gethostname(), None)
    home.write_status("failed", "out of paper")
    failed = json.loads((tmp_path / "status.json").read_text())
    assert (failed["state"], failed["error"]) == ("failed", "out of paper")
    assert datetime.datetime.fromisoformat(failed["finished"]) >= datetime.datetime.fromisoformat(running["started"])
