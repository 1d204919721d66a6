"""The benchmarks run: they are made of the engine's own pieces, which move."""

import importlib
import pathlib
import re
import statistics

import pytest
import torch

from dlrun.cli import main
from dlrun.data import views
from dlrun.data.images.synthetic import Synthetic
from dlrun.errors import UserError
from dlrun.models import MODELS
from dlrun.store import runs

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize(
    "name", ["__main__", "augment", "graphs", "loops", "places", "reached", "shared", "small", "smoke"]
)
def test_a_benchmark_finds_what_it_measures(benchmark, name):
    assert benchmark(name).__doc__


def test_an_epoch_of_the_engine_is_one(benchmark):
    loops, data = benchmark("loops"), Synthetic(num_train=96, num_val=0, num_test=64)
    parts, prepare = data.load(), views.preparation(data.spec)
    torch.manual_seed(0)
    model = MODELS.get("cnn")(in_channels=1, image_size=28, out_features=10)
    before = [parameter.clone() for parameter in model.parameters()]
    loaders = [loops.resident(parts[name], prepare, shuffle=name == "train") for name in ("train", "test")]
    assert loops.engine_epoch(model, *loaders, "fp32", data.spec) > 0
    assert all((old != new).any() for old, new in zip(before, model.parameters(), strict=True))


def test_a_thousand_epochs_on_three_points_are_trained_by_the_engine(benchmark):
    benchmark("small").line()["ours"]()


def test_the_steps_of_places_are_the_engines(benchmark, monkeypatch, capsys):
    places = benchmark("places")
    monkeypatch.setattr(places, "NUM_STEPS", 1)
    monkeypatch.setattr(places, "BATCH_SIZE", 4)
    for name, learn in (("yolo", "boxes"), ("unet", "mask")):
        steps = places.Steps(name, learn)
        assert steps.ours() > 0 and steps.bare() > 0
    places.sliding(1)
    assert "faster in one pass" in capsys.readouterr().out


def test_a_header_says_what_runs_have_reached(benchmark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["data=synthetic", "model=mlp", "trainer.epochs=1", "logger=none", "device=cpu", "device.threads=1"]
    for seed in (2, 0, 1):
        assert main.main([*words, f"seed={seed}", f"folder=run{seed}"]) == 0
    lines = benchmark("reached").header(["run0", "run1", "run2"], ["test/accuracy"]).splitlines()
    values = [runs.open_run(f"run{seed}").metrics["test/accuracy"] for seed in range(3)]
    told = ", ".join(f"{value:.4f}" for value in values)
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    assert lines[0].startswith(f"# Reached: test/accuracy {mean:.4f} ± {deviation:.2g} ({told}), seeds 0 to 2; ")
    assert all(len(line) <= 118 for line in lines)
    text = " ".join(line.removeprefix("#").strip() for line in lines)
    assert re.search(r"; \d+( to \d+)? s a run, one thread of a \d+-core .+, float32, torch 2\.\d+\.\d+\.$", text)
    with pytest.raises(UserError, match="optimizer"):
        assert main.main([*words, "optimizer.lr=0.5", "folder=other"]) == 0
        benchmark("reached").header(["run0", "other"])


def test_a_header_ends_with_the_seconds_of_a_smoke_run(benchmark):
    text = "# @package _global_\n# A title\n# Reached: much, seed 0; torch 2.14.\n# Smoke: 9.0 s with old.\ndefaults:\n"
    new = benchmark("smoke").with_line(text, 1.26)
    assert new.splitlines()[2:] == [
        "# Reached: much, seed 0; torch 2.14.", "# Smoke: 1.3 s with trainer=smoke, one thread.", "defaults:",
    ]  # fmt: skip


@pytest.mark.parametrize("path", sorted((ROOT / "conf/experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_recipe_says_what_was_reached_how_and_in_which_time(path):
    header = " ".join(line.removeprefix("#").strip() for line in path.read_text().splitlines() if line.startswith("#"))
    _, _, reached = header.partition("Reached: ")
    reached, _, smoke = reached.partition(" Smoke: ")
    for word in (r"\d", r"\bseeds? \d", r"\d (s|minutes)\b", r"2-core \w+", r"(float32|bfloat16)?, torch 2\.\d+"):
        assert re.search(word, reached, re.IGNORECASE), f"no {word} in: {reached}"
    assert re.fullmatch(r"\d+\.\d s with trainer=smoke, one thread\.", smoke)
