"""`dlrun report`: tables best first, three files, failed and unfinished runs named."""

import base64
import csv
import html
import io
import itertools
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import urllib.parse

import pytest
from PIL import Image
from stored_runs import write_run, write_sweep

from dlrun.cli import main
from dlrun.plots import images
from dlrun.plots.images import side_by_side
from dlrun.report import comparison, figures, report


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sweep(tmp_path):
    """Two models with two seeds each, one job that failed and one that has not begun."""
    home = tmp_path / "multirun/s"
    values = {("mlp", 0): 0.6, ("mlp", 1): 0.7, ("cnn", 0): 0.95, ("cnn", 1): 0.85}
    for number, ((model, seed), value) in enumerate(values.items()):
        write_run(home / str(number), f"model={model}", f"seed={seed}", values=(0.1, value))
    write_run(home / "4", "model=mlp", "seed=2", state="failed", values=(0.2,), error="the loss is not finite")
    reason = "the process was ended by SIGKILL"
    jobs = [{"changed": {"model": model, "seed": str(seed)}, "state": "done"} for model, seed in values]
    jobs += [{"state": "failed", "reason": "the loss is not finite"}]
    jobs += [{"changed": {"model": "cnn", "seed": "2"}, "state": "failed", "reason": reason}]
    write_sweep(home, *jobs)
    return home


def table(text, title):
    """The rows below the title that starts so, as lists of words."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(title))
    rows = []
    for line in lines[start + 1 :]:
        if not line or line.startswith(("best ", "files ")) or (rows and line.startswith("run ")):
            break
        rows.append(line.split())
    return rows


def lines_below(text, title):
    """The lines of the table below a title."""
    return text.partition(f"{title}\n")[2].partition("\nbest ")[0].splitlines()


def read_csv(folder):
    with open(folder / "report.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep(sweep, capsys):
    assert main.main(["report", "multirun/s"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("6 runs (4 done, 2 failed), highest val/accuracy first\n")
    head, *rows = table(out, "6 runs")
    assert " ".join(head) == "run model seed val/accuracy test/accuracy best epoch epochs seconds state"
    assert [line[0] for line in rows] == ["2", "3", "1", "0", "4", "5"]
    assert rows[0] == ["2", "cnn", "0", "0.9500", "0.4750", "2", "2", "2.2", "done"]
    assert rows[4] == ["4", "mlp", "2", "0.2000", "1", "90.0", "failed"]
    assert "\nrun 4 failed: the loss is not finite\nrun 5 failed: the process was ended by SIGKILL\n" in out
    head, *groups = table(out, "over seeds")
    assert head == ["model", "val/accuracy", "test/accuracy", "n"]
    assert " ".join(groups[0]) == f"cnn 0.9000 ± {statistics.stdev([0.95, 0.85]):.4f} 0.4500 ± 0.0354 2"
    assert " ".join(groups[1]) == f"mlp 0.6500 ± {statistics.stdev([0.6, 0.7]):.4f} 0.3250 ± 0.0354 2 of 3"
    assert "best    multirun/s/2  val/accuracy 0.9500" in out
    assert out.endswith("files   multirun/s: report.csv, report.md, report.html, report.png\n")


def test_the_files_of_a_report(sweep):
    report.report(["multirun/s"])
    rows = read_csv(sweep)
    assert [row["path"] for row in rows] == [f"multirun/s/{number}" for number in (2, 3, 1, 0, 4, 5)]
    assert (rows[0]["model"], rows[0]["seed"], rows[0]["val/accuracy"]) == ("cnn", "0", "0.95")
    assert (rows[0]["best_epoch"], rows[0]["epochs"], rows[0]["seconds"]) == ("2", "2", "2.25")
    assert (rows[5]["state"], rows[5]["reason"]) == ("failed", "the process was ended by SIGKILL")
    assert rows[5]["val/accuracy"] == ""
    text = (sweep / "report.md").read_text()
    assert "| 2 | cnn | 0 | 0.9500 | 0.4750 | 2 | 2 | 2.2 | done |" in text
    assert "| cnn | 0.9000 ± 0.0707 | 0.4500 ± 0.0354 | 2 |" in text
    assert "- run 4 failed: the loss is not finite\n- run 5 failed: the process" in text
    assert "![val/accuracy](report.png)" in text
    assert (sweep / "report.png").read_bytes().startswith(b"\x89PNG")


def test_numbers_in_the_csv_are_exact(tmp_path):
    write_run(tmp_path / "a/run", values=(1 / 3,))
    report.report(["a"])
    assert float(read_csv(tmp_path / "a")[0]["val/accuracy"]) == 1 / 3


def test_lowest_first_for_a_metric_that_is_minimised(tmp_path, capsys):
    for name, value in (("high", 3.0), ("low", 0.5), ("lost", math.nan)):
        write_run(
            tmp_path / "runs" / name, f"optimizer.lr=0.{len(name)}", values=(9.0, value), metric="rmse", mode="min"
        )
    assert main.main(["report", "runs"]) == 0
    out = capsys.readouterr().out
    assert "lowest val/rmse first" in out
    assert [line[0] for line in table(out, "3 runs")[1:3]] == ["low", "high"]


def test_another_metric_to_sort_by(tmp_path, sweep, capsys):
    assert main.main(["report", "multirun/s", "--metric", "train/loss", "--output", "new/place"]) == 0
    out = capsys.readouterr().out
    assert "lowest train/loss first" in out
    assert out.endswith("files   new/place: report.csv, report.md, report.html, report.png\n")
    assert len(read_csv(tmp_path / "new/place")) == 6
    assert not (sweep / "report.csv").exists()


def test_curves_of_val_stand_in_for_a_metric_that_no_epoch_measured(sweep, capsys):
    assert main.main(["report", "multirun/s", "--metric", "test/accuracy"]) == 0
    assert "picture val/accuracy, since test/accuracy was measured at the end only" in capsys.readouterr().out


def test_a_metric_that_no_run_has(sweep, capsys):
    assert main.main(["report", "multirun/s", "--metric", "val/acuracy"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "did you mean val/accuracy?" in err


def test_single_runs_are_written_about_where_they_lie(tmp_path, capsys):
    first = write_run(tmp_path / "outputs/mlp-synthetic/one")
    second = write_run(tmp_path / "outputs/cnn-synthetic/two", "model=cnn")
    assert main.main(["report", str(first), "outputs/cnn-synthetic/two"]) == 0
    out = capsys.readouterr().out
    assert "files   outputs: " in out
    assert "over seeds" not in out
    assert {line[0] for line in table(out, "2 runs")[1:]} == {"mlp-synthetic/one", "cnn-synthetic/two"}
    assert main.main(["report", str(second)]) == 0
    assert (tmp_path / "outputs/cnn-synthetic/report.md").exists()
    assert not (second / "report.md").exists()


def test_runs_that_are_not_done_have_their_latest_metrics(tmp_path, capsys):
    write_run(tmp_path / "runs/a", state="running", values=(0.1, 0.4))
    write_run(tmp_path / "runs/b", "seed=1", state="interrupted", values=(0.3,))
    write_run(tmp_path / "runs/c", "seed=2", state="running", values=())
    assert main.main(["report", "runs"]) == 0
    out = capsys.readouterr().out
    assert [line[:3] for line in table(out, "3 runs")[1:3]] == [["a", "0", "0.4000"], ["b", "1", "0.3000"]]
    assert out.startswith("3 runs (2 killed, 1 interrupted)")
    assert table(out, "over seeds")[1] == ["0", "of", "3"]
    assert (tmp_path / "runs/report.png").exists()


def test_an_unreadable_run_is_a_row(tmp_path, capsys):
    write_run(tmp_path / "runs/a")
    write_run(tmp_path / "runs/b")
    (tmp_path / "runs/b/config.yaml").write_text("a: [1")
    assert main.main(["report", "runs"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 runs (1 done, 1 unreadable)")
    assert "run b unreadable: runs/b/config.yaml: line" in out


def test_without_any_value_there_is_a_table_and_no_picture(tmp_path, capsys):
    write_run(tmp_path / "runs/a", state="failed", values=(), error="no\nluck")
    (tmp_path / "runs/report.png").write_bytes(b"of an older report")
    assert main.main(["report", "runs"]) == 0
    out, err = capsys.readouterr()
    assert "failed: no luck" in out
    assert "no picture" in out
    assert "no run has a value of val/accuracy yet" in err
    assert not (tmp_path / "runs/report.png").exists()


def test_without_a_val_part_the_test_part_decides(tmp_path, capsys):
    for name, value in (("a", 0.2), ("b", 0.8)):
        folder = write_run(tmp_path / "runs" / name, values=(value,))
        summary = (folder / "summary.json").read_text()
        (folder / "summary.json").write_text(summary.replace('"val/accuracy": 0', '"other/accuracy": 0'))
    assert main.main(["report", "runs"]) == 0
    out = capsys.readouterr().out
    assert "highest test/accuracy first" in out
    assert [line[0] for line in table(out, "2 runs")[1:]] == ["b", "a"]


@pytest.fixture
def drawn(monkeypatch):
    """The curves that were drawn, by label."""
    from dlrun.plots import curves

    seen = {}
    draw = curves.overlaid_curves
    monkeypatch.setattr(curves, "overlaid_curves", lambda found, *rest: seen.update(found) or draw(found, *rest))
    return seen


def test_a_curve_is_named_by_what_changed_and_has_a_band_over_seeds(sweep, drawn):
    report.report(["multirun/s"])
    assert list(drawn) == ["model=cnn (mean of 2)", "model=mlp (mean of 2)"]
    cnn = drawn["model=cnn (mean of 2)"]
    assert cnn["epochs"] == [1, 2]
    assert cnn["mean"] == pytest.approx([0.1, 0.9])
    assert cnn["std"] == pytest.approx([0, statistics.stdev([0.95, 0.85])])


def test_a_single_curve_has_the_name_of_its_run(tmp_path, drawn):
    write_run(tmp_path / "runs/a")
    report.report(["runs"])
    assert list(drawn) == ["run a"]
    assert drawn["run a"]["std"] is None


def test_of_many_curves_the_best_are_drawn_and_it_says_so(tmp_path, capsys, monkeypatch, drawn):
    monkeypatch.setattr(report, "MOST_CURVES", 3)
    for number in range(5):
        write_run(tmp_path / f"runs/{number}", f"optimizer.lr={number + 1}", values=(0, number / 10))
    assert main.main(["report", "runs"]) == 0
    assert "picture the best 3 of 5 curves" in capsys.readouterr().out
    assert list(drawn) == ["optimizer.lr=5.0", "optimizer.lr=4.0", "optimizer.lr=3.0"]


def losses(folder, *values):
    """The train losses of the epochs of a run that is there, in place of its own."""
    rows = [f"{epoch},{epoch},0.1,{value},{value}" for epoch, value in enumerate(values, start=1)]
    (folder / "metrics.csv").write_text("\n".join(["epoch,step,lr,train/loss,val/loss", *rows]) + "\n")


def test_what_has_diverged_is_named_and_leaves_room_for_the_rest(tmp_path, capsys):
    home = tmp_path / "runs"
    for number, (rate, last) in enumerate(((0.001, 0.5), (0.01, 0.1), (0.1, 0.2), (1, 2.5e25))):
        write_run(home / str(number), f"optimizer.lr={rate}", values=(last,), metric="loss", mode="min")
        losses(home / str(number), 4.0, last)
    reason = "the loss is not a finite number at step 7 (learning rate 10)"
    write_run(home / "4", "optimizer.lr=10", values=(4.0,), metric="loss", mode="min", state="failed", error=reason)
    rows = comparison.collect([home])
    assert [row.ended for row in rows] == ["done", "done", "done", "diverged", "failed"]
    (axes,) = figures.draw(comparison.grouped(rows), "val/loss", "min").axes
    assert axes.get_ylim()[1] < 1
    (crosses,) = (line for line in axes.lines if line.get_label() == "diverged")
    assert list(crosses.get_xdata()) == [1, 10]
    assert [text.get_text() for text in axes.texts] == ["2.5e+25", "nan"]
    assert main.main(["report", "runs"]) == 0
    assert [row[-1] for row in table(capsys.readouterr().out, "5 runs")[1:]].count("diverged") == 1
    assert main.main(["list", "runs", "runs"]) == 0
    assert "diverged" in capsys.readouterr().out


def test_settings_that_end_alike_have_no_picture(tmp_path):
    for number, batch_size in enumerate((1, 2, 3)):
        folder, last = tmp_path / f"runs/{number}", number * 1e-8
        write_run(folder, f"trainer.batch_size={batch_size}", values=(4.0, last), metric="loss", mode="min")
    assert figures.draw(comparison.grouped(comparison.collect([tmp_path])), "val/loss", "min") is None


def test_settings_that_are_words_are_bars(tmp_path):
    for number, optimizer in enumerate(("sgd", "adam", "adamw")):
        write_run(tmp_path / f"runs/{number}", f"optimizer={optimizer}", values=(0.2, 0.5 + number / 10))
    (axes,) = figures.draw(comparison.grouped(comparison.collect([tmp_path])), "val/accuracy", "max").axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.5, 0.6, 0.7])
    assert [label.get_text().split()[0] for label in axes.get_yticklabels()] == ["sgd", "adam", "adamw"]


def test_runs_of_one_epoch_are_drawn_over_their_key_and_not_as_curves(tmp_path):
    for number in range(5):
        write_run(tmp_path / f"runs/{number}", f"optimizer.lr={number + 1}", values=(number / 10,))
    assert main.main(["report", "runs"]) == 0
    assert [file.name for file in sorted((tmp_path / "runs").glob("*.png"))] == ["report_keys.png"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "FOLDER"),
        (["nope"], "no folder nope"),
        (["empty"], "no runs in empty"),
        (["empty", "--metrik", "x"], "--metrik"),
        (["empty", "--metric"], "--metric"),
    ],
)
def test_wrong_use_is_one_line(tmp_path, capsys, words, says):
    (tmp_path / "empty").mkdir()
    assert main.main(["report", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("dlrun: error: report: ")
    assert says in err


def test_a_place_that_cannot_be_written(tmp_path, sweep, capsys):
    (tmp_path / "file").touch()
    assert main.main(["report", "multirun/s", "--output", "file/below"]) == 2
    assert "cannot write to file/below" in capsys.readouterr().err


def test_a_damaged_sweep_json(sweep, capsys):
    (sweep / "sweep.json").write_text("{")
    assert main.main(["report", "multirun/s"]) == 0
    printed = capsys.readouterr().out
    assert "4 done, 1 failed, 1 unreadable" in printed and "multirun/s/sweep.json: cannot be read" in printed
    assert (sweep / "report.md").exists()


def test_torch_is_not_imported(sweep, tmp_path):
    code = (
        "import sys; from dlrun.cli.main import main\n"
        "assert main(['report', 'multirun/s']) == 0\n"
        "assert not {'torch', 'pandas', 'sklearn', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, env=os.environ)


@pytest.mark.parametrize(
    ("sweep", "axes"),
    [
        ([("optimizer.lr=0.1",), ("optimizer.lr=0.01",), ("optimizer.lr=0.001",)], ("optimizer.lr", "val/accuracy")),
        ([(f"optimizer.lr={lr}", f"trainer.batch_size={b}") for lr in (0.1, 0.2) for b in (8, 16)], None),
        ([("optimizer.lr=1", "trainer.epochs=1"), ("optimizer=sgd", "seed=1"), ("trainer.batch_size=9",)], None),
        ([("optimizer=sgd",), ("optimizer=adam",)], "none"),
    ],
    ids=["one key", "two keys", "three keys", "too few"],
)  # fmt: skip
def test_the_picture_follows_from_the_number_of_keys(tmp_path, sweep, axes):
    for number, words in enumerate(sweep):
        write_run(tmp_path / f"runs/{number}", *words, values=(0.05, 0.1 + number / 10))
    assert main.main(["report", str(tmp_path / "runs")]) == 0
    assert (tmp_path / "runs/report_keys.png").exists() == (axes != "none")
    page = (tmp_path / "runs/report.html").read_text()
    assert re.findall(r"<h2>(.*?)</h2>", page)[:2] == ["Side by side", "Runs"]
    assert page.count("data:image/png;base64,") == (1 if axes == "none" else 2)
    assert "://" not in page


def test_pictures_that_runs_have_shown_stand_side_by_side_in_their_order(tmp_path, monkeypatch):
    captions = []
    monkeypatch.setattr(images, "side_by_side", lambda shown: captions.append(dict(shown)) or side_by_side(shown))
    for number in range(11):
        run = write_run(tmp_path / f"runs/{number}", f"optimizer.lr=0.{number + 1:03d}", values=(0.9 - number / 100,))
        (run / "samples").mkdir()
        for epoch in (1, 2, 10):
            Image.new("RGB", (3, 2), (0, 0, 255 if epoch == 10 else 0)).save(run / f"samples/{epoch:05d}.png")
    (run / "samples/00011.tmp").write_bytes(b"half of")
    write_run(tmp_path / "runs/11", "optimizer.lr=0.5")  # one that shows none
    assert main.main(["report", str(tmp_path / "runs")]) == 0
    assert list(captions[0]) == [f"lr={number / 1000:g}" for number in range(1, 12)]
    assert all((picture[2] == 1).all() for picture in captions[0].values())
    assert "![val/accuracy](report_samples.png)" in (tmp_path / "runs/report.md").read_text()
    shutil.rmtree(tmp_path / "runs/3/samples")
    assert main.main(["report", str(tmp_path / "runs/0"), str(tmp_path / "runs/3"), "--output", str(tmp_path)]) == 0
    assert not (tmp_path / "report_samples.png").exists()


def test_a_page_has_each_run_with_its_picture_a_link_to_it_and_its_command(tmp_path):
    names = ["a b", "c#d", "e?f", "100%", "x:y", "ü"]
    for place, name in enumerate(names):
        run = write_run(tmp_path / "runs" / name, f"optimizer.lr=0.{place + 1}", values=(0.9 - place / 10,))
        (run / "plots").mkdir()
        Image.new("RGB", (600, 300), (0, 0, 255)).save(run / "plots/confusion_matrix.png")
        Image.new("RGB", (600, 300), (255, 0, 0)).save(run / "plots/learning_curves.png")
    (tmp_path / "runs/a b/plots/confusion_matrix.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "runs/c#d/plots").rename(tmp_path / "elsewhere")
    (tmp_path / "runs/c#d/plots").symlink_to(tmp_path / "elsewhere")
    assert main.main(["report", "runs", "--output", "pages/of mine"]) == 0
    page = (tmp_path / "pages/of mine/report.html").read_text()
    links = re.findall(r'<a href="(\.\.[^"]*)">', page)
    folders = [urllib.parse.unquote(link) for link in links if link.endswith("/")]
    assert folders == [f"../../runs/{name}/" for name in names] and not any(set(link) & set(" #?:") for link in links)
    shown = [urllib.parse.unquote(link).removeprefix("../../runs/") for link in links if not link.endswith("/")]
    assert shown[0] == "a b/plots/learning_curves.png", "the next one, where the most telling is damaged"
    assert shown[1:] == [f"{name}/plots/confusion_matrix.png" for name in names[2:]], "none through a link"
    pictures = [base64.b64decode(data) for data in re.findall(r"data:image/webp;base64,([^\"]+)", page)]
    sizes = [Image.open(io.BytesIO(picture)).size for picture in pictures]
    assert sizes == [(144, 72)] * 5 and max(map(len, pictures)) < 2000
    assert re.findall(r"<code[^>]*>(.*?)</code>", page)[0] == "dlrun model=mlp data=synthetic optimizer.lr=0.1"


def test_a_page_takes_the_small_copy_that_a_run_has_made_and_none_through_a_link(tmp_path):
    copy, secret = b"RIFF the copy", b"RIFF a secret"
    (tmp_path / "secret").write_bytes(secret)
    for number in range(5):
        plots = write_run(tmp_path / f"runs/{number}", f"optimizer.lr={number + 1}") / "plots"
        plots.mkdir()
        Image.new("RGB", (6, 3), (0, 0, 255)).save(plots / "roc.png")
        (plots / "roc.webp").write_bytes([copy, b"no picture", b"RIFF" + bytes(report.MOST_BYTES), b"", copy][number])
    (tmp_path / "runs/3/plots/roc.webp").unlink()
    (tmp_path / "runs/3/plots/roc.webp").symlink_to(tmp_path / "secret")
    (tmp_path / "runs/4/plots/roc.png").unlink()
    assert main.main(["report", "runs"]) == 0
    page = (tmp_path / "runs/report.html").read_text()
    found = [base64.b64decode(data) for data in re.findall(r"data:image/webp;base64,([^\"]+)", page)]
    assert found[0] == copy and secret not in found
    assert [Image.open(io.BytesIO(picture)).size for picture in found[1:]] == [(6, 3)] * 3


def test_what_is_copied_from_a_page_starts_dlrun_and_nothing_else(tmp_path):
    run = write_run(tmp_path / "runs/0")
    words = ["model=mlp", "; touch owned", "$(touch owned)", "a\nb", "\x1b]0;x\x07", "it's"]
    (run / "overrides.json").write_text(json.dumps(words))
    (run / "summary.json").write_text((run / "summary.json").read_text()[:-1] + ', "command": "touch owned"}')
    assert main.main(["report", "runs"]) == 0
    (command,) = re.findall(r"<code[^>]*>(.*?)</code>", (tmp_path / "runs/report.html").read_text())
    (tmp_path / "dlrun").write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    (tmp_path / "dlrun").chmod(0o755)
    shell = ["env", f"PATH={tmp_path}:{os.environ['PATH']}", "bash", "-c", html.unescape(command)]
    done = subprocess.run(shell, capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[:-1] == words and not (tmp_path / "owned").exists()


def test_a_few_runs_stand_side_by_side_with_their_pictures_of_one_name(tmp_path):
    for name, lr, plots in (("a", 0.1, ["roc", "predictions"]), ("b", 0.2, ["predictions"]), ("c", 0.3, ["embedding"])):
        run = write_run(tmp_path / "runs" / name, f"optimizer.lr={lr}", values=(lr,))
        (run / "plots").mkdir()
        for plot in plots:
            Image.new("RGB", (8, 4)).save(run / f"plots/{plot}.png")
    assert main.main(["report", "runs/a", "runs/b", "runs/c"]) == 0
    page = (tmp_path / "runs/report.html").read_text()
    section = page.partition('id="side-by-side"')[2].partition("</section>")[0]
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", line) for line in section.splitlines() if "<tr>" in line]
    assert rows[0] == ["", "c", "b", "a"] and rows[1] == ["optimizer.lr", "0.3", "0.2", "0.1"]
    assert ["val/accuracy", "0.3000", "0.2000", "0.1000"] in rows and ["parameters", *["1234"] * 3] in rows
    cells = {name: ["img" in cell for cell in own] for name, *own in rows[-3:]}
    assert list(cells) == ["predictions", "embedding", "roc"], "first what most of them have"
    assert cells["predictions"] == [False, True, True] and cells["embedding"] == [True, False, False]
    assert "| optimizer.lr | 0.3 | 0.2 | 0.1 |" in (tmp_path / "runs/report.md").read_text()
    for number in range(3):
        write_run(tmp_path / f"runs/more/{number}", f"optimizer.lr={number + 1}")
    assert main.main(["report", "runs"]) == 0
    assert (
        "side-by-side" not in (tmp_path / "runs/report.html").read_text().partition("<nav>")[2].partition("<script>")[0]
    )


def test_groups_are_held_against_the_best_or_the_one_that_is_named(sweep, capsys):
    assert main.main(["report", "multirun/s"]) == 0
    out = capsys.readouterr().out
    title = "differences: val/accuracy less that of model=cnn, mean over the seeds that both have"
    head, row = table(out, title)
    assert " ".join(head) == "model difference 95 % interval shared seeds"
    # 0.6 - 0.95 and 0.7 - 0.85; t of one degree of freedom is 12.706, the deviation 0.1414.
    assert " ".join(row) == "mlp -0.2500 -1.5206 to 1.0206 2"
    notes, page = (sweep / "report.md").read_text(), (sweep / "report.html").read_text()
    assert "| mlp | -0.2500 | -1.5206 to 1.0206 | 2 |" in notes and "-1.5206 to 1.0206" in page
    assert main.main(["report", "multirun/s", "--against", "model=mlp"]) == 0
    assert " ".join(table(capsys.readouterr().out, "differences: ")[1]) == "cnn 0.2500 -1.0206 to 1.5206 2"


def test_groups_of_several_data_sets_are_held_against_the_best_of_their_own(tmp_path, capsys):
    values = {
        ("mlp", "digits"): ("accuracy", 0.9), ("cnn", "digits"): ("accuracy", 0.8),
        ("mlp", "diabetes"): ("loss", 0.5), ("linear", "diabetes"): ("loss", 0.25),
    }  # fmt: skip
    for number, (((model, data), (metric, value)), seed) in enumerate(itertools.product(values.items(), (0, 1))):
        words, mode = (f"model={model}", f"data={data}", f"seed={seed}"), "min" if metric == "loss" else "max"
        write_run(tmp_path / f"runs/{number}", *words, values=(value,), metric=metric, mode=mode)
    assert main.main(["report", "runs"]) == 0
    rows = [" ".join(row) for row in table(capsys.readouterr().out, "differences: ")[1:]]
    assert rows == ["cnn digits -0.1000 -0.1000 to -0.1000 2", "mlp diabetes 0.2500 0.2500 to 0.2500 2"]
    assert main.main(["report", "runs", "--against", "model=mlp"]) == 0
    rows = [" ".join(row) for row in table(capsys.readouterr().out, "differences: ")[1:]]
    assert rows == ["cnn digits -0.1000 -0.1000 to -0.1000 2", "linear diabetes -0.2500 -0.2500 to -0.2500 2"]


def test_one_shared_seed_or_none_has_no_interval(tmp_path, capsys):
    for number, (model, seed) in enumerate((("cnn", 0), ("cnn", 1), ("mlp", 1), ("linear", 2))):
        write_run(tmp_path / f"runs/{number}", f"model={model}", f"seed={seed}", values=(0.9 - number / 10,))
    assert main.main(["report", "runs"]) == 0
    rows = [" ".join(row) for row in table(capsys.readouterr().out, "differences: ")[1:]]
    assert rows == ["mlp -0.1000 undefined: 1 shared seed 1", "linear undefined undefined: no shared seed 0"]


@pytest.mark.parametrize(
    ("against", "says"),
    [
        ("model=resnet", "no setting is so (model: cnn, mlp)"),
        ("modle=mlp", "did you mean model?"),
        ("mlp", "is not KEY=VALUE"),
        ("data=synthetic", "2 settings are so; say more: model"),
    ],
)
def test_a_setting_that_is_none_is_refused_in_one_line(sweep, capsys, against, says):
    assert main.main(["report", "multirun/s", "--against", against]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and says in err


def test_models_stand_against_data_sets_each_with_its_metric(tmp_path, capsys):
    runs = {
        ("mlp", "digits"): ("accuracy", 0.9), ("cnn", "digits"): ("accuracy", 0.8), ("mlp", "diabetes"): ("loss", 0.5),
        ("linear", "diabetes"): ("loss", 0.25), ("linear", "digits"): ("accuracy", 0.7),
    }  # fmt: skip
    for number, ((model, data), (metric, value)) in enumerate(runs.items()):
        words = [f"model={model}", f"data={data}"]
        write_run(
            tmp_path / f"runs/{number}",
            *words,
            metric=metric,
            values=(value,),
            mode="min" if metric == "loss" else "max",
        )
    assert main.main(["report", "runs"]) == 0
    title = "model x data: each data set by its own metric, parameters, seconds, * the best of its column"
    head, *rows = (re.split(r"\s{2,}", line.strip()) for line in lines_below(capsys.readouterr().out, title))
    assert head == ["model", "digits: val/accuracy", "diabetes: val/loss"]
    assert sorted(rows) == [
        ["cnn", "0.8000 · 1.23k · 2.2 s"],
        ["linear", "0.7000 · 1.23k · 2.2 s", "0.2500 · 1.23k · 2.2 s *"],
        ["mlp", "0.9000 · 1.23k · 2.2 s *", "0.5000 · 1.23k · 2.2 s"],
    ]
    assert (tmp_path / "runs/report_costs.png").exists()
    assert "| cnn | 0.8000 · 1.23k · 2.2 s |  |" in (tmp_path / "runs/report.md").read_text()


def test_a_damaged_sample_is_left_out_and_an_earlier_one_stands_in_its_place(tmp_path):
    for number in range(3):
        run = write_run(tmp_path / f"runs/{number}", f"optimizer.lr={number + 1}")
        (run / "samples").mkdir()
        Image.new("RGB", (3, 2)).save(run / "samples/00001.png")
        (run / "samples/00002.png").write_bytes((run / "samples/00001.png").read_bytes()[:-20])
    assert figures.of_samples(comparison.collect([tmp_path / "runs"])) is not None


def test_the_first_epoch_that_is_as_good_as_asked(tmp_path, capsys):
    curves = {
        ("mlp", 0): (0.2, 0.5, 0.9, 0.8),
        ("mlp", 1): (0.2, 0.3, 0.4, 0.95),
        ("cnn", 0): (0.9, 0.91),
        ("cnn", 1): (0.1, 0.2),
    }
    for number, ((model, seed), values) in enumerate(curves.items()):
        write_run(tmp_path / f"s/{number}", f"model={model}", f"seed={seed}", values=values)
    assert main.main(["report", "s", "--reach", "0.9"]) == 0
    rows = read_csv(tmp_path / "s")
    column = "epochs to val/accuracy >= 0.9"
    assert {(row["model"], row["seed"]): row[column] for row in rows} == {
        ("mlp", "0"): "3", ("mlp", "1"): "4", ("cnn", "0"): "1", ("cnn", "1"): "",
    }  # fmt: skip
    _, *groups = table(capsys.readouterr().out, "over seeds")
    assert " ".join(groups[0]).endswith("3.5000 ± 0.7071 2")
    assert " ".join(groups[1]).endswith("(1 of 2) 2")


def test_a_loss_is_reached_from_above_and_one_that_was_never_measured_is_refused(tmp_path, capsys):
    write_run(tmp_path / "s/0", values=(3.0, 2.0, 1.0), metric="loss", mode="min")
    assert main.main(["report", "s", "--reach", "2"]) == 0
    assert read_csv(tmp_path / "s")[0]["epochs to val/loss <= 2"] == "2"
    assert main.main(["report", "s", "--reach", "2", "--metric", "test/nothing"]) == 2
