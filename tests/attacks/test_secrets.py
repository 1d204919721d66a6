"""A config from a stranger reads nothing of the environment and writes nowhere but in the working directory."""

import json

import pytest
import yaml
from stored_runs import write_sweep

from dlrun.config import compose, yaml_file
from dlrun.errors import UserError

SECRET = "nobody-may-see-this"
COMPUTED = [
    "${oc.env:TOKEN}", "${oc.env:TOKEN,x}", "${oc.decode:${oc.env:TOKEN}}", "a ${oc.env:TOKEN} b", "${ oc.env:TOKEN }",
    "${oc.${seed}:TOKEN}", "${oc.env:${outputs}}", "${oc.create:[1]}", "${oc.select:seed}", "${oc.dict.keys:model}",
    "${oc.deprecated:seed}", "${hydra:runtime.cwd}", "${now:%Y}", "${${oc.env:TOKEN}}", "${oc.env: TOKEN}", "${a",
]  # fmt: skip


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", SECRET)


def recipe(folder, text):
    path = folder / "given/experiment/mine.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# @package _global_\n{text}\n")
    return "--config-dir", "given", "experiment=mine"


@pytest.mark.parametrize("value", COMPUTED)
@pytest.mark.parametrize(
    "key", ["outputs: '{}'", "model: {{name: '{}'}}", "'{}': 1", "defaults: [override /data: '{}']"]
)
def test_no_file_has_a_value_computed(tmp_path, attempt, value, key):
    code, printed = attempt(*recipe(tmp_path, key.format(value)), "model=mlp", "data=digits")
    assert code == 2 and SECRET not in printed
    assert "mine.yaml: line 2: " in printed and yaml_file.REFERENCES in printed
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("value", COMPUTED)
def test_no_word_has_a_value_computed(tmp_path, attempt, value):
    code, printed = attempt("model=mlp", "data=digits", f"outputs='{value}'")
    assert code == 2 and SECRET not in printed


def test_a_reference_to_another_key_is_resolved(tmp_path):
    recipe(tmp_path, "trainer: {epochs: 7, batch_size: '${trainer.epochs}'}")
    assert compose.tree(["experiment=mine"], ["given"])["trainer"]["batch_size"] == 7


@pytest.mark.parametrize(
    "line",
    [
        "outputs: /elsewhere", "outputs: ../elsewhere", "outputs: a/../../elsewhere", "folder: /elsewhere",
        "folder: ../elsewhere", "sweep: {folder: /elsewhere}", "sweep: {folder: ../elsewhere}", "outputs: link/runs",
        "sweeper: {storage: 'sqlite:////elsewhere.db'}", "sweeper: {storage: 'sqlite:///../elsewhere.db'}",
        "sweeper: {storage: 'postgresql://somewhere/db'}", "logger: {online: true}", "logger: {online: 'yes'}",
        "logger: {tracking_uri: 'http://localhost:1'}", "logger: {tracking_uri: 'sqlite:////elsewhere.db'}",
        "logger: {mlflow: true, tracking_uri: 'databricks://x'}", "logger: {tracking_uri: '../elsewhere'}",
    ],
)  # fmt: skip
def test_no_file_says_to_write_elsewhere(tmp_path, attempt, canary, line):
    (tmp_path / "link").symlink_to(canary.parent)
    search = ["-m", "sweeper=optuna", "optimizer.lr=interval(0.1,1)"] if "sweeper" in line else []
    code, printed = attempt(*recipe(tmp_path, line), "model=mlp", "data=digits", *search)
    assert code == 2 and ("is outside of the working directory" in printed or "which sends it elsewhere" in printed)
    assert {path.name for path in tmp_path.iterdir()} == {"given", "link"}


@pytest.mark.parametrize(
    "key",
    [
        *("sweep.folder", "outputs", "folder", "sweeper.storage", "+sweep.folder", "sweep"),
        *("logger.online", "logger.tracking_uri"),
    ],
)
def test_no_sweep_of_a_file_lists_where_it_writes(tmp_path, attempt, key):
    code, _ = attempt(*recipe(tmp_path, f"sweep: {{over: {{'{key}': /elsewhere}}}}"), "-m", "model=mlp")
    assert code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"given"}


def test_the_command_line_may_say_where(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    words = recipe(tmp_path, "outputs: ../elsewhere")
    with pytest.raises(UserError, match=r"give it on the command line: outputs=\.\./elsewhere"):
        compose.tree([words[2]], ["given"])
    assert compose.tree([words[2], "outputs=../elsewhere"], ["given"])["outputs"] == "../elsewhere"


def test_a_search_from_a_stranger_makes_no_database_elsewhere(tmp_path, attempt, canary):
    home = write_sweep(tmp_path / "sweep", {})
    plan = json.loads((home / "sweep.json").read_text())
    fixed = ["model=mlp", "data=digits", "sweeper=optuna", f"sweeper.storage=sqlite:///{canary.parent}/new.db"]
    plan["search"] = {"study": "x", "fixed": fixed, "space": {"optimizer.lr": {"low": 0.1, "high": 1}}, "listed": {}}
    (home / "sweep.json").write_text(json.dumps(plan))
    code, printed = attempt("resume", home)
    assert code == 2 and "sweeper.storage: there is no study x in sqlite:" in printed


LOGGED = [
    "model=mlp",
    "data=iris",
    "trainer.epochs=1",
    "scheduler=none",
    "device=cpu",
    "device.threads=1",
    "logger=none",
]


@pytest.mark.parametrize("key", ["outputs", "tracking_uri"])
@pytest.mark.parametrize("what", ["run", "sweep"])
def test_what_goes_on_makes_no_database_elsewhere(tmp_path, attempt, canary, monkeypatch, what, key):
    monkeypatch.chdir(tmp_path)
    cage = canary.parent
    if what == "run":
        assert attempt(*LOGGED, "folder=it")[0] == 0
        config = yaml.safe_load((tmp_path / "it/config.yaml").read_text())
        config["logger"]["mlflow"] = True
        config |= {"outputs": str(cage)} if key == "outputs" else {}
        config["logger"] |= {"tracking_uri": f"sqlite:///{cage}/new.db"} if key != "outputs" else {}
        (tmp_path / "it/config.yaml").write_text(yaml.safe_dump(config))
        code, printed = attempt("resume", "it", "trainer.epochs=2")
    else:
        assert attempt("-m", *LOGGED, "seed=0", "sweep.folder=it")[0] == 0
        plan = json.loads((tmp_path / "it/sweep.json").read_text())
        plan["jobs"][0]["overrides"] += [f"outputs={cage}"] * (key == "outputs") + ["logger.mlflow=true"]
        plan["jobs"][0]["overrides"] += [f"logger.tracking_uri=sqlite:///{cage}/new.db"] * (key != "outputs")
        (tmp_path / "it/sweep.json").write_text(json.dumps(plan))
        (tmp_path / "it/0/status.json").write_text('{"state": "interrupted"}')
        code, printed = attempt("resume", "it")
    assert code == 2 and "outside of the working directory" in printed


def test_no_file_goes_where_the_database_of_a_stranger_says(tmp_path, attempt, canary, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    store = f"sqlite:///{tmp_path}/outputs/mlflow.db"
    MlflowClient(store).create_experiment("dlrun", artifact_location=canary.parent.as_uri())
    code, printed = attempt(*LOGGED, "logger.mlflow=true")
    assert code == 0 and "MLflow gets no files of this run" in printed
    (told,) = MlflowClient(store).search_runs(["1"])
    assert told.info.status == "FINISHED" and "final/test/accuracy" in told.data.metrics
