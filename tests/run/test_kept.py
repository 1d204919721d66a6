"""A run measures and trains the samples that it had, wherever they now stand in its files."""

import csv
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlrun.cli import main
from dlrun.run import stored, trained
from dlrun.store import runs


def rows(num=120):
    """Rows whose class is half told by their numbers; some are equal, some go over two lines."""
    draw = random.Random(0)
    made = []
    for number in range(num):
        a, b = round(draw.gauss(0, 1), 2), draw.choice(["left", "right", "far\naway"])
        label = "yes" if a + draw.gauss(0, 1) > 0 else "no"
        made.append([a if number % 15 else "", b, label])
    return made + made[:20]


def write(path, header, lines):
    text = io.StringIO()
    csv.writer(text).writerows([*([header] if header else []), *lines])
    path.write_text(text.getvalue())


HEADERS = {"named": ["a", "b", "y"], "bare": None}


@pytest.fixture(scope="module", params=HEADERS)
def home(request, tmp_path_factory):
    """(The folder of a run on a table, its header, its metrics on the test part)."""
    folder = tmp_path_factory.mktemp("kept")
    header = HEADERS[request.param]
    write(folder / "t.csv", header, rows())
    words = ["model=mlp", "data=csv", f"data.path={folder}/t.csv", "data.missing=mean", "trainer.epochs=3"]
    assert main.main([*words, "logger=none", f"folder={folder}/run"]) == 0
    return folder, header, measured(folder)


def measured(folder, part="test"):
    run = runs.open_run(folder / "run")
    return trained.measure(stored.config_of(run), run.path, part)


@given(data=st.data())
def test_metrics_stay_bit_for_bit_for_any_order_and_any_appended_rows(home, data):
    folder, header, before = home
    known = st.sampled_from(rows())
    row = st.tuples(st.floats(-9, 9), st.sampled_from(["left", "never seen", "1"]), st.sampled_from(["yes", "perhaps"]))
    more = data.draw(st.lists(known | row, max_size=20))
    write(folder / "t.csv", header, data.draw(st.permutations([*rows(), *more])))
    assert measured(folder) == before


def test_what_happened_to_the_rows_is_said_in_one_line(home, capsys):
    folder, header, _ = home
    write(
        folder / "t.csv",
        header,
        [*rows()[:7], [99, "left", "no"], *rows()[8:-1], [1, "left", "no"], [2, "right", "no"]],
    )
    assert main.main(["eval", str(folder / "run")]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "samples" in line]
    assert line.startswith("dlrun: note: data=csv: of the run's 140 samples ") and line.endswith("(in no part)")


def test_a_run_whose_samples_are_gone_is_refused_and_can_be_led_to_them(home, tmp_path, capsys):
    folder, header, before = home
    write(tmp_path / "moved.csv", header, rows()[::-1])
    write(folder / "t.csv", header, [[row[0], row[1], "no" if row[2] == "yes" else "yes"] for row in rows()])
    capsys.readouterr()
    assert main.main(["eval", str(folder / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "samples of the run are gone or changed (" in line and len(line) <= 320
    run = runs.open_run(folder / "run")
    assert trained.measure(stored.config_of(run, [f"data.path={tmp_path}/moved.csv"]), run.path) == before


def test_a_resumed_run_trains_the_same_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["model=mlp", "data=csv", "data.path=t.csv", "data.missing=mean", "logger=none", "scheduler=none"]
    write(tmp_path / "t.csv", ["a", "b", "y"], rows())
    assert main.main([*words, "trainer.epochs=4", "folder=whole"]) == 0
    assert main.main([*words, "trainer.epochs=2", "folder=cut"]) == 0
    write(tmp_path / "t.csv", ["a", "b", "y"], [*rows()[50:], *rows()[:50], [0.5, "left", "no"]])
    assert main.main(["resume", "cut", "trainer.epochs=4"]) == 0
    assert (tmp_path / "cut/metrics.csv").read_text() == (tmp_path / "whole/metrics.csv").read_text()
    assert runs.open_run("cut").metrics == runs.open_run("whole").metrics


def test_a_run_of_an_older_dlrun_says_that_its_parts_are_drawn_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv", ["a", "b", "y"], rows())
    words = ["model=mlp", "data=csv", "data.path=t.csv", "data.missing=drop", "logger=none", "trainer.epochs=1"]
    assert main.main([*words, "folder=run"]) == 0
    (tmp_path / "run/samples.safetensors").unlink()
    capsys.readouterr()
    assert main.main(["eval", "run"]) == 0
    assert "has not kept which samples were in which part" in capsys.readouterr().err
    (tmp_path / "run/samples.safetensors").write_bytes(b"nothing")
    assert main.main(["eval", "run"]) == 2
    assert "no usable record of the samples" in capsys.readouterr().err


def test_paths_are_kept_absolute_and_can_be_changed(tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write(tmp_path / "here/t.csv", ["a", "b", "y"], rows())
    words = ["model=mlp", "data=csv", "data.path=t.csv", "data.missing=mean", "logger=none", "scheduler=none"]
    assert main.main([*words, "trainer.epochs=1", "folder=run"]) == 0
    monkeypatch.chdir(tmp_path / "there")
    run = runs.open_run("../here/run")
    assert run.config["data"]["path"] == str(tmp_path / "here/t.csv")
    row = "0.5,left"
    for verb, *more in (["eval"], ["resume", "trainer.epochs=2"], ["predict", row]):
        assert main.main([verb, "../here/run", *more]) == 0
    (tmp_path / "here/t.csv").rename(tmp_path / "there/moved.csv")
    assert main.main(["eval", "../here/run"]) == 2
    for verb, *more in (["eval"], ["resume", "trainer.epochs=3"], ["predict", row]):
        assert main.main([verb, "../here/run", *more, "data.path=moved.csv"]) == 0
    assert runs.open_run("../here/run").config["data"]["path"] == str(tmp_path / "there/moved.csv")
    assert main.main(["resume", "../here/run", "data.target=b"]) == 2
    assert "only trainer.epochs, trainer.patience, device.*, logger.*, data.path can" in capsys.readouterr().err


def test_the_fingerprint_is_that_of_the_content_and_its_parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv", ["a", "b", "y"], rows())
    words = ["model=mlp", "data=csv", "data.path=t.csv", "data.missing=mean", "logger=none", "trainer.epochs=1"]
    found = []
    for number, more in enumerate((["seed=1"], ["seed=2"], ["data.split_seed=1"])):
        assert main.main([*words, *more, f"folder=run{number}"]) == 0
        found.append(runs.open_run(f"run{number}").summary["data_fingerprint"])
    assert len(found[0]) == 16 and found[0] == found[1] != found[2]
