"""Runs of one process give the same bits as each alone, and leave the process as it was."""

import contextlib
import hashlib
import os
import random
import signal
import threading

import numpy as np
import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from plugged_in import plugged_in
from tiny import TINY

import dlrun
from dlrun.config import compose
from dlrun.engine.alone import SWITCHES, alone
from dlrun.engine.state import random_state

RUNS = {
    "dropout": [*TINY, "model.dropout=0.5", "trainer.epochs=4", "trainer.batch_size=8", "logger=none"],
    "cutmix": [
        *(word for word in TINY if not word.startswith("model")), "model=cnn", "model.channels=[2,3]", "augment=cutmix",
        "trainer.epochs=2", "trainer.batch_size=16", "logger=none", "optimizer=sgd", "seed=3",
    ],
    "triplet": [
        "model=embedder", "model.channels=[4]", "data=identities", "task=triplet", "trainer.epochs=1",
        "trainer.limit_batches=2", "logger=none",
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with plugged_in(tmp_path / "plug_in.py", ""):
        yield tmp_path


def bits(run):
    """All that a run has found, to the bit."""
    names = ("metrics.csv", "predictions.csv")
    told = [(run.path / name).read_text() for name in names]
    return told, {
        name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in run.model.state_dict().items()
    }


def process():
    """What of the process a run could change."""
    state = random_state()
    return {
        "switches": [read() for read, _ in SWITCHES],
        "random": [state["python"], state["numpy"][1].tolist(), state["torch"].tolist()],
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "gradients": torch.is_grad_enabled(),
        "device": torch.get_default_device(),
    }


@pytest.fixture(scope="module")
def by_themselves(tmp_path_factory):
    home = tmp_path_factory.mktemp("alone")
    return {name: bits(dlrun.train(*words, folder=home / name)) for name, words in RUNS.items()}


def test_two_runs_after_each_other_are_as_alone_whatever_the_first_has_set(by_themselves):
    first = {"dropout": ("cutmix", {"deterministic": True}), "cutmix": ("dropout", {"threads": 2})}
    first["triplet"] = ("cutmix", {"precision": "bf16"})
    for name, words in RUNS.items():
        other, options = first[name]
        dlrun.train(*RUNS[other], device=options, trainer={"epochs": 1})
        torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
        assert bits(dlrun.train(*words)) == by_themselves[name], name


def test_runs_in_threads_at_the_same_time_are_as_alone(by_themselves):
    found = {}

    def work(name):
        found[name] = bits(dlrun.train(*RUNS[name]))

    def disturb():
        while len(found) < len(RUNS):
            dlrun.build("mlp", data="synthetic")

    threads = [threading.Thread(target=work, args=(name,)) for name in RUNS]
    threads.append(threading.Thread(target=disturb))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == by_themselves


def test_nothing_of_the_process_is_changed_by_a_run_nor_by_its_answers():
    torch.manual_seed(11)
    before = process()
    run = dlrun.train(*RUNS["dropout"], device={"deterministic": True, "threads": 2, "precision": "bf16"})
    assert process() == before
    images = np.zeros((2, 28, 28), dtype=np.uint8)
    for look in (lambda: run.predict(images), run.evaluate, lambda: run.model, lambda: dlrun.load_model(run.path)):
        look()
        assert process() == before
    dlrun.build("mlp", data="digits", seed=5)
    with pytest.raises(dlrun.errors.UserError):
        dlrun.train("model=cnn", "data=iris")
    assert process() == before


def test_a_run_is_as_alone_whatever_the_program_has_set(by_themselves):
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.no_grad():
            before = process()
            found = dlrun.train(*RUNS["dropout"])
            assert process() == before
        with torch.inference_mode():
            other = dlrun.train(*RUNS["dropout"])
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert bits(found) == bits(other) == by_themselves["dropout"]


def test_what_is_switched_inside_is_put_back_also_behind_an_error():
    before = process()
    with pytest.raises(ZeroDivisionError), alone():
        torch.set_num_threads(3)
        torch.use_deterministic_algorithms(True)
        torch.manual_seed(1)
        random.seed(1)
        raise ZeroDivisionError
    assert process() == before


def test_a_hydra_of_the_program_stays(elsewhere):
    (elsewhere / "config.yaml").write_text("a: 1\n")
    compose.Composer.shipped.clear()
    with initialize_config_dir(str(elsewhere), version_base="1.2"):
        theirs = GlobalHydra.instance().hydra
        dlrun.train(*RUNS["dropout"])
        assert GlobalHydra.instance().hydra is theirs
    assert not GlobalHydra.instance().is_initialized()


def test_configs_composed_in_threads_are_those_of_their_words():
    compose.Composer.shipped.clear()
    wanted = [f"model={name}" for name in ("mlp", "cnn", "resnet", "unet", "gcn", "tcn")]
    found = {}

    def work(word):
        found[word] = compose.tree([word, "trainer=smoke" if word == "model=cnn" else "trainer=default"], [])

    threads = [threading.Thread(target=work, args=(word,)) for word in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[word]["model"]["name"] for word in wanted] == [word.removeprefix("model=") for word in wanted]


def test_pictures_drawn_in_threads_leave_the_settings_of_matplotlib(monkeypatch):
    import matplotlib

    from dlrun.plots.figure import new_figure, styled

    before, inside = dict(matplotlib.rcParams), threading.Barrier(2, timeout=0.2)

    @styled
    def drawn():
        with contextlib.suppress(threading.BrokenBarrierError):
            inside.wait()  # both at once, if nothing holds one of them back
        return new_figure(width=1, height=1)[0]

    threads = [threading.Thread(target=drawn) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(matplotlib.rcParams) == before


def test_sweeps_of_one_process_each_have_their_own_environment(elsewhere, monkeypatch):
    """The server that jobs are forked from is born with the first."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = process()
    for number, jobs in enumerate((2, 1)):
        monkeypatch.setenv("DLRUN_PLUGINS", str(elsewhere / f"own{number}.py"))
        (elsewhere / f"own{number}.py").write_text(
            "import torch\nfrom dlrun.models import MODELS\n"
            f"@MODELS.register('own{number}')\n"
            "class Own(torch.nn.Linear):\n"
            "    accepts = ('features',)\n"
            "    def __init__(self, *, in_features: int, out_features: int):\n"
            "        super().__init__(in_features, out_features)\n"
        )
        sweep = dlrun.sweep(f"model=own{number}", "data=iris", "trainer.epochs=1", "logger=none", sweep={"jobs": jobs})
        assert sweep.state == "done"
        from dlrun.sweep.driver import cores

        (run,) = sweep.runs
        summary = (run.path / "summary.json").read_text()
        assert f'"threads": {max(1, cores() // jobs)}' in summary
    monkeypatch.undo()
    del before["environment"], before["folder"]
    assert {key: value for key, value in process().items() if key in before} == before
