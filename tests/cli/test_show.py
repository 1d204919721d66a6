"""`dlrun show`: the layers of a model on a data set without loading it, or what a run has left."""

import math
import re

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stored_runs import write_run, write_sweep
from torch import nn

from dlrun.cli import main
from dlrun.cli.verbs import show
from dlrun.config import check, compose
from dlrun.run import assemble

SHAPES = ["data=shapes", "data.num_train=12", "data.num_val=4", "data.num_test=4"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def layers_of(out):
    lines = out.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("layers"))
    return [line.split("  ") for line in lines[start + 2 : lines.index("", start)]]


def test_the_notes_resnet(capsys, tmp_path):
    assert main.main(["show", "model=resnet", "data=mnist"]) == 0
    out = capsys.readouterr().out
    assert "data    mnist: image -> class, in_channels=1 image_size=[28,28] out_features=10" in out
    assert "classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in out
    assert "filled  from the data: in_channels=1 image_size=[28,28] out_features=10" in out
    assert "watches val/accuracy, highest is best" in out
    rows = [[cell.strip() for cell in row if cell.strip()] for row in layers_of(out)]
    assert rows[0] == ["convs.0", "Conv2d", "16 x 24 x 24", "416"]
    assert rows[1] == ["pool", "MaxPool2d", "16 x 12 x 12"]
    assert rows[-1] == ["fc", "Linear", "10", "5,130"]
    assert sum(row[0] == "pool" for row in rows) == 2
    parameters = sum(int(row[3].replace(",", "")) for row in rows if len(row) == 4)
    assert f"{parameters:,} parameters" in out
    # Output positions x kernel values x output channels, of each convolution and the linear layer.
    products = 24**2 * 25 * 16 + 2 * 12**2 * 16 * 9 * 16 + 8**2 * 16 * 25 * 32 + 2 * 4**2 * 32 * 9 * 32 + 512 * 10
    assert f"{products:,} multiply-adds ({2 * products:,} FLOPs)" in out
    assert out.endswith("train   dlrun model=resnet data=mnist\n")
    assert list(tmp_path.iterdir()) == []


def test_an_image_seen_as_features(capsys):
    assert main.main(["show", "model=mlp", "model.hidden_sizes=[]", "data=synthetic"]) == 0
    out = capsys.readouterr().out
    assert "seen by the model as features -> class, in_features=784 out_features=10" in out
    assert "size    7,850 parameters, 0.03 MiB of weights" in out
    assert "cost    7,840 multiply-adds (15,680 FLOPs)" in out
    assert out.endswith("train   dlrun model=mlp 'model.hidden_sizes=[]' data=synthetic\n")


def test_a_config_folder_of_ones_own(capsys, tmp_path):
    (tmp_path / "mine/model").mkdir(parents=True)
    text = "name: mlp\nin_features: null\nhidden_sizes: [3]\nout_features: null\n"
    (tmp_path / "mine/model/tiny.yaml").write_text(text)
    assert main.main(["show", "model=tiny", "--config-dir", "mine", "data=synthetic"]) == 0
    out = capsys.readouterr().out
    assert f"{784 * 3 + 3 + 3 * 10 + 10:,} parameters" in out
    assert out.endswith("train   dlrun model=tiny --config-dir mine data=synthetic\n")


def test_windows_of_images_are_shown_beside_the_whole(capsys, tmp_path):
    words = ["model=unet", "data=shapes", "data.num_train=9", "augment=geometric", "augment.crop=24", "outputs=shown"]
    assert main.main(["show", *words]) == 0
    assert (tmp_path / "shown/augment-geometric-shapes.png").stat().st_size > 1000


def test_an_augmentation_is_shown_before_and_after(capsys, tmp_path):
    words = ["model=mlp", "data=synthetic", "data.num_train=9", "augment=mixup", "outputs=shown"]
    assert main.main(["show", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("augment mixup: alpha=0.2 probability=1.0")
    picture = tmp_path / "shown/augment-mixup-synthetic.png"
    assert lines[place + 1].split() == ["before", "and", "after:", "shown/augment-mixup-synthetic.png"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [picture]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "words",
    [["model=yolo"], ["model=localizer"], ["model=keypoint_net", "data.kinds=[square]"], ["model=unet"]],
    ids=lambda words: words[0],
)
def test_what_is_known_of_places_is_drawn(words):
    checked = check.parse(compose.tree([*words, *SHAPES, "augment=geometric"], []))
    dataset = assemble.data(checked)
    task = assemble.task(checked, assemble.view(checked, dataset.spec)[0])
    batch = dataset.load()["train"].take(torch.arange(12))
    for images in (batch.inputs[0], batch.inputs[0][:, :1]):
        drawn = task.drawn(images, batch.target)
        assert drawn.shape == (12, 3, 64, 64) and drawn.dtype == torch.uint8
        assert (drawn != images).flatten(1).any(dim=1).sum() >= 8


class Odd(nn.Module):
    """Parameters of its own, attention (whose output layer is used, not called), and a layer without use."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)
        self.unused = nn.Linear(2, 3)
        self.encoder = nn.TransformerEncoderLayer(4, 1, 8, batch_first=True)

    def forward(self, x):
        return self.encoder(self.attention(x, x, x)[0] * self.scale)


def test_layers_that_are_not_called_and_parameters_outside_of_layers():
    model = Odd()
    layers = {module: path for path, module in model.named_modules() if show._computes(module)}
    calls, flops = show._run_once("odd", model, (torch.rand(2, 5, 4),), layers)
    rows = show._layer_rows(calls, layers)
    assert flops > 0
    assert rows[:4] == [
        ("(itself)", "Odd", "5 x 4", "4"),
        ("unused", "Linear", "not called", "9"),
        ("attention", "MultiheadAttention", "5 x 4", "60"),
        ("attention.out_proj", "NonDynamicallyQuantizableLinear", "not called", "20"),
    ]
    assert ("encoder.linear2", "Linear", "5 x 4", "36") in rows
    counted = sum(int(row[3].replace(",", "") or 0) for row in rows)
    assert counted == sum(parameter.numel() for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["resnet"], "did you mean model=resnet?"),
        (["model=resnt"], "did you mean resnet?"),
        (["trainer.epochs=-1"], "trainer.epochs"),
        (["-m", "model=mlp"], "usage: dlrun show"),
        (["model=resnet", "data=synthetic", "data.image_size=8"], "need at least 16x16"),
        (["data=line", "augment=colour"], "augment=colour: changes images, data=line are features"),
        (["nope/run"], "no folder nope/run"),
        (["model=mlp", "nope"], "nope"),
    ],
)
def test_wrong_use_is_one_line(capsys, words, says):
    assert main.main(["show", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert says in err


def test_a_finished_run(capsys, tmp_path):
    write_run(tmp_path / "outputs/a", "scheduler=step", "seed=4", values=(0.9, 0.4))
    assert main.main(["show", "outputs/a"]) == 0
    out = capsys.readouterr().out
    assert "state   done" in out
    assert "config  model=mlp data=synthetic optimizer=adam scheduler=step seed=4" in out
    assert "trained 1,234 parameters, 2 epochs in 2.2 s on cpu; best epoch 1" in out
    assert "0.9000" in out
    assert "metrics.csv" in out
    assert "test    dlrun eval outputs/a" in out
    assert out.endswith("again   dlrun model=mlp data=synthetic scheduler=step seed=4\n")


def test_an_interrupted_run_can_go_on(capsys, tmp_path):
    write_run(tmp_path / "my runs/a", state="interrupted", values=(0.9, 0.4))
    assert main.main(["show", "my runs/a"]) == 0
    out = capsys.readouterr().out
    assert "state   interrupted" in out
    assert "latest metrics, after epoch 2" in out
    assert "go on   dlrun resume 'my runs/a'" in out
    assert "dlrun eval" not in out


def test_a_failed_run_says_why(capsys, tmp_path):
    write_run(tmp_path / "a", state="failed", values=(), error="out of memory")
    assert main.main(["show", "a"]) == 0
    assert "state   failed: out of memory" in capsys.readouterr().out


def test_folders_that_are_no_runs(capsys, tmp_path):
    write_sweep(tmp_path / "sweep", {})
    assert main.main(["show", "sweep"]) == 2
    assert "dlrun report sweep" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main.main(["show", "empty"]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "efficientnet"])
def test_what_depthwise_convolutions_save(capsys, name):
    assert main.main(["show", f"model={name}", "data=cifar10"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("saving")]
    pairs = {"mobilenet_v1": 13, "mobilenet_v2": 17, "efficientnet": 16}[name]
    assert line.startswith(f"saving  {pairs} depthwise and pointwise pairs: ")


def test_the_saving_is_one_in_kernel_and_channels(capsys):
    first, second = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 1)
    calls = [show.Call(first, "8 x 5 x 5", (5, 5)), show.Call(second, "16 x 5 x 5", (5, 5))]
    apart, plain = 9 * 8 * 25 + 8 * 16 * 25, 9 * 8 * 16 * 25
    assert f"{apart:,} multiply-adds, {1 / 16 + 1 / 9:.1%} of {plain:,}" in (show._saving(calls) or "")
    assert show._saving([show.Call(nn.Conv2d(8, 16, 3), "", (5, 5)), calls[1]]) is None


def told(capsys, *words):
    assert main.main(["show", *words]) == 0
    return capsys.readouterr().out


def test_a_detector_shows_its_anchors_its_field_and_what_one_image_teaches(capsys):
    text = told(capsys, "model=yolo", "model.channels=[4,4,4]", *SHAPES)
    assert "grid    8x8 cells of 8x8 pixels; " in text
    assert "anchors " in text and "by k-means on" in text
    assert "sees    75x75 pixels, the receptive field" in text
    assert "[present, x, y, height, width, disc, square, triangle, star] of a cell:" in text
    row = re.search(r"(\w+): row (\d), column (\d) of 8x8, anchor \d+x\d+: \[1, ([^]]*)\]", text)
    place = [float(word) for word in row[4].split(", ")]
    assert all(0 <= share <= 1 for share in place[:2]) and place[4:].count(1) == 1
    assert ("disc", "square", "triangle", "star")[place[4:].index(1)] == row[1]
    assert "everywhere else: [0, ?, ?, ?, ?, ?, ?, ?, ?]; ? is not taught" in text
    assert "14x14 pixels" in told(capsys, "model=sliding_window", *SHAPES)


def test_where_nothing_is_present_the_rest_of_the_vector_is_not_taught(capsys):
    text = told(capsys, "model=localizer", "model.channels=[4,4]", *SHAPES, "data.empty=0.5")
    assert re.search(r"of training image \d+: \[1, 0\.\d+, 0\.\d+, 0\.\d+, 0\.\d+, ", text)
    assert ", without an object: [0, ?, ?, ?, ?, ?, ?, ?, ?]\n" in text
    words = ["data.kinds=[square]", "data.empty=0.5"]
    text = told(capsys, "model=keypoint_net", "model.channels=[4,4]", *SHAPES, *words)
    assert re.search(r"of training image \d+: \[1(, 0\.\d+){8}\]\n", text)
    assert ", without any: [0, ?, ?, ?, ?, ?, ?, ?, ?]\n" in text


def test_a_graph_without_a_model_is_described(capsys):
    assert main.main(["show", "data=toy4"]) == 0
    out = capsys.readouterr().out
    assert "data    toy4: graph -> node_class, in_features=2 out_features=2" in out
    assert "4 nodes, 6 edges, directed, 1 self-loops" in out
    assert "1 1 0 0" in out
    assert "gcn" in out.splitlines()[-1]
    assert "mlp" not in out.splitlines()[-1]


def test_the_layers_of_a_graph_model(capsys):
    assert main.main(["show", "model=gcn", "data=motifs", "data.num_train=10", "data.num_val=0"]) == 0
    out = capsys.readouterr().out
    assert "train: 10 graphs of " in out
    assert "test: 400 graphs of " in out
    assert "filled  from the data: in_features=8 level=graph out_features=4" in out
    assert ["fc", "Linear", "4", "68"] in [[cell.strip() for cell in row if cell.strip()] for row in layers_of(out)]
    assert "cost" not in out
    assert main.main(["show", "model=diffpool", "data=karate"]) == 2
    assert capsys.readouterr().err.startswith("dlrun: error: model=diffpool: answers for whole graphs")


def test_the_rule_behind_the_sides_of_convolutions(capsys):
    assert main.main(["show", "model=conv_filter", "data=photos", "model.padding=1", "model.stride=2"]) == 0
    assert "        floor((64 + 2 * 1 - 3) / 2) + 1 = 32  conv\n" in capsys.readouterr().out
    assert main.main(["show", "model=resnet", "data=mnist"]) == 0
    out = capsys.readouterr().out
    assert "        floor((28 + 2 * 0 - 5) / 1) + 1 = 24  convs.0\n" in out
    assert "        floor((12 + 2 * 1 - 3) / 1) + 1 = 12  blocks.0.conv1 and 1 more\n" in out


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 20), f=st.integers(1, 5), p=st.integers(0, 3), s=st.integers(1, 4), d=st.integers(1, 3))
def test_the_rule_is_the_size(n, f, p, s, d):
    assume(n + 2 * p >= d * (f - 1) + 1)
    layer = nn.Conv2d(1, 1, f, stride=s, padding=p, dilation=d)
    calls, _ = show._run_once("one", layer, (torch.rand(2, 1, n, n),), [layer])
    text, _ = show._sides(calls, {layer: "conv"})[1].split("  conv")
    rule, size = text.split(" = ")
    assert eval(rule, {"floor": math.floor}) == int(size) == calls[0].sides[0]
