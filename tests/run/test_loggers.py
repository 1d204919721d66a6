"""MLflow and W&B beside TensorBoard: what they hold of a run, how it ends there, and what they never do."""

import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import threading

import pytest
from tiny import TINY

import dlrun
from dlrun.cli import main
from dlrun.engine.interrupt import Interrupted, Pruned
from dlrun.errors import RunError, UserError
from dlrun.run.loggers import mlflow as to_mlflow
from dlrun.run.loggers import wandb as to_wandb
from dlrun.run.loggers.logger import Logger
from dlrun.run.loggers.loggers import Loggers
from dlrun.run.run import run
from dlrun.store import sweep_record
from dlrun.store.sweep_record import Job, Plan

SMALL = [*TINY, "trainer.batch_size=32", "trainer.log_every=1", "scheduler=none", "device=cpu", "logger.graph=false"]
BOTH = ["logger=mlflow", "logger.wandb=true", "logger.graph=false"]


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)


def stored(folder):
    """(A client of the database beside the runs, the runs of MLflow in it, oldest first)."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/outputs/mlflow.db")
    (experiment,) = (each for each in client.search_experiments() if each.name == "dlrun")
    return client, client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])


def points(client, run, name):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


class Sent:
    """What one file of W&B holds."""

    def __init__(self, path):
        self.curves, self.files, self.summary = {}, set(path.parent.rglob("*.png")), {}
        for record in to_wandb.stored(path):
            if record.HasField("run") and record.run.run_id:
                self.run = record.run
                self.config = {each.key: json.loads(each.value_json) for each in record.run.config.update}
            if record.HasField("exit"):
                self.code = record.exit.exit_code
            for each in record.summary.update:
                self.summary["/".join(each.nested_key) or each.key] = each.value_json
            row = {"/".join(each.nested_key) or each.key: each.value_json for each in record.history.item}
            for name, value in row.items():
                self.curves.setdefault(name, []).append((int(row["_step"]), value))


def sent(folder):
    return [Sent(path) for path in sorted((folder / "wandb").glob("offline-run-*/*.wandb"))]


def test_both_hold_the_run_and_go_on_with_it_and_the_numbers_are_those_without(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "trainer.epochs=3"]
    assert main.main([*words, "folder=alone", "logger=none"]) == 0
    assert main.main([*words, "folder=run", *BOTH]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"look    mlflow ui --backend-store-uri sqlite:///{tmp_path}/outputs/mlflow.db" in printed.out
    assert "look    wandb sync run/wandb/offline-run-*" in printed.out
    assert (tmp_path / "run/metrics.csv").read_bytes() == (tmp_path / "alone/metrics.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "outputs", "run"]
    # What was made after the checkpoint that is gone on from is there once.
    (tmp_path / "run/checkpoints/last.safetensors").unlink()
    monkeypatch.chdir(tmp_path / "alone")
    assert main.main(["resume", "../run", "trainer.epochs=4"]) == 0
    client, (told,) = stored(tmp_path)
    assert (told.info.run_name, told.info.status) == ("mlp-synthetic run", "FINISHED")
    assert told.data.params["optimizer.name"] == "adam" and told.data.params["model.hidden_sizes"] == "[16]"
    assert not {"folder", "logger.mlflow"} & set(told.data.params)
    history = dlrun.load(tmp_path / "run").history
    assert points(client, told, "val/accuracy") == list(zip(history["step"], history["val/accuracy"], strict=True))
    assert [step for step, _ in points(client, told, "step/loss")] == list(range(1, 13))
    summary = json.loads((tmp_path / "run/summary.json").read_text())["metrics"]
    assert points(client, told, "final/test/loss")[-1] == (12, summary["test/loss"])
    pictures = {path.name for path in (tmp_path / "run/plots").glob("*.png")}
    kept = pathlib.Path(told.info.artifact_uri.removeprefix("file://"))
    assert {path.name for path in (kept / "plots").iterdir()} == pictures
    assert (kept / "config.yaml").read_bytes() == (tmp_path / "run/config.yaml").read_bytes()
    first, second = sent(tmp_path / "run")
    assert first.run.run_id == second.run.run_id and first.run.project == "dlrun"
    assert first.config["optimizer"]["name"] == "adam"
    both = [(step, float(value)) for half in (first, second) for step, value in half.curves["val/accuracy"]]
    assert both == points(client, told, "val/accuracy")
    assert [step for half in (first, second) for step, _ in half.curves["step/loss"]] == list(range(1, 13))
    assert float(second.summary["final/test/loss"]) == summary["test/loss"]
    assert len(first.files) == len(pictures) and first.code == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]
    # Of a file that a kill has torn the whole records are read.
    (file, _) = sorted((tmp_path / "run/wandb").glob("*/*.wandb"))
    all_there_is = list(to_wandb.stored(file))
    file.write_bytes(file.read_bytes()[:-3])
    assert list(to_wandb.stored(file)) == all_there_is[:-1]
    assert to_wandb._last_steps(tmp_path / "run/wandb")["step/loss"] == 12


def test_a_logger_that_a_run_gets_half_way_hears_of_the_epochs_before(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main([*SMALL, "trainer.epochs=2", "logger.pictures=false", "folder=run"]) == 0
    assert main.main(["resume", "run", "trainer.epochs=3", "logger.wandb=true"]) == 0
    (whole,) = sent(tmp_path / "run")
    assert [step for step, _ in whole.curves["val/loss"]] == [3, 6, 9]
    assert [step for step, _ in whole.curves["step/loss"]] == [7, 8, 9]
    # An epoch that a kill has taken from W&B, and not from the checkpoint, is there again.
    (file,) = (tmp_path / "run/wandb").glob("*/*.wandb")
    file.write_bytes(file.read_bytes()[:7])
    assert main.main(["resume", "run", "trainer.epochs=4"]) == 0
    assert [step for step, _ in sent(tmp_path / "run")[1].curves["val/loss"]] == [3, 6, 9, 12]


def test_each_job_of_a_sweep_is_a_run_of_its_own_and_ends_as_it_ended(tmp_path, monkeypatch, make_config):
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "sweeps/mine"
    home.mkdir(parents=True)
    rates = ["0.1", "0.2", "1e30", "0.3"]
    sweep_record.write(home, Plan([], [], [Job(k, [], {"optimizer.lr": rate}) for k, rate in enumerate(rates)]))

    def interrupt(row):
        os.kill(os.getpid(), signal.SIGINT)
        return False

    for number, (judge, ending) in enumerate(
        [(None, None), (lambda row: True, Pruned), (None, RunError), (interrupt, Interrupted)]
    ):
        rate = rates[number]
        words = [*SMALL, "optimizer=sgd", f"optimizer.lr={rate}", f"folder={home}/{number}", *BOTH]
        words += ["trainer.epochs=2", "logger.pictures=false", "logger.tensorboard=false"]
        config = make_config(*words)
        if ending is None:
            run(config, words, judge=judge, changed={"optimizer.lr": rate})
        else:
            with pytest.raises(ending):
                run(config, words, judge=judge, changed={"optimizer.lr": rate})
    _, told = stored(tmp_path)
    assert [each.info.run_name for each in told] == [f"lr={rate}" for rate in rates]
    assert [each.info.status for each in told] == ["FINISHED", "KILLED", "FAILED", "KILLED"]
    assert [each.data.tags["dlrun.state"] for each in told] == ["done", "pruned", "failed", "interrupted"]
    assert {each.data.tags["dlrun.sweep"] for each in told} == {"mine"}
    jobs = [sent(home / str(number))[0] for number in range(4)]
    assert [job.run.display_name for job in jobs] == [f"lr={rate}" for rate in rates]
    assert {job.run.run_group for job in jobs} == {"mine"} and len({job.run.run_id for job in jobs}) == 4
    assert [job.code for job in jobs] == [0, 0, 1, 255]


def test_runs_of_threads_and_the_run_that_a_program_has_open_are_each_its_own(tmp_path, monkeypatch):
    import mlflow
    import wandb

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    (tmp_path / "outputs").mkdir()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    try:
        outer = mlflow.start_run(run_name="outer")
        other = wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(silent=True, symlink=False))
        long = "x" * 10_000
        words = [*SMALL, *BOTH, "trainer.epochs=1", "logger.tensorboard=false", "logger.pictures=false"]

        def train(seed):
            dlrun.train(*words, f"seed={seed}", f"outputs={tmp_path}/outputs", f"folder=run{seed}")

        threads = [threading.Thread(target=train, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mlflow.active_run().info.run_id == outer.info.run_id and wandb.run is other
        client, told = stored(tmp_path)
        assert sorted(each.data.params["seed"] for each in told) == ["1", "2"]
        losses = {each.data.metrics["final/test/loss"] for each in told}
        found = [sent(tmp_path / f"run{seed}")[0] for seed in (1, 2)]
        assert {float(each.summary["final/test/loss"]) for each in found} == losses and len(losses) == 2
        mine = client.get_run(outer.info.run_id)
        assert (mine.info.status, mine.data.metrics, mine.data.params) == ("RUNNING", {}, {})
        # What a store would refuse takes no metric with it.
        about = Told(tmp_path / "run1", tmp_path / "outputs", {"model": {"note": long, "odd [key]": "ü"}})
        own = to_mlflow.MLflow(about, None, None)
        own.scalars({"loss": 1.0, "never": float("inf"), "odd[name]": 2.0}, 1)
        own.close("done")
        odd = client.get_run(own.run_id).data
        assert odd.metrics == {"loss": 1.0, "odd_name_": 2.0} and long.startswith(odd.params["model.note"])
    finally:
        other.finish()
        mlflow.end_run()
        mlflow.set_tracking_uri(None)


class Told:
    """What `About` says, of a run in a folder without a note."""

    def __init__(self, folder, outputs, config):
        (folder / "mlflow.json").unlink()
        self.folder, self.outputs, self.config = folder, outputs, config
        self.name, self.group, self.command = "odd", None, "dlrun"


def test_a_server_gets_the_run_and_when_it_is_gone_training_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    more = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        f"{tmp_path}/artifacts",
    ]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = os.open(tmp_path / "server.log", os.O_CREAT | os.O_WRONLY)
    server = subprocess.Popen(
        [sys.executable, "-m", *command, *more], env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        while not answers(port):
            assert server.poll() is None, (tmp_path / "server.log").read_text()
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        words = [*SMALL, "trainer.epochs=2", "logger=mlflow", f"logger.tracking_uri={address}", "logger.project=mine"]
        assert main.main([*words, "folder=run", "logger.graph=false"]) == 0
        captured = capsys.readouterr()
        assert captured.err == "" and f"look    {address}/#/experiments/1/runs/" in captured.out
        from mlflow import MlflowClient

        client = MlflowClient(address)
        told = client.get_run(json.loads((tmp_path / "run/mlflow.json").read_text())["run_id"])
        assert told.info.status == "FINISHED" and told.data.metrics["final/test/loss"] > 0
        assert {each.path for each in client.list_artifacts(told.info.run_id, "plots")} > {"plots/predictions.png"}

        def gone(row):
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            return False

        config = main_config(*words, "folder=other", "trainer.epochs=4", "logger.graph=false")
        assert run(config, words, judge=gone).outcome == "done"
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("dlrun: warning: MLflow failed, and hears no more of this run (") and len(line) <= 300
        # Before anything is trained it is an error.
        assert main.main([*words, "folder=third"]) == 2
        assert f"logger.tracking_uri: {address} cannot be reached: Connection refused" in capsys.readouterr().err
        assert not (tmp_path / "third").exists()
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        os.close(log)


def answers(port):
    """Whether the server is up; waits a little for it."""
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
            return True
    except OSError:
        threading.Event().wait(0.05)
        return False


def main_config(*words):
    from dlrun.config import check, compose

    return check.parse(compose.tree(list(words), []))


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_package_that_is_missing_is_one_line_before_anything_is_trained(name, refused, monkeypatch):
    from importlib import util

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda asked, *more: None if asked == name else find(asked, *more))
    line = f"logger.{name}: {name} is not installed; pip install 'dlrun[{name}]'"
    assert refused(*SMALL, f"logger={name}") == line
    assert refused("-m", *SMALL, f"logger.{name}=true", "seed=1,2") == line


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("https://me:secret@host/x", "logger.tracking_uri: holds a password"),
        ("http://secret@host", "logger.tracking_uri: holds a password"),
        ("postgresql://me:secret@host/db", "logger.tracking_uri: holds a password"),
        (
            "mlruns",
            "logger.tracking_uri: must be an address such as http://HOST:5000 or sqlite:///FILE, found 'mlruns'",
        ),
    ],
)
def test_an_address_that_cannot_be_kept_or_used_is_refused(uri, said, refused):
    line = refused(*SMALL, "logger=mlflow", f"logger.tracking_uri='{uri}'")
    assert line.startswith(said) and "secret" not in line


def test_a_password_in_the_environment_is_not_said(refused, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    line = refused(*SMALL, "logger=mlflow")
    assert line.startswith("MLFLOW_TRACKING_URI: http://127.0.0.1:9 cannot be reached") and "secret" not in line


def test_nothing_is_sent_without_a_login_and_no_key_is_kept(refused, monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb")
    wandb.setup()  # it makes a folder of its own
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    line = refused(*SMALL, "logger.wandb=true", "logger.online=true")
    assert line == "logger.online: this machine is not logged in to W&B; run wandb login, or leave it out"
    # What the environment forbids holds.
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
    words = [*SMALL, "trainer.epochs=1", "logger.pictures=false", "logger.tensorboard=false", "folder=run"]
    assert main.main([*words, "logger.wandb=true", "logger.online=true"]) == 0
    # Its process asks in vain who has that key, and can be so busy with it that the end of the file comes late.
    wandb.teardown()
    (whole,) = sent(tmp_path / "run")
    assert whole.code == 0 and "0123456789abcdef" not in str(whole.config)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not [path for path in files if b"0123456789abcdef" in path.read_bytes()]


class Broken(Logger):
    title = "Broken"

    def __init__(self):
        self.heard = []

    def scalars(self, values, step):
        self.heard.append((step, values))
        raise OSError(28, "No space left on device", "http://me:secret@host/x")

    def close(self, state):
        self.heard.append(state)
        raise OSError("still none")


class Sound(Broken):
    title = "Sound"

    def scalars(self, values, step):
        self.heard.append((step, values))

    def close(self, state):
        self.heard.append(state)


def test_a_logger_that_fails_is_said_once_and_the_others_hear_on(capsys, make_config):
    made = Loggers(make_config(*SMALL, "logger=none"), about=None)
    broken, sound = Broken(), Sound()
    made.loggers += [broken, sound]
    for step in (1, 2):
        made.scalars({"loss": 1.0, "recall": float("nan")}, step)
    made.close("done")
    assert sound.heard == [(1, {"loss": 1.0}), (2, {"loss": 1.0}), "done"]
    assert broken.heard == [(1, {"loss": 1.0}), "done"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dlrun: warning: Broken failed, and hears no more of this run (OSError: ")
    assert "secret" not in line


def test_a_database_of_something_else_is_not_touched_and_no_link_is_followed(tmp_path):
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("create table mine (a)")
    before = other.read_bytes()
    assert not to_mlflow._holds(str(other), "abc") and not to_mlflow._holds(str(tmp_path / "none.db"), "abc")
    link = tmp_path / "mlflow.db"
    link.symlink_to(other)
    with pytest.raises(UserError, match="is a link"), to_mlflow._shared(link):
        pass
    assert other.read_bytes() == before and not (tmp_path / "none.db").exists()
