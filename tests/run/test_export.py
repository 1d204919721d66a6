"""A run as a file for other programs: it answers as the run does, or there is none."""

import dataclasses
import io
import json
import pathlib
import random
import subprocess
import sys

import pytest
import torch
from torch import nn

from dlrun.errors import RunError, UserError
from dlrun.models.parts.detector import Detections
from dlrun.run import export, stored, trained
from dlrun.store import runs

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs/export.md"
SMOKE = ["trainer=smoke", "logger=none", "device=cpu", "trainer.batch_size=8"]
RUNS = {
    "flowers": "model=mlp data=iris trainer.epochs=20 optimizer.lr=0.05 trainer.limit_batches=null",
    "people": "model=mlp data=csv data.path=people.csv data.target=income model.dropout=0.5 model.batch_norm=true",
    "images": "model=cnn data=synthetic data.num_train=32 data.num_val=8 data.num_test=8",
    "rows": "model=tcn data=digits model.num_layers=2 model.hidden_size=4",
    "gru": "model=gru data=adding data.seq_len=6 data.num_train=32 model.hidden_size=4 model.num_layers=1",
    "transformer": "model=transformer data=names model.d_model=8 model.num_heads=2 model.num_layers=1",
    "mamba": "model=mamba data=adding model.d_model=4 model.num_layers=1 data.seq_len=6 data.num_train=32",
    "graph": "model=gcn data=karate",
    "boxes": "model=yolo data=shapes model.channels=[4,8,8] model.score_threshold=0.001 data.num_train=16",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture
def run(home, monkeypatch):
    """`run("flowers")`: (what was trained, its config, its folder); trained when it is first asked for."""
    from dlrun.cli import main

    monkeypatch.chdir(home)

    def call(name):
        if not (home / "people.csv").exists():
            draw = random.Random(0)
            rows = [f"{draw.choice('ab')},{draw.randint(1, 9)},{draw.randint(1000, 90_000)}" for _ in range(40)]
            (home / "people.csv").write_text("\n".join(["city,rooms,income", *rows]) + "\n")
        if not (home / name).exists():
            assert main.main([*SMOKE, *RUNS[name].split(), f"folder={name}"]) == 0
        found = runs.open_run(name)
        config = stored.config_of(found, [], on_cpu=True)
        return trained.load(config, found.path, with_data=False), config, found.path

    return call


def session(path):
    import onnxruntime

    made = onnxruntime.InferenceSession(path.read_bytes())
    return made, json.loads(made.get_modelmeta().custom_metadata_map["dlrun"])


@pytest.mark.parametrize(
    ("form", "name"),
    [
        *(("onnx", name) for name in ("flowers", "people", "images", "rows", "transformer", "gru", "mamba")),
        *(("torch_export", name) for name in ("people", "images", "transformer")),
    ],
)
def test_raw_examples_get_the_answers_of_the_run_in_batches_of_any_size(run, tmp_path, name, form):
    found, config, folder = run(name)
    made = export.export(found, config, folder, form, tmp_path / "file")
    assert made.difference <= export.LARGEST
    raw = export._examples(found)
    if form == "onnx":
        loaded, about = session(made.path)
        answer = lambda *values: map(  # noqa: E731
            torch.from_numpy, loaded.run(None, {k: v.numpy() for k, v in zip(about["inputs"], values, strict=True)})
        )
    else:
        answer = torch.export.load(made.path).module()
    for size in (1, 2, 5, 7):
        batch = tuple(value[torch.arange(size) % len(value)] for value in raw)
        (output,) = answer(*batch)
        ours = found.outputs(batch)
        if found.spec.target == "value":
            ours = found.task.predict(ours)
        torch.testing.assert_close(output, ours, rtol=1e-4, atol=1e-4 * ours.abs().max().item())


@pytest.mark.parametrize("name", ["flowers", "gru", "graph", "boxes"])
@pytest.mark.parametrize("form", export.WEIGHTS)
def test_weights_alone_are_the_same_bits_for_every_family(run, tmp_path, name, form):
    found, config, folder = run(name)
    content = export.export(found, config, folder, form, tmp_path / "file").path.read_bytes()
    tensors = export.load(content) if form == "safetensors" else torch.load(io.BytesIO(content), weights_only=True)
    ours = found.model.state_dict()
    assert tensors.keys() == ours.keys() and all(torch.equal(tensors[key], ours[key]) for key in ours)


def test_a_detector_takes_one_image_and_gives_its_boxes(run, tmp_path):
    found, config, folder = run("boxes")
    made = export.export(found, config, folder, "onnx", tmp_path / "file.onnx")
    loaded, about = session(made.path)
    (raw,) = export._examples(found)
    (boxes,) = loaded.run(None, {"image": raw[:1].numpy()})
    assert about["batch"] == 1 and boxes.shape[1] == 6 and len(boxes)
    ours = found.outputs((raw[:1],)).boxes[0]
    # Boxes of nearly the same score may change places.
    assert len(boxes) == len(ours) and torch.cdist(ours, torch.from_numpy(boxes), p=float("inf")).amin(1).max() < 1e-3


class Tied(nn.Module):
    """Of two boxes whose scores are the same but for rounding it keeps one."""

    def forward(self, images):
        first = images.double().mean() > 0.5
        return Detections([torch.tensor([[1.0, 1, 20 if first else 40, 20, 0.5, 0]])])


def test_an_example_whose_answer_is_a_matter_of_rounding_tells_nothing(run):
    found, _, _ = run("boxes")
    for value, is_undecided in ((0.5, True), (0.6, False)):
        tied = dataclasses.replace(found, model=Tied(), prepare=lambda raw: raw)
        raw = (torch.full((1, 3, 9, 9), value),)
        expected = export._tensors(tied, tied.outputs(raw))
        assert export._is_undecided(tied, raw, expected) is is_undecided
        other = (expected[0] * torch.tensor([1, 1, 3, 1, 1, 1]),)
        difference, compared = export._difference(tied, lambda _, other=other: other, raw, {"batch": 1, "steps": None})
        assert compared == (0 if is_undecided else 6) and (difference == 0) is is_undecided


def test_a_detector_that_finds_nothing_is_not_said_to_be_compared(run, tmp_path):
    found, config, folder = run("boxes")
    found.model.suppression["score_threshold"] = 1.0
    made = export.export(found, config, folder, "onnx", tmp_path / "file.onnx")
    assert (made.compared, made.difference) == (0, 0.0)


@pytest.mark.parametrize(("name", "form"), [("graph", "onnx"), ("graph", "torch_export"), ("boxes", "torch_export")])
def test_what_a_format_cannot_hold_is_one_line_that_names_those_that_work(run, tmp_path, name, form):
    with pytest.raises(UserError, match=r"^export: model=.* formats that work: safetensors, state_dict$") as error:
        export.export(*run(name), form, tmp_path / "file")
    assert "\n" not in str(error.value) and len(str(error.value)) <= 300 and not list(tmp_path.iterdir())


def test_names_units_and_preprocessing_stand_in_the_metadata(run, tmp_path):
    _, about = session(export.export(*run("flowers"), "onnx", tmp_path / "file").path)
    assert about["class_names"] == ["setosa", "versicolor", "virginica"] and len(about["feature_names"]) == 4
    assert about["inputs"] == {"features": {"dtype": "float32", "shape": [4]}} and about["preprocessing_is_inside"]
    _, about = session(export.export(*run("people"), "onnx", tmp_path / "file").path)
    assert "units of the target" in about["meaning"] and len(about["preprocessing"]["target_mean"]) == 1
    assert about["feature_names"] == ["city=a", "city=b", "rooms"]
    made = export.export(*run("images"), "safetensors", tmp_path / "file")
    assert not made.about["preprocessing_is_inside"] and made.about["preprocessing"]["scale"] == "x / 255"


def test_weights_that_two_names_share_are_found_under_both():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    for form in export.WEIGHTS:
        content = export._weights(model, {}, form)
        tensors = export.load(content) if form == "safetensors" else torch.load(io.BytesIO(content), weights_only=True)
        nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).load_state_dict(tensors, strict=True)
        assert torch.equal(tensors["0.weight"], tensors["1.weight"])


@pytest.mark.parametrize("largest", [-1.0, float("nan")])
def test_a_difference_is_an_error_and_leaves_no_file(run, tmp_path, monkeypatch, largest):
    monkeypatch.setattr(export, "LARGEST", largest)
    with pytest.raises(RunError, match="nothing was written"):
        export.export(*run("flowers"), "safetensors", tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_one_line_with_what_to_install(run, monkeypatch):
    monkeypatch.setattr(export, "PACKAGES", ("no_such_package",))
    with pytest.raises(UserError, match=r"needs no_such_package; pip install 'dlrun\[export\]'"):
        export.export(*run("flowers"), "onnx")


@pytest.mark.parametrize("form", export.FORMATS)
def test_an_earlier_export_is_replaced_and_nothing_else_unless_it_is_named(run, tmp_path, form):
    found, config, folder = run("flowers")
    path = export.export(found, config, folder, form).path
    assert path.parent == folder / "exports" and export._is_export(path)
    assert export.export(found, config, folder, form).path == path
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match="no earlier export"):
        export.export(found, config, folder, form)
    assert path.read_bytes() == b"mine"
    if form in export.WEIGHTS:
        export.export(found, config, folder, form, path)
        assert export._is_export(path)
    else:
        path.unlink()


def test_nothing_is_written_through_a_link_or_into_a_folder(run, tmp_path):
    found, config, folder = run("flowers")
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    export.export(found, config, folder, "safetensors", tmp_path / "link")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "link").is_symlink()
    with pytest.raises(UserError, match="is a folder"):
        export.export(found, config, folder, "safetensors", tmp_path)
    with pytest.raises(UserError, match="there is no folder"):
        export.export(found, config, folder, "safetensors", tmp_path / "a/b")


def test_images_whose_files_are_gone_are_made_up(run, tmp_path, monkeypatch):
    found, config, folder = run("images")

    def gone():
        raise UserError("no folder photos")

    monkeypatch.setattr(found.dataset, "load", gone)
    assert export.export(found, config, folder, "safetensors", tmp_path / "file").difference < 1e-6
    found, config, folder = run("gru")
    monkeypatch.setattr(found.dataset, "load", gone)
    with pytest.raises(UserError, match="no examples to check with: no folder photos"):
        export.export(found, config, folder, "safetensors", tmp_path / "file")


@pytest.mark.parametrize(
    ("form", "blocked"),
    [("onnx", ["dlrun", "torch"]), ("torch_export", ["dlrun"]), ("safetensors", ["dlrun"]), ("state_dict", ["dlrun"])],
)
def test_the_examples_of_the_guide_load_each_format_without_dlrun(run, form, blocked):
    found, config, folder = run("flowers")
    path = export.export(found, config, folder, form).path
    (block,) = [part.partition("```")[0] for part in DOCS.read_text().split("```python\n") if f"load_{form}.py" in part]
    code = f"import sys; sys.modules |= dict.fromkeys({blocked}); exec(sys.stdin.read())"
    done = subprocess.run(
        [sys.executable, "-c", code], input=block, cwd=path.parent, capture_output=True, text=True, env={}
    )
    assert done.returncode == 0, done.stderr
    said = "weights" if form == "state_dict" else "['setosa', 'virginica']"
    assert said in done.stdout
