"""A run and what it leaves: every file, the numbers in them, and how a run ends that cannot go on."""

import contextlib
import csv
import io
import json
import math
import shlex

import pytest
import torch
from plugged_in import plugged_in
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tiny import TINY

from dlrun.cli import main
from dlrun.config.check import parse
from dlrun.config.spec import DataSpec
from dlrun.run.loggers.logger import told
from dlrun.run.run import run
from dlrun.run.trained import measure as evaluate_run
from dlrun.store import checkpoint, runs

WORDS = [
    "model=cnn",
    "model.channels=[2,3]",
    "data=synthetic",
    "data.image_size=16",
    "data.num_train=70",
    "data.num_val=30",
    "data.num_test=20",
    "optimizer.lr=0.01",
    "trainer.epochs=3",
    "trainer.batch_size=16",
    "trainer.log_every=2",
    "logger.histograms=true",
    "seed=4",
]
SHAPES = ["data=shapes", "data.num_train=16", "data.num_val=4", "data.num_test=4"]
TABLE = ["model=mine", "data=table", "logger=none", "trainer.batch_size=8"]


def call(words, folder, monkeypatch):
    """(exit code, what was printed) of `dlrun WORDS` in `folder`."""
    monkeypatch.chdir(folder)
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        return main.main(list(words)), heard.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder, printed text) of one run with everything that a run can leave."""
    home = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        code, printed = call(WORDS, home, patch)
    assert code == 0
    (folder,) = home.glob("outputs/cnn-synthetic/*")
    return folder, printed


def load(folder, name):
    return json.loads((folder / name).read_text())


# ---- the folder


@pytest.mark.parametrize(
    "words",
    [
        # One example alone has neither both classes nor a pair, and a cut-out is not of the size of its mask.
        ["model=mlp", "data=breast_cancer", "trainer.watch=roc_auc"],
        ["model=embedder", "model.channels=[4]", "data=identities", "task=triplet", "trainer.watch=one_shot"],
        ["model=unet", "model.channels=4", *SHAPES, "augment=geometric", "augment.crop=32", "trainer.watch=dice"],
    ],
    ids=lambda words: words[-1],
)
def test_any_metric_of_the_task_can_be_watched(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main.main([*words, "trainer.epochs=1", "trainer.limit_batches=2", "logger=none", "folder=run"]) == 0
    watched = words[-1].partition("=")[2]
    assert json.loads((tmp_path / "run/status.json").read_text())["watch"] == f"val/{watched}"
    assert f"val/{watched}" in json.loads((tmp_path / "run/summary.json").read_text())["metrics"]


def test_every_file_is_there_and_no_other(whole):
    folder, _ = whole
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    (events,) = (file for file in files if file.startswith("events.out.tfevents"))
    assert files - {events, ".lock"} == {
        "config.yaml", "overrides.json", "spec.json", "offered.json", "metrics.csv", "status.json", "summary.json",
        "predictions.csv",
        "checkpoints/last.safetensors", "checkpoints/last.previous.safetensors", "checkpoints/best.safetensors",
        "plots/learning_curves.png", "plots/confusion_matrix.png", "plots/per_class_accuracy.png",
        "plots/predictions.png", "plots/predictions.webp",
    }  # fmt: skip


def test_the_config_is_the_one_that_was_trained_and_can_be_read_again(whole):
    folder, _ = whole
    stored = runs.open_run(folder)
    checked = parse(stored.config)
    assert checked.to_dict() == parse(runs.open_run(folder).config).to_dict()
    assert (checked.seed, checked.optimizer["lr"], checked.model["channels"]) == (4, 0.01, (2, 3))
    assert stored.words == WORDS
    spec = DataSpec.from_dict(load(folder, "spec.json"))
    assert (spec.in_channels, spec.image_size, spec.out_features) == (1, (16, 16), 10)


def test_metrics_csv_has_a_row_an_epoch_and_holds_only_what_the_seed_gives(whole):
    folder, _ = whole
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "lr", "train/loss", "train/accuracy", "val/loss", "val/accuracy"]
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "5"), ("2", "10"), ("3", "15")]
    assert all(0 <= float(row[f"{part}/accuracy"]) <= 1 for row in rows for part in ("train", "val"))
    assert all(float(row[f"{part}/loss"]) > 0 for row in rows for part in ("train", "val"))


def test_predictions_csv_has_a_row_an_example_of_the_test_part(whole):
    folder, _ = whole
    with open(folder / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(20))
    share = sum(row["true"] == row["predicted"] for row in rows) / 20
    assert share == pytest.approx(load(folder, "summary.json")["metrics"]["test/accuracy"])
    assert all(0.1 <= float(row["probability"]) <= 1 for row in rows)


def test_status_says_done(whole):
    status = load(whole[0], "status.json")
    assert (status["state"], status["error"]) == ("done", None)
    assert status["started"] <= status["finished"]


def test_the_summary_is_the_run_in_one_record(whole):
    folder, _ = whole
    summary = load(folder, "summary.json")
    known = {
        "model": "cnn", "data": "synthetic", "epochs": 3, "steps": 15, "device": "cpu", "precision": "fp32", "seed": 4,
        "threads": torch.get_num_threads(), "outcome": "done",
        "command": shlex.join(["dlrun", *WORDS]),
        "parameters": (25 * 2 + 2) + (25 * 2 * 3 + 3) + (3 * 10 + 10),
    }  # fmt: skip
    assert known.items() <= summary.items()
    assert {"torch", "torchvision", "numpy", "python", "dlrun", "hydra-core"} <= set(summary["versions"])
    assert summary["seconds"] > 0
    assert summary["examples_per_second"] > 0
    rows = runs.open_run(folder).history()
    best = next(row for row in rows if row["epoch"] == summary["best_epoch"])
    assert best["val/accuracy"] == max(row.get("val/accuracy", -1) for row in rows)
    assert summary["metrics"]["val/accuracy"] == best["val/accuracy"]
    assert {f"test/{name}" for name in ("loss", "accuracy", "f1_macro", "precision_macro", "recall_macro")} <= set(
        summary["metrics"]
    )


def test_numbers_beside_the_best_weights_were_measured_with_them_or_say_when(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["data=synthetic", "model=mlp", "model.dropout=0.5", "trainer.epochs=3", "logger=none", "device=cpu"]
    for folder, more, means in (
        ("split", [], ["train/loss", "train/accuracy"]), ("whole", ["data.num_val=0", "data.num_test=0"], []),
    ):  # fmt: skip
        assert main.main([*words, *more, f"folder={folder}"]) == 0
        summary = json.loads((tmp_path / folder / "summary.json").read_text())
        assert summary["means_during_epoch"] == means
        printed = capsys.readouterr().out
        assert (f"train, during epoch {summary['best_epoch']}" in printed) == bool(means)
        assert main.main(["show", folder]) == 0
        assert (f"train, during epoch {summary['best_epoch']}" in capsys.readouterr().out) == bool(means)
        for name, value in summary["metrics"].items():
            config = parse(runs.open_run(tmp_path / folder).config)
            measured = evaluate_run(config, tmp_path / folder, name.partition("/")[0])[name]
            assert (measured == pytest.approx(value, rel=1e-6)) == (name not in means), (folder, name)


def test_what_is_undefined_is_nowhere_a_number(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{k % 7},{k % 5},{'ham' if part == 'test' or k % 3 else 'spam'},{part}"
        for part in ("train", "val", "test")
        for k in range(30)
    ]
    (tmp_path / "mail.csv").write_text("a,b,kind,part\n" + "\n".join(rows) + "\n")
    words = ["data=csv", "data.path=mail.csv", "data.target=kind", "data.split_column=part", "model=mlp", "folder=run"]
    assert main.main([*words, "trainer.epochs=2", "device=cpu", "trainer.watch=f1"]) == 0
    assert "undefined" in capsys.readouterr().out
    text = (tmp_path / "run/summary.json").read_text()
    summary = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert summary["metrics"]["test/recall"] is None and summary["metrics"]["test/roc_auc"] is None
    assert math.isnan(runs.open_run(tmp_path / "run").metrics["test/recall"])
    assert "nan" not in (tmp_path / "run/metrics.csv").read_text()
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert "when_done/test/loss" in events.Tags()["scalars"] and "when_done/test/recall" not in events.Tags()["scalars"]
    for verb in (["eval", "run"], ["show", "run"], ["report", "run"], ["list", "runs", ".", "--json"]):
        assert main.main(verb) == 0
        assert "nan" not in capsys.readouterr().out.replace("NaN", "nan")


def test_the_checkpoints_hold_the_state_and_the_weights(whole):
    folder, _ = whole
    last = checkpoint.read(folder / "checkpoints/last.safetensors")
    assert (last["counters"]["epoch"], last["counters"]["step"]) == (3, 15)
    assert checkpoint.read(folder / "checkpoints/last.previous.safetensors")["counters"]["epoch"] == 2
    best = checkpoint.read(folder / "checkpoints/best.safetensors")
    assert best["epoch"] == load(folder, "summary.json")["best_epoch"]
    assert best["spec"] == DataSpec.from_dict(load(folder, "spec.json")).to_dict()
    assert best["config"]["model"]["name"] == "cnn"
    assert {name: tuple(value.shape) for name, value in best["model"].items()}.keys() == last["parts"]["model"].keys()


def test_tensorboard_reads_scalars_pictures_graph_and_settings(whole):
    folder, _ = whole
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "histograms": 0}).Reload()
    tags = events.Tags()
    rows = runs.open_run(folder).history()
    for name in ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "train/lr"):
        points = events.Scalars(name)
        assert [point.step for point in points] == [5, 10, 15]
        assert [point.value for point in points] == pytest.approx([row[name.replace("train/lr", "lr")] for row in rows])
    for name in ("step/loss", "step/lr", "step/gradient_norm"):
        assert [point.step for point in events.Scalars(name)] == [2, 4, 6, 8, 10, 12, 14]
        assert all(math.isfinite(point.value) and point.value > 0 for point in events.Scalars(name))
    assert all(point.value > 0 for point in events.Scalars("train/examples_per_second"))
    assert set(tags["images"]) == {f"visual/{path.stem}" for path in (folder / "plots").iterdir()}
    assert [point.step for point in events.Histograms("weights/convs.0.weight")] == [5, 10, 15]
    gradients = events.Histograms("gradients/fc.bias")
    assert [point.histogram_value.num for point in gradients] == [10, 10, 10]
    assert all(point.histogram_value.min < 0 < point.histogram_value.max for point in gradients)
    png = (folder / "plots/confusion_matrix.png").read_bytes()
    assert events.Images("visual/confusion_matrix")[0].encoded_image_string == png
    assert tags["graph"]
    summary = load(folder, "summary.json")["metrics"]
    assert events.Scalars("when_done/test/loss")[0].value == pytest.approx(summary["test/loss"])
    settings = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = HParamsPluginData.FromString(settings).session_start_info.hparams
    assert values["optimizer.lr"].number_value == 0.01
    assert values["model.name"].string_value == "cnn"
    assert not {"augment.name", "trainer.profile_steps", "device.workers"} & set(values)


def test_a_job_of_a_sweep_is_called_in_tensorboard_by_what_it_changes(tmp_path, monkeypatch, make_config):
    monkeypatch.chdir(tmp_path)
    config = make_config(*TINY, "trainer.epochs=1", "logger.graph=false", "optimizer.lr=0.02", "folder=run")
    changed = {"optimizer.lr": "0.02", "model.hidden_sizes": "[16]", "model": "mlp/../x"}
    run(config, list(TINY), changed=changed)
    (folder,) = (path.parent for path in (tmp_path / "run").rglob("events.out.tfevents*"))
    assert folder == tmp_path / "run/lr=0.02,hidden_sizes=[16],model=mlp_.._x"
    settings = EventAccumulator(str(folder)).Reload().SummaryMetadata("_hparams_/session_start_info")
    values = HParamsPluginData.FromString(settings.plugin_data.content).session_start_info.hparams
    assert set(values) == {"optimizer.lr", "model.hidden_sizes", "model.name"}
    assert values["model.hidden_sizes"].string_value == "[16]"
    columns = EventAccumulator(str(folder)).Reload().SummaryMetadata("_hparams_/experiment").plugin_data.content
    shown = [info.display_name for info in HParamsPluginData.FromString(columns).experiment.metric_infos]
    assert shown[:3] == ["val/accuracy", "test/loss", "test/accuracy"] and shown[-1].startswith(("val", "train"))


def test_a_job_is_told_by_the_ends_of_its_keys_where_they_differ():
    assert told({"model.lr": "1", "optimizer.lr": "2", "seed": "3"}) == "model.lr=1,optimizer.lr=2,seed=3"
    assert told({"model.hidden_sizes": "[16]", "optimizer.lr": "2"}) == "hidden_sizes=[16],lr=2"


def test_a_network_of_graphs_is_not_traced(tmp_path, monkeypatch):
    code, printed = call(["model=gcn", "data=karate", "trainer.epochs=2", "folder=run"], tmp_path, monkeypatch)
    assert code == 0 and "cannot be drawn" not in printed


# ---- the last lines


def test_the_command_of_the_last_line_repeats_the_run(whole, tmp_path, monkeypatch):
    folder, printed = whole
    again = printed.splitlines()[-1]
    assert again.startswith("again   dlrun ")
    assert call([*shlex.split(again)[2:], "logger=none"], tmp_path, monkeypatch)[0] == 0
    (other,) = tmp_path.glob("outputs/*/*")
    assert (other / "metrics.csv").read_bytes() == (folder / "metrics.csv").read_bytes()
    assert load(other, "summary.json")["metrics"] == load(folder, "summary.json")["metrics"]


def test_eval_measures_what_the_summary_says(whole, capsys):
    folder, _ = whole
    stored = runs.open_run(folder)
    summary = load(folder, "summary.json")["metrics"]
    assert evaluate_run(parse(stored.config), folder) == {k: v for k, v in summary.items() if k.startswith("test/")}
    val = evaluate_run(parse(stored.config), folder, "val")
    assert val["val/loss"] == pytest.approx(summary["val/loss"])
    assert main.main(["eval", str(folder)]) == 0
    assert f"{summary['test/accuracy']:.4f}" in capsys.readouterr().out
    assert main.main(["eval", str(folder), "--part", "tset"]) == 2
    assert "no part 'tset'; data=synthetic has train, val, test" in capsys.readouterr().err


def test_each_epoch_is_a_line_and_the_table_has_all_metrics(whole):
    folder, printed = whole
    epochs = [line for line in printed.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in epochs] == ["1/3", "2/3", "3/3"]
    for name, value in load(folder, "summary.json")["metrics"].items():
        assert f"{value:.4f}" in printed, name
    assert f"folder  {folder.relative_to(folder.parents[2])}" in printed


# ---- runs that cannot go on


def test_a_loss_that_is_no_number_stops_before_the_update(tmp_path, monkeypatch, capsys):
    with plugged_in(tmp_path / "plug_in.py"):
        words = [*TABLE, "model.nan_step=11", "trainer.epochs=9", "optimizer.lr=0.5", "scheduler=none", "folder=run"]
        assert call(words, tmp_path, monkeypatch)[0] == 1
        (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dlrun: error: the loss is not a finite number at step 11 (learning rate 0.5)")
    assert "optimizer.lr=0.05" in line
    assert "trainer.clip_grad_norm" in line
    folder = tmp_path / "run"
    last = checkpoint.read(folder / "checkpoints/last.safetensors")
    assert (last["counters"]["epoch"], last["counters"]["step"]) == (2, 8)
    assert all(value.isfinite().all() for value in last["parts"]["model"].values())
    status = load(folder, "status.json")
    assert status["state"] == "failed"
    assert "step 11" in status["error"]
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3
    assert not (folder / "summary.json").exists()


def test_a_learning_rate_that_is_far_too_large(tmp_path, monkeypatch, capsys):
    words = [*WORDS, "optimizer=sgd", "optimizer.lr=1e30", "scheduler=none", "logger=none"]
    assert call(words, tmp_path, monkeypatch)[0] == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "(learning rate 1e+30)" in line
    assert "optimizer.lr=1e+29" in line


def test_out_of_memory_says_what_to_try(tmp_path, monkeypatch, capsys):
    with plugged_in(tmp_path / "plug_in.py"):
        words = [*TABLE, "model.fate=memory", "trainer.accumulate=3", "folder=run"]
        assert call(words, tmp_path, monkeypatch)[0] == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dlrun: error: out of memory with trainer.batch_size=8")
    assert "trainer.batch_size=4 trainer.accumulate=6" in line
    assert load(tmp_path / "run", "status.json")["state"] == "failed"


def test_a_bug_in_a_plug_in_keeps_its_traceback(tmp_path, monkeypatch):
    with plugged_in(tmp_path / "plug_in.py"), pytest.raises(RuntimeError, match="broken wing"):
        call([*TABLE, "model.fate=raise", "folder=run"], tmp_path, monkeypatch)
    assert load(tmp_path / "run", "status.json")["state"] == "failed"
    assert "plug_in.py" in (tmp_path / "run/error.txt").read_text()


# ---- small data (T19): what each size gives, or the words of its error

BATCH = 8


def expected_steps(size, drop_last, batch_norm):
    if size == 0:
        return "no example in train"
    if drop_last and size < BATCH:
        return "drop_last leaves no batch"
    if batch_norm and not drop_last and size % BATCH == 1:
        return "a batch norm of model=mine needs two"
    return size // BATCH if drop_last else -(-size // BATCH)


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("drop_last", [False, True], ids=["keep last", "drop last"])
@pytest.mark.parametrize("size", [0, 1, BATCH - 1, BATCH, BATCH + 1])
def test_small_data_train_or_say_why_not(tmp_path, monkeypatch, capsys, size, drop_last, batch_norm):
    words = [*TABLE, f"data.num_train={size}", f"trainer.drop_last={drop_last}", f"model.batch_norm={batch_norm}"]
    with plugged_in(tmp_path / "plug_in.py"):
        code, _ = call([*words, "trainer.epochs=2", "folder=run"], tmp_path, monkeypatch)
    expected = expected_steps(size, drop_last, batch_norm)
    if isinstance(expected, str):
        assert code == 2
        assert expected in capsys.readouterr().err
        assert not (tmp_path / "run").exists()
    else:
        assert code == 0
        assert load(tmp_path / "run", "summary.json")["steps"] == 2 * expected
        assert all(row["train/loss"] > 0 for row in runs.open_run(tmp_path / "run").history())


def test_an_empty_val_part_is_no_val_part_at_all(tmp_path, monkeypatch, capsys):
    with plugged_in(tmp_path / "plug_in.py"):
        assert call([*TABLE, "data.num_val=0"], tmp_path, monkeypatch)[0] == 2
    assert capsys.readouterr().err == "dlrun: error: data=table: no example in val\n"


@pytest.mark.parametrize(("image_size", "code"), [(64, 0), (32, 2)])
def test_a_batch_of_one_is_fine_where_every_batch_norm_sees_more_than_one_pixel(
    tmp_path, monkeypatch, image_size, code
):
    words = ["model=torchvision", "model.arch=shufflenet_v2_x0_5", "data=synthetic", f"data.image_size={image_size}"]
    sizes = ["data.num_train=5", "data.num_val=0", "data.num_test=1", "trainer.batch_size=4", "trainer=smoke"]
    assert call([*words, *sizes, "logger=none"], tmp_path, monkeypatch)[0] == code


def test_a_learning_rate_of_zero_learns_nothing(tmp_path, monkeypatch):
    words = ["model=mlp", "data=synthetic", "data.image_size=4", "optimizer.lr=0", "trainer.epochs=2", "folder=run"]
    assert call([*words, "logger=none"], tmp_path, monkeypatch)[0] == 0
    first, second = runs.open_run(tmp_path / "run").history()
    assert first["val/loss"] == second["val/loss"]


@pytest.mark.parametrize(("words", "lines"), [([], 2), (["model.bias=false"], 1), (["model=mlp"], 0)], ids=str)
def test_few_weights_are_printed_by_name(tmp_path, capsys, words, lines):
    run = tmp_path / "run"
    assert main.main(["model=linear", "data=line", "trainer.epochs=1", *words, f"folder={run}"]) == 0
    printed = [line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.startswith("weights ")]
    assert len(printed) == lines
    weights = checkpoint.read(run / "checkpoints/best.safetensors")["model"]
    assert all(f"{weights[name].item():.4f}" == value for name, value in printed)


def test_a_run_that_diverges_says_so(tmp_path, capsys):
    words = ["model=linear", "data=line", "optimizer=sgd", "optimizer.lr=0.2", "trainer.epochs=20", "scheduler=none"]
    assert main.main([*words, "trainer.batch_size=3", f"folder={tmp_path / 'run'}"]) == 0
    assert "dlrun: warning: training diverged, train/loss" in capsys.readouterr().out
    assert json.loads((tmp_path / "run/summary.json").read_text())["outcome"] == "diverged"
    assert main.main(["show", str(tmp_path / "run")]) == 0
    assert "state   diverged" in capsys.readouterr().out


def test_points_in_order_give_the_gradients_of_the_notes_loop(tmp_path):
    assert main.main(["experiment=gradient_descent", "trainer.epochs=1", f"folder={tmp_path / 'run'}"]) == 0
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    sizes, losses = (
        [round(point.value, 4) for point in events.Scalars(f"step/{n}")] for n in ("gradient_norm", "loss")
    )
    assert (sizes, losses) == ([2, 7.84, 16.2288], [1, 3.8416, 7.3159])
    weight = checkpoint.read(tmp_path / "run/checkpoints/best.safetensors")["model"]["linear.weight"].item()
    assert weight == pytest.approx(1 + 0.01 * (2 + 7.84 + 16.2288))  # each gradient was below zero


def test_a_sampler_that_draws_by_chance_has_no_order(capsys):
    assert main.main(["model=cnn", "data=digits", "sampler=balanced", "trainer.shuffle=false"]) == 2
    assert "trainer.shuffle: sampler=balanced draws by chance" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["rnn_hello", "rnncell_hello"])
def test_hello_is_spelled_with_the_seed_of_the_recipe(tmp_path, capsys, recipe):
    assert main.main([f"experiment={recipe}", "logger=none", f"folder={tmp_path / 'run'}"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "(right: ohlol)" in line]
    assert said[-1].split()[0] == "ohlol"


def test_the_test_part_is_drawn_over_the_epochs_if_asked_for_and_chooses_nothing(tmp_path):
    words = ["model=mlp", "data=iris", "trainer.epochs=3", "trainer.batch_size=16", "logger=none"]
    for name, more in (("without", []), ("with", ["trainer.curve_on_test=true"]), ("no_val", ["data.val_fraction=0"])):
        extra = [*more, *(["trainer.curve_on_test=true"] if name == "no_val" else [])]
        assert main.main([*words, *extra, f"folder={tmp_path / name}"]) == 0
    found = {name: runs.open_run(tmp_path / name) for name in ("without", "with", "no_val")}
    plain, curved = found["without"].history(), found["with"].history()
    assert [{k: v for k, v in row.items() if not k.startswith("test/")} for row in curved] == plain
    assert all("test/accuracy" in row for row in curved)
    assert found["with"].metrics == found["without"].metrics
    assert curved[found["with"].summary["best_epoch"] - 1]["test/loss"] == pytest.approx(
        found["with"].metrics["test/loss"], abs=1e-6
    )
    assert found["no_val"].watch[0] == "train/accuracy"
    assert found["no_val"].summary["best_epoch"] == 3


def test_without_a_test_part_its_curve_is_refused(capsys):
    assert main.main(["model=linear", "data=line", "trainer.curve_on_test=true"]) == 2
    assert "trainer.curve_on_test: data=line has no test part" in capsys.readouterr().err
