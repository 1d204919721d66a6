"""dlrun in Python: what a call gives is what the command leaves."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from plugged_in import plugged_in
from stored_runs import write_run
from tiny import TINY
from torch import nn

import dlrun
from dlrun.config.registry import registries
from dlrun.errors import RunError, UserError
from dlrun.models import MODELS
from dlrun.store import runs

QUICK = [*TINY, "logger=none", "trainer.epochs=1"]
DATA = [word for word in QUICK if not word.startswith("model")]
GUIDE = pathlib.Path(__file__).parents[2] / "docs/python.md"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder of its own, and registries that are afterwards as they were."""
    monkeypatch.chdir(tmp_path)
    with plugged_in(tmp_path / "plug_in.py", ""):
        yield tmp_path


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    home = tmp_path_factory.mktemp("digits")
    words = ["model=mlp", "model.hidden_sizes=[16]", "data=digits", "optimizer.lr=0.01", "logger.tensorboard=false"]
    return dlrun.train(*words, trainer={"epochs": 2}, folder=home / "run")


class Narrow(nn.Module):
    """One narrow hidden layer."""

    accepts = ("features",)

    def __init__(self, *, in_features: int, width: int = 4, out_features: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, out_features))

    def forward(self, x):
        return self.layers(x)


def in_new_process(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- words


def test_import_needs_neither_torch_nor_pandas_and_each_name_is_there():
    code = (
        "import sys, dlrun; known = dir(dlrun); heavy = {'torch', 'pandas', 'hydra'} & set(sys.modules); "
        "assert not heavy, heavy; dlrun.models.list(); assert 'torch' not in sys.modules; "
        "print(*(name for name in known if not name.startswith('_')))"
    )
    assert {"train", "sweep", "load", "load_model", "build", "compare", "models", "errors"} <= set(
        in_new_process(code).split()
    )
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        dlrun.trian  # noqa: B018


def test_sweep_is_the_function_also_where_its_package_is_imported():
    from dlrun.sweep import start

    assert callable(dlrun.sweep)
    assert start.start is not None


def test_keywords_are_words_of_the_command_line():
    from dlrun.api import _as_words

    assert _as_words(
        {
            "seed": np.int64(3), "model": {"name": "mlp", "hidden_sizes": (8, 4)}, "folder": pathlib.Path("a b"),
            "trainer": {"patience": None, "shuffle": True}, "optimizer": {"lr": np.float64(0.5)}, "freeze": ["a", "b"],
        }
    ) == [
        "seed=3", "model=mlp", "model.hidden_sizes=[8,4]", "folder=a b", "trainer.patience=null",
        "trainer.shuffle=true", "optimizer.lr=0.5", 'freeze=["a","b"]',
    ]  # fmt: skip
    swept = {"seed": [0, 1], "model": ["mlp", "cnn"], "data": {"x": [[1, 2], (3,)]}, "sweep": {"jobs": 2}}
    assert _as_words(swept, lists_values=True) == ["seed=0,1", "model=mlp,cnn", "data.x=[1,2],[3]", "sweep.jobs=2"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model": "resnt"}, "model: no option 'resnt'; did you mean resnet?"),
        ({"trainer": {"epoch": 1}}, "trainer.epoch: unknown key; did you mean epochs?"),
        ({"optimizer": {"lr": object()}}, "optimizer.lr: 'object' is no value of a config"),
        ({"model": nn.Linear(2, 2)}, "model: 'Linear' is no value of a config; give a name, or a class"),
        ({"model": lambda: None}, "model: 'function' is no value of a config; give a name, or a class"),
        ({"epochs": 3}, "epochs: unknown key; it is a key of trainer: trainer.epochs"),
        ({"model": "cnn", "data": "iris"}, "model=cnn data=iris: model and data do not fit"),
        ({"seed": [0, 1]}, "seed: must be an integer, found [0, 1]"),
        ({"trainer": {"epochs": float("nan")}}, "trainer.epochs: must be an integer"),
    ],
)
def test_a_mistake_is_the_line_of_the_command(keys, message, elsewhere, capsys):
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        dlrun.train(**({"data": "digits"} | keys))
    assert sorted(elsewhere.rglob("*")) == before
    assert capsys.readouterr() == ("", "")


def test_a_line_of_words_is_no_word():
    with pytest.raises(UserError, match="give each word by itself: 'model=mlp', 'data=digits'"):
        dlrun.train("model=mlp data=digits")
    with pytest.raises(UserError, match=r"^3: a word is a text such as 'model=mlp'"):
        dlrun.sweep(3)  # pyright: ignore[reportArgumentType]


def test_a_long_mistake_is_as_short_as_the_command_prints_it():
    with pytest.raises(UserError) as caught:
        dlrun.train("model=mlp", data={"name": "csv", "path": "a" * 400, "target": "y"})
    assert len(str(caught.value)) == 300


def test_a_run_that_cannot_go_on_is_an_exception_and_leaves_what_it_had(elsewhere):
    with plugged_in(elsewhere / "own.py"), pytest.raises(RunError, match="the loss is not a finite number at step 1"):
        dlrun.train("model=mine", "model.nan_step=1", "data=table", folder="run", logger="none")
    assert dlrun.load("run").state == "failed"


# ---- a run


def test_a_run_is_what_stands_in_its_folder(digits):
    stored = runs.open_run(digits.path)
    assert digits.path.is_absolute() and digits.state == "done"
    assert digits.metrics == stored.metrics and digits.metrics["test/accuracy"] > 0.5
    assert digits.value == digits.metrics["val/accuracy"]
    assert list(digits.history["epoch"]) == [1, 2]
    assert digits.history.to_dict("records") == stored.history()
    assert digits.config["optimizer"]["lr"] == 0.01
    assert {"confusion_matrix", "learning_curves"} <= set(digits.plots)
    assert digits.plots["confusion_matrix"]._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(KeyError, match="there are predictions, "):
        digits.plots["confusion"]
    assert digits.evaluate("val")["val/accuracy"] == pytest.approx(digits.value)
    again = dlrun.load(digits.path)
    assert isinstance(again, dlrun.Run) and again.metrics == digits.metrics
    assert "done, val/accuracy" in repr(again)


def test_the_command_and_the_call_leave_the_same(elsewhere, cli):
    own = dlrun.train(*QUICK, seed=5, folder="own")
    cli(*QUICK, "seed=5", "folder=other", check=0)
    for name in ("metrics.csv", "predictions.csv"):
        assert (own.path / name).read_bytes() == (elsewhere / "other" / name).read_bytes()


def test_what_is_printed_of_a_call_names_no_command(elsewhere, capsys):
    dlrun.train(*QUICK)
    assert "dlrun " not in capsys.readouterr().out


def test_a_run_ends_where_it_began_wherever_the_program_goes(elsewhere):
    """Another thread may change the working directory."""
    run = dlrun.train(*DATA, model=Wanderer)
    assert run.path.parent.parent.parent == elsewhere
    assert run.state == "done"


class Wanderer(Narrow):
    def forward(self, x):
        if self.training:
            os.chdir(pathlib.Path(__file__).parent)
        return super().forward(x)


def test_folders_that_are_nothing_are_one_line(elsewhere):
    with pytest.raises(UserError, match="is not the folder of a run"):
        dlrun.load("nowhere")
    with pytest.raises(UserError, match="no run has come to its end"):
        _ = dlrun.compare(write_run(elsewhere / "a", state="interrupted")).best


# ---- predictions and weights


def test_arrays_of_any_usual_form_are_the_same_images(digits):
    images = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    expected = digits.predict(images.numpy())
    assert list(expected.columns[:2]) == ["predicted", "probability"] and len(expected) == 3
    np.testing.assert_allclose(expected.iloc[:, 2:].sum(axis=1), 1, atol=1e-6)
    for same in (
        images,
        images[:, 0],
        images.movedim(1, -1),
        images.numpy() / 255,
        images[:, 0].tolist(),
        images.int(),
    ):
        pd.testing.assert_frame_equal(digits.predict(same), expected)
    for one in (images[0], images[0, 0], images[0].movedim(0, -1)):
        pd.testing.assert_frame_equal(digits.predict(one), expected[:1])


def test_an_image_of_another_size_is_resized_as_its_file_is(digits, elsewhere):
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    Image.fromarray(image).save(elsewhere / "one.png")
    expected = digits.predict(elsewhere / "one.png")
    assert list(expected.index) == [str(elsewhere / "one.png")]
    np.testing.assert_array_equal(digits.predict(image).to_numpy(), expected.to_numpy())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.full((1, 28, 28), 16.0), "values in 0..1 if they are floats, else in 0..255; found 16 to 16 in float64"),
        (np.full((1, 28, 28), 300), "found 300 to 300 in int64"),
        (np.zeros((2, 2, 28, 28)), "1 channel, as its first or last axis"),
        (np.full((28, 28), np.nan), "missing or infinite"),
        ("no.png", "no file or folder no.png"),
        ([[1], [1, 2]], "cannot be read as an array"),
        (np.array(["a"]), "cannot be read as an array"),
    ],
)
def test_what_is_no_image_is_one_line(digits, given, message):
    with pytest.raises(UserError, match=re.escape(message)):
        digits.predict(given)


def test_predicting_twice_is_equal_also_of_a_model_with_dropout(elsewhere):
    run = dlrun.train(*QUICK, model={"dropout": 0.5})
    images = np.random.default_rng(0).random((2, 28, 28))
    assert run.model.training is False
    first = run.predict(images)
    run.model.train()
    pd.testing.assert_frame_equal(run.predict(images), first)
    assert run.model.training, "a model that somebody trains goes on training"


def test_the_model_is_ready_to_call(digits):
    images = torch.randint(0, 256, (3, 28, 28), dtype=torch.uint8)
    model = dlrun.load_model(digits.path)
    assert isinstance(model, nn.Module) and not model.training
    assert model.class_names == tuple("0123456789") and model.spec.out_features == 10
    logits = model(images)
    torch.testing.assert_close(logits, model.network(*model.preprocess(images)))
    predicted = [model.class_names[k] for k in logits.argmax(dim=1)]
    assert predicted == list(digits.predict(images)["predicted"])
    assert model.network.state_dict().keys() == digits.model.state_dict().keys()
    logits.sum().backward()  # gradients are there
    assert next(model.network.parameters()).grad is not None


def test_a_table_is_read_as_its_file_would_be(elsewhere, capsys):
    random = np.random.default_rng(0)
    colour = random.choice(["red", "blue", "NA"], 80)
    table = pd.DataFrame({"a": random.normal(size=80), "colour": colour, "y": random.choice(["yes", "no"], 80)})
    table.to_csv("t.csv", index=False)
    keys = {"path": "t.csv", "target": "y", "missing": "mean", "categorical": ("colour",)}
    run = dlrun.train("model=mlp", data={"name": "csv", **keys}, trainer={"epochs": 1}, logger="none")
    new = table.drop(columns="y").iloc[::-1]
    new.to_csv("new.csv", index=False)
    by_file, by_frame = run.predict("new.csv"), run.predict(new)
    np.testing.assert_array_equal(by_file.to_numpy(), by_frame.to_numpy())
    assert list(by_frame.index) == list(new.index)
    np.testing.assert_array_equal(run.predict(new[["colour", "a"]]).to_numpy(), by_file.to_numpy())
    with pytest.raises(UserError, match="DataFrame: has no column 'a'"):
        run.predict(new[["colour"]])
    with pytest.raises(UserError, match="hold texts; give a DataFrame with 'a', 'colour'"):
        run.predict(np.zeros((2, 3)))
    assert set(by_file.columns) == {"predicted", "probability", "probability no", "probability yes"}


def test_rows_of_numbers_and_values(elsewhere):
    run = dlrun.train("model=mlp", "data=diabetes", trainer={"epochs": 1}, logger="none")
    rows = np.zeros((2, 10))
    answer = run.predict(rows)
    assert answer.shape == (2, 1) and answer.dtypes.iloc[0] == np.float64
    assert run.predict(rows[0]).iloc[0, 0] == pytest.approx(answer.iloc[0, 0])
    with pytest.raises(UserError, match="a row of this run has 10 numbers"):
        run.predict(np.zeros((2, 4)))


def test_texts(elsewhere):
    run = dlrun.train("model=gru", "model.hidden_size=4", "data=names", *["trainer=smoke", "logger=none"])
    both = run.predict(["Satoshi", "Kowalski"])
    assert list(both.index) == ["Satoshi", "Kowalski"]
    alone = run.predict("Satoshi")
    assert alone["predicted"].iloc[0] == both["predicted"].iloc[0]
    np.testing.assert_allclose(alone.iloc[0, 1:].astype(float), both.iloc[0, 1:].astype(float), atol=1e-6)
    frame = pd.DataFrame({"name": ["Satoshi", "Kowalski"]}, index=[7, 9])
    assert list(run.predict(frame).index) == [7, 9]
    with pytest.raises(UserError, match="write: is for a run that has learned to write"):
        run.write("The ")


def test_a_text_goes_on(elsewhere):
    run = dlrun.train("model=gru", "model.hidden_size=4", "data=text", "trainer=smoke", "logger=none")
    assert run.write("The ", 12, seed=3) == run.write("The ", 12, seed=3)
    assert run.write("The ", 12).startswith("The ")
    with pytest.raises(UserError, match="this run writes text"):
        run.predict("The ")


def test_places_in_arrays(elsewhere):
    data = {"name": "shapes", "num_train": 8, "num_val": 2, "num_test": 2}
    run = dlrun.train("model=yolo", "trainer=smoke", "logger=none", data=data)
    size = run.trained_model().spec.image_size
    answer = run.predict(np.zeros((2, *size, 3), dtype=np.uint8), score=0.0)
    assert len(answer) == 2 and "objects" in answer
    with pytest.raises(UserError, match="places are looked for in arrays of"):
        run.predict(np.zeros((3, 17, 19), dtype=np.uint8))


# ---- models


def test_build_gives_what_a_run_begins_with_and_reads_no_data(elsewhere, monkeypatch):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    model = dlrun.build("resnet", data="cifar10", seed=3)
    assert type(model) is MODELS.get("resnet")
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    for same, other in zip(model.parameters(), dlrun.build("resnet", data="cifar10", seed=3).parameters(), strict=True):
        assert torch.equal(same, other)
    own = dlrun.build({"name": Narrow, "width": 2}, data="digits")
    assert own.layers[0].out_features == 2
    assert list(elsewhere.rglob("*")) == [elsewhere / "plug_in.py"]


def test_models_are_listed():
    assert dlrun.models.list() == registries()["model"].names()


def test_a_class_of_the_program_trains_and_is_given_back(elsewhere):
    run = dlrun.train(*DATA, model=Narrow)
    assert isinstance(run.model, Narrow) and run.config["model"]["name"] == "Narrow"
    code = (
        "import dlrun\n"
        f"run = dlrun.load({str(run.path)!r})\n"
        "assert run.metrics and run._repr_html_()\n"
        "try: run.model\n"
        "except dlrun.errors.UserError as error: print(error)\n"
    )
    told = in_new_process(code)
    assert f"{run.path}: was trained with model=Narrow, which is not known here" in told
    assert "dlrun.load(FOLDER, model=CLASS)" in told
    del MODELS._targets["Narrow"]
    again = dlrun.load(run.path, model=Narrow)
    assert isinstance(again, dlrun.Run)
    assert again.evaluate() == pytest.approx({k: v for k, v in run.metrics.items() if k.startswith("test/")})
    with pytest.raises(UserError, match="modl: is no group; a class is given for model, data"):
        dlrun.load(run.path, modl=Narrow)


def test_a_decorator_gives_a_model_a_name(elsewhere):
    dlrun.models.register("narrow")(Narrow)
    assert "narrow" in dlrun.models.list()
    assert dlrun.build("narrow", "model.width=3", data="digits").layers[0].out_features == 3


# ---- several runs


def test_a_grid_in_python_is_a_sweep(elsewhere):
    sweep = dlrun.sweep(*QUICK, seed=[0, 1], sweep={"folder": "s", "jobs": 2})
    assert sweep.path == elsewhere / "s" and sweep.state == "done" and len(sweep) == 2
    values = [run.value for run in sweep]
    assert values == sorted(values, reverse=True) and sweep.best.value == values[0]
    assert set(sweep.table["seed"]) == {"0", "1"} and list(sweep.over_seeds["n"]) == [2]
    assert isinstance(dlrun.load("s"), dlrun.Sweep)
    alone = dlrun.train(*QUICK, seed=1, folder="alone")
    job = next(run for run in sweep if run.config["seed"] == 1)
    assert (alone.path / "metrics.csv").read_bytes() == (job.path / "metrics.csv").read_bytes()
    assert len(dlrun.compare(alone, sweep)) == 3
    with pytest.raises(UserError, match="is a sweep; load the model of one run, such as "):
        dlrun.load_model("s")
    page = sweep._repr_html_()
    assert "2 runs (2 done)" in page and "Over seeds" not in page and page.count("<table>") == 2


def test_a_sweep_of_a_class_of_the_program_is_refused_before_anything_is_written(elsewhere):
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(UserError, match="model=Narrow: was defined in this program or notebook"):
        dlrun.sweep(model=Narrow, data="digits", seed=[0, 1])
    assert sorted(elsewhere.rglob("*")) == before


def test_a_script_without_a_guard_can_sweep(elsewhere):
    """A job does not import the script that started it."""
    words = json.dumps([*QUICK, "sweep.folder=s"])
    (elsewhere / "script.py").write_text(
        f"print('once')\nimport dlrun\nprint(dlrun.sweep(*{words}, seed=[0, 1]).state)\n"
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("once") == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "done"


# ---- how it shows itself


def test_a_run_shows_itself_and_everything_is_escaped(elsewhere, digits):
    page = digits._repr_html_()
    assert page.count("data:image/png;base64,") == 3 and "test" in page and "per_class_accuracy" in page
    path = elsewhere / "<script>alert(1)"
    write_run(path, state="interrupted", values=(0.1, 0.2), error="<img src=x onerror=alert(1)>")
    own = dlrun.load(path)._repr_html_()
    assert "<script" not in own and "onerror=alert(1)>" not in own and "&lt;script&gt;" in own
    assert own.count("data:image/png;base64,") == 1, "an interrupted run has a curve, and no pictures yet"
    assert "<script" not in dlrun.compare(path)._repr_html_()


def test_a_link_among_the_pictures_is_not_shown(elsewhere):
    (elsewhere / "secret").write_text("secret")
    run = dlrun.load(write_run(elsewhere / "run"))
    (run.path / "plots").mkdir()
    (run.path / "plots/link.png").symlink_to(elsewhere / "secret")
    assert list(run.plots) == [] and "c2VjcmV0" not in run._repr_html_()


# ---- interrupts


def interrupt_at(monkeypatch, step):
    """SIGINT comes in the middle of a training step."""
    from dlrun.engine.step import Step

    original, seen = Step.__call__, []

    def pressed(self, *args, **kwargs):
        seen.append(1)
        if len(seen) == step:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Step, "__call__", pressed)


def test_an_interrupt_at_a_prompt_gives_a_run_that_can_be_resumed(elsewhere, monkeypatch, capsys):
    words = [*QUICK, "trainer.epochs=3", "trainer.batch_size=16"]
    whole = dlrun.train(*words, folder="whole")
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        interrupt_at(patch, step=8)
        run = dlrun.train(*words, folder="run")
    assert run.state == "interrupted" and signal.getsignal(signal.SIGINT) is handler
    assert f"interrupted; go on with: dlrun.load('{run.path}').resume()" in capsys.readouterr().err
    assert run.resume().state == "done" == run.state
    assert run.metrics == whole.metrics
    assert (run.path / "metrics.csv").read_bytes() == (whole.path / "metrics.csv").read_bytes()


def test_an_interrupt_of_a_program_is_raised_with_the_folder(elsewhere, monkeypatch):
    monkeypatch.delattr(sys, "ps1", raising=False)
    interrupt_at(monkeypatch, step=2)
    with pytest.raises(KeyboardInterrupt) as caught:
        dlrun.train(*QUICK, "trainer.batch_size=16")
    assert dlrun.load(caught.value.path).state == "interrupted"


def test_a_second_interrupt_ends_the_run_and_not_the_program(elsewhere, monkeypatch):
    from dlrun.engine.step import Step

    def pressed(self, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Step, "__call__", pressed)
    with pytest.raises(KeyboardInterrupt):
        dlrun.train(*QUICK, folder="run")
    assert dlrun.load("run").state == "interrupted"


def test_an_interrupt_of_a_sweep_is_answered_alike(elsewhere, monkeypatch):
    from dlrun.sweep.driver import Driver

    with monkeypatch.context() as patch:
        patch.setattr(Driver, "drive", lambda self: signal.SIGINT)
        patch.setattr(sys, "ps1", ">>> ", raising=False)
        sweep = dlrun.sweep(*QUICK, seed=[0], sweep={"folder": "s"})
        assert isinstance(sweep, dlrun.Sweep) and sweep.state == "interrupted"
        patch.delattr(sys, "ps1")
        with pytest.raises(KeyboardInterrupt) as caught:
            sweep.resume()
        assert caught.value.path == sweep.path == elsewhere / "s"
    assert sweep.resume().state == "done"


def test_nothing_else_starts_in_a_cell_that_was_interrupted(elsewhere, monkeypatch):
    import dlrun.api
    from dlrun.terminal import notebook

    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    monkeypatch.setattr(notebook, "cell", lambda: 4)
    with monkeypatch.context() as patch:
        interrupt_at(patch, step=1)
        with pytest.raises(KeyboardInterrupt, match="this cell was interrupted"):
            [dlrun.train(*QUICK, folder=f"run{seed}", seed=seed) for seed in range(3)]
    assert [path.name for path in elsewhere.glob("run*")] == ["run0"]
    monkeypatch.setattr(notebook, "cell", lambda: 5)
    assert dlrun.train(*QUICK, folder="next").state == "done"


# ---- the guide


def test_the_guide_is_true(elsewhere, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
    assert len(blocks) >= 5
    names: dict = {"__name__": "guide"}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
    assert names["own"].state == names["run"].state == "done"
    assert names["logits"].shape == (3, 10)
    assert names["weights"] and len(names["both"]) == 3


def test_the_words_of_the_guide_are_known():
    text = GUIDE.read_text()
    for name in re.findall(r"dlrun\.(\w+)\(", text):
        assert hasattr(dlrun, name), name
    for name in re.findall(r"`run\.(\w+)", text):
        assert hasattr(dlrun.Run, name), name
