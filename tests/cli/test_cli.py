"""The command line: what it prints, where it leads, and words that are wrong in one line and leave nothing behind."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from dlrun.cli import main
from dlrun.models import MODELS
from dlrun.tasks import TASKS

TINY = ["data=synthetic", "data.image_size=4", "model=mlp", "model.hidden_sizes=[]", "trainer.epochs=1", "logger=none"]


# ---- errors that are found before torch is imported

WRONG = {
    "model=resnt": "model: no option 'resnt'; did you mean resnet? (model options: ",
    "trainer.epoch=3": "trainer.epoch: unknown key; did you mean epochs? (trainer keys: epochs, batch_size,",
    "optimizer.lrr=1": "optimizer.lrr: unknown key; did you mean lr?",
    "sed=1": "sed: unknown key; did you mean seed?",
    "trainr.epochs=1": "trainr: unknown key; did you mean trainer?",
    "model.hidden_sizes=[1]": "model.hidden_sizes: unknown key; it is a key of model=mlp (model keys: name,",
    "trainer.epochs=many": "trainer.epochs: must be an integer, found 'many'",
    "trainer.epochs=0": "trainer.epochs: must be an integer of at least 1, found 0",
    "trainer.epochs={x:1}": "trainer.epochs: must be an integer, found {'x': 1}",
    "trainer.drop_last=1": "trainer.drop_last: must be true or false, found 1",
    "optimizer.lr=nan": "optimizer.lr: must be a finite number",
    "optimizer.betas=[0.9]": "optimizer.betas: must be a list of 2 values",
    f"seed={10**30}": "seed: must be an integer of at least 0",
    "device.threads=1000000": "device.threads: must be an integer of at least 1 and at most 1024",
    "outputs=": "outputs: must name a folder, found ''",
    "model=": "model: no option ''",
    "trainer=[default]": "trainer: no option",
    "model.name=mlp": "model.name=mlp: choose with model=NAME (",
    "~model": "~model: a run needs each of its keys; change it with model=VALUE",
    "model@net=mlp": "model@net=mlp: a group has one place; write model=NAME",
    "model/deep=mlp": "model/deep: unknown key",
    "model._target_=os.system": "model._target_: a config names registered things and runs no code",
    "+trainer._partial_=true": "trainer._partial_: a config names registered things and runs no code",
    "model={name:mlp,_target_:os.system}": "model._target_: a config names registered things and runs no code",
    "model.channels=[1,{_target_:os.system}]": "model.channels[1]._target_: a config names registered things",
    "seed=${seed}": "config: seed: Recursive interpolation detected",
    "seed=${nope}": "config: seed: Interpolation key 'nope' not found",
    "seed=${oc.env:DLRUN_NOPE}": "seed=${oc.env:DLRUN_NOPE}: a config is resolved no further than ${KEY}",
    "trainer.epochs=???": "config: trainer.epochs: Missing mandatory value",
    "model.channels.9=1": "config: model.channels[9]: list index out of range",
    "model.channels.x=1": "model.channels.x: cannot be set: invalid literal",
    "model=mlp,cnn": "model=mlp,cnn: lists several values; add -m to run one job for each",
    "=3": "cannot read '=3': write key=value",
    "": "cannot read '': write key=value",
    "seed": "cannot read 'seed': write key=value",
    "optimizer.lr=[1": "cannot read 'optimizer.lr=[1': a value with such characters needs quotes inside quotes:",
    "data.root=Bücher": "cannot read 'data.root=Bücher': a value with such characters needs quotes inside quotes: "
    "'data.root=\"Bücher\"'",
    "seed=1\nseed=2": "cannot read 'seed=1\\nseed=2': write key=value",
    "seed=" + "[" * 3_000: "cannot read 'seed=[[",
    "resnet": "cannot read 'resnet': did you mean model=resnet?",
    "model": "cannot read 'model': choose with model=NAME (",
    "reprot": "unknown verb 'reprot'; did you mean report? (verbs: list, show,",
    "--multrun": "unknown flag '--multrun'; did you mean --multirun?",
    "-x": "unknown flag '-x' (flags: --multirun,",
    "--config-name=x": "--config-name: write experiment=NAME",
    "--config-dir": "--config-dir: what follows is missing; write --config-dir FOLDER",
    "--config-dir=nowhere": "--config-dir: no folder nowhere",
    "--cfg": "--cfg: what follows is missing; write --cfg job|hydra|all",
    "--cfg=jab": "--cfg: must be one of job, hydra, all, found 'jab'",
    "--resolve": "--resolve: only goes with --cfg job",
}


@pytest.mark.parametrize("word", WRONG, ids=lambda word: word[:30])
def test_a_wrong_word_is_one_line(refused, word):
    assert refused(word).startswith(WRONG[word])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["data=mnist", "resnet"], "cannot read 'resnet': did you mean model=resnet?"),
        (["device=cpu", "device.precision=tf32"], "device.precision: tf32 does not work on cpu"),
        (["device=mps", "device.precision=tf32"], "device.precision: tf32 needs a CUDA GPU"),
        (["scheduler=onecycle", "trainer.warmup_steps=3"], "trainer.warmup_steps: scheduler=onecycle warms up"),
        (["optimizer=lbfgs", "trainer.accumulate=2"], "optimizer=lbfgs: evaluates a batch several times a step"),
        (["optimizer=lbfgs", "device.precision=fp16"], "optimizer=lbfgs: evaluates a batch several times a step"),
        (["device.workers=2", "device.residency=device"], "device.workers: residency=device reads no files"),
        (["--cfg", "job", "trainer.epoch=1"], "trainer.epoch: unknown key; did you mean epochs?"),
        (["-m", "--cfg", "job", "seed=1,2"], "--cfg: shows one config; leave out -m"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words_together_are_one_line(refused, words, line):
    assert refused(*words).startswith(line)


def test_each_mistake_is_a_line(capsys):
    assert main.main(["trainer.epochs=0", "optimizer.lr=nan", "model.depth=3"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[2].strip() for line in lines] == ["model.depth", "optimizer.lr", "trainer.epochs"]


# ---- what it prints


def test_a_bare_call_says_what_it_is(capsys):
    assert main.main([]) == 0
    out = capsys.readouterr().out
    assert out.startswith("dlrun ")
    assert len(out.splitlines()) <= 18
    assert all(f"dlrun {verb} " in out for verb in main.VERBS)


def test_help_names_all_groups_and_options(capsys):
    assert main.main(["--help"]) == 0
    out = capsys.readouterr().out
    for text in (
        "  task       auto, binary, ",
        *TASKS.names(),
        *MODELS.names(),
        "  trainer    default, overfit",
        *main.VERBS,
    ):
        assert text in out


def test_version(capsys):
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("dlrun ")


def test_cfg_prints_the_config_and_trains_nothing(cli_in, tmp_path):
    done = cli_in("--cfg", "job", "model=mlp", "trainer.epochs=3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  name: mlp\n" in done.stdout
    assert "  epochs: 3\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def cli_in(tmp_path):
    """The installed command in an empty folder outside the repository, with nothing of ours on its path."""
    command = pathlib.Path(sys.executable).parent / "dlrun"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DLRUN_")}
    return lambda *words: subprocess.run(
        [command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("words", [["model=resnt"], ["eval", "nowhere"]])
def test_the_installed_command_says_the_same(cli_in, tmp_path, words):
    done = cli_in(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("dlrun: error: ")
    assert list(tmp_path.iterdir()) == []


# ---- exit codes


def test_a_signal_before_training_leaves_nothing_and_is_told_by_the_exit_code(tmp_path, monkeypatch):
    from dlrun.data.images.synthetic import Synthetic

    monkeypatch.chdir(tmp_path)
    for number in (signal.SIGINT, signal.SIGTERM):
        monkeypatch.setattr(Synthetic, "load", lambda self, number=number: os.kill(os.getpid(), number))
        assert main.main(TINY) == 128 + number
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path, unbuffered):
    command = f"{sys.executable} -m dlrun --help | true; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_traceback_only_for_those_who_ask(capsys, monkeypatch):
    main.main(["model=resnt"])
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("DLRUN_DEBUG", "1")
    main.main(["model=resnt"])
    assert "Traceback" in capsys.readouterr().err
