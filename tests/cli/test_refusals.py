"""Data, devices, folders, plug-ins and runs that cannot be used: one line, before a run has a folder."""

import io
import pathlib

import pytest
from PIL import Image
from plugged_in import plugged_in

from dlrun.cli import main

TINY = ["data=synthetic", "data.image_size=4", "model=mlp", "model.hidden_sizes=[]", "trainer.epochs=1", "logger=none"]


# ---- errors of data, device and folder: found before a run has a folder


def image_tree(root, *names):
    """A JPEG for each of `names` (`class/file`); a name that ends in / is an empty folder."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    for name in names:
        path = pathlib.Path(root, name)
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(buffer.getvalue())
    return f"data.root={root}"


def test_mnist_without_a_net_says_what_to_do(refused, tmp_path):
    line = refused("data=mnist")
    assert "train-images-idx3-ubyte.gz" in line
    assert str(tmp_path / "data/MNIST/raw") in line
    assert "data=digits" in line


def test_an_empty_class_folder(refused):
    root = image_tree("photos", *[f"{label}/{n}.jpg" for label in "ab" for n in range(4)], "c/")
    assert refused("data=imagefolder", root).startswith("data.root: class folder photos/c has no images")


def test_a_truncated_image_is_named_before_training(refused):
    root = image_tree("photos", *[f"{label}/{n}.jpg" for label in "ab" for n in range(9)])
    broken = pathlib.Path("photos/a/3.jpg")
    broken.write_bytes(broken.read_bytes()[:200])
    assert "photos/a/3.jpg: cannot be decoded" in refused("data=imagefolder", root)


def test_a_class_of_val_that_train_does_not_have(refused):
    names = [f"train/{label}/{n}.jpg" for label in "ab" for n in range(4)]
    line = refused("data=imagefolder", image_tree("photos", *names, "val/z/0.jpg"))
    assert line.startswith("data.root: photos/val has the class z, unknown to train")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model=cnn", "data=digits", "augment.crop=20"], "model=cnn: cannot take an input of shape (1, 20, 20)"),
        (
            ["model=localizer", "data=shapes", "augment.crop=32"],
            "model=localizer: cannot take an input of shape (3, 32",
        ),
        (
            ["model=keypoint_net", "model.backbone=mobilenet_v2", "data=shapes", "augment.crop=48"],
            "model=keypoint_net: learns points as shares of images of 64x64, and is given 48x48",
        ),
    ],
)
def test_windows_of_another_size_than_the_model_is_made_for(refused, words, says):
    small = ["data.num_train=4", "data.num_val=0", "data.num_test=0"] if "data=shapes" in words else []
    assert refused(*words, *small, "augment=geometric").startswith(says)


@pytest.mark.parametrize("model", ["mobilenet_v2", "torchvision"])
def test_an_image_of_one_pixel(refused, model):
    line = refused(f"model={model}", "data=synthetic", "data.image_size=1")
    assert line == f"model={model}: convolves images, and of 1x1 pixel there is nothing to convolve; take larger ones"


def test_a_batch_larger_than_the_data(refused):
    line = refused(*TINY, "data.num_train=10", "trainer.batch_size=11", "trainer.drop_last=true")
    assert line.startswith(
        "trainer.batch_size: 11 is more than the 10 training examples, and drop_last leaves no batch"
    )


@pytest.mark.parametrize(
    "word", ["outputs=/proc/x", "outputs=file/x", "folder=file/x", "folder=file", "outputs=" + "x" * 300]
)
def test_a_folder_that_cannot_be_made(refused, tmp_path, word):
    (tmp_path / "file").write_text("")
    assert "choose another" in refused(*TINY, word)


def test_a_folder_that_is_in_use(refused, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/diary.txt").write_text("")
    line = refused(*TINY, "folder=old")
    assert line == "folder: old is in use; choose another, or go on with it: dlrun resume old"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["device=cuda"], "device: device=cuda index 0: this machine has"),
        (["device=cuda", "device.index=7"], "device: device=cuda index 7: this machine has"),
        (["device=cpu", "device.index=7"], "device: index 7 counts CUDA GPUs, and this run is on cpu"),
        (["device=cpu", "device.precision=fp16"], "device.precision: fp16 does not work on cpu"),
        (["device.precision=fp16"], "device: device.precision=fp16 does not work on cpu: use fp32 or bf16"),
        (["model.out_features=3"], "model.out_features: is 3, data=synthetic has 10; leave it null"),
        (["model.in_features=3"], "model=mlp: cannot take an input of shape (16,)"),
        ([f"model.hidden_sizes=[{10**12}]"], "model=mlp: RuntimeError:"),
        ([f"model.hidden_sizes=[{10**30}]"], "model=mlp: TypeError:"),
        (["trainer.patience=1", "data.num_val=0"], "trainer.patience: there is no val part to watch"),
        (["scheduler=plateau", "data.num_val=0"], "scheduler=plateau: there is no val part to watch"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_this_run_cannot_have(refused, monkeypatch, words, line):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert refused(*TINY, *words).startswith(line)


def test_data_that_do_not_fit_the_model(refused, tmp_path):
    with plugged_in(tmp_path / "plug_in.py"):
        line = refused("model=resnet", "data=table")
    assert line.startswith(
        "model=resnet data=table: model and data do not fit: the model takes image, the data are features"
    )
    assert "digits" in line


# ---- plug-in files


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "DLRUN_PLUGINS: no file"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("def", "cannot be imported: SyntaxError"),
        ("raise ValueError('two\\nlines')", "cannot be imported: ValueError: two lines"),
        (
            "from dlrun.models import MODELS\n@MODELS.register('cnn')\ndef f(): ...",
            "model 'cnn' is already registered",
        ),
        (
            "from dlrun.models import MODELS\n@MODELS.register('odd')\ndef f(*, size=print): ...",
            "model 'odd' (a plug-in): its defaults must be plain",
        ),
    ],
    ids=["missing", "raises", "syntax", "two lines", "taken", "default"],
)
def test_a_plug_in_that_cannot_be_used(refused, tmp_path, text, line):
    path = tmp_path / "plug_in.py"
    with plugged_in(path, text or ""):
        if text is None:
            path.unlink()
        found = refused("seed=1")
        assert line in found
        # The second look is as strict as the first.
        assert refused("seed=1") == found


# ---- verbs on what is no run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["resume"], "resume: which folder?"),
        (["resume", "nowhere"], "nowhere: is not the folder of a run"),
        (["eval", "nowhere"], "nowhere: is not the folder of a run"),
        (["eval"], "eval: give one run"),
        (["report", "nowhere"], "report: no folder nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_verb_on_no_run(refused, words, line):
    assert refused(*words).startswith(line)


def test_a_verb_on_a_run_without_weights(refused, tmp_path, capsys):
    assert main.main([*TINY, "folder=run"]) == 0
    (tmp_path / "run/checkpoints/best.safetensors").unlink()
    (tmp_path / "run/sweep.json").write_text('{"jobs": [{"number": 3}]}')
    capsys.readouterr()
    assert refused("eval", "run").startswith("no usable weights: run/checkpoints/best.safetensors")
    assert refused("resume", "run").startswith("run/sweep.json: cannot be read: words: is missing")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("_target_: os.system", "_target_: a config names registered things and runs no code"),
        ("x: !!python/object/apply:os.system [touch canary]", "could not determine a constructor"),
        ("x: ${oc.env:HOME}", "a config is resolved no further than"),
        ("seed: ${seed}", "seed: must be an integer"),
    ],
)
def test_a_stored_config_of_a_stranger_runs_no_code(refused, tmp_path, capsys, line, reason):
    assert main.main([*TINY, "folder=run"]) == 0
    capsys.readouterr()
    with open(tmp_path / "run/config.yaml", "a") as file:
        file.write(f"{line}\n")
    for verb in ("eval", "resume"):
        assert reason in refused(verb, "run")


def test_a_stored_config_full_of_aliases_is_not_written_out(refused, tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("\n".join(lines))
    assert "stands for more than" in refused("eval", "run")
