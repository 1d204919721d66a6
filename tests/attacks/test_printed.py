"""What comes from a stranger's file is shown, never obeyed: by a terminal, a browser, a spreadsheet, a shell."""

import csv
import json
import re
import shlex
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_runs import write_run

from dlrun.store.files import csv_cell
from dlrun.store.run_folder import RunFolder
from dlrun.terminal.escaping import in_one_line, printable, quoted

UNSEEN = {
    "colour": "\x1b[31m", "title": "\x1b]0;x\x07", "bell": "\x07", "backspace": "\x08\x08", "back": "a\rb",
    "above": "\x1b[1A", "eight bits": "\x9b31m", "from the right": "\u202eabc", "nothing": "\u200b", "line": "\u2028",
    "delete": "\x7f", "tag": "\U000e0041",
}  # fmt: skip
MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://a/b.png)",
    "[x](javascript:y)",
    "a|b",
]
FORMULAS = ["=1+1", "+1+1", "-1+cmd|'/C calc'!A0", "@SUM(A1)", "\t=1", "=HYPERLINK(\"http://a\")"]  # fmt: skip


@pytest.fixture
def marked(tmp_path, monkeypatch):
    """`marked(text)`: a run in whose every text `text` stands."""
    monkeypatch.chdir(tmp_path)

    def write(text):
        run = write_run(tmp_path / "runs/0", state=f"failed{text}", metric=f"accuracy{text}", error=f"why {text}")
        shutil.copytree(run, tmp_path / "runs/1")
        config = (run / "config.yaml").read_text().replace("name: mlp", f"name: {json.dumps('mlp' + text)}")
        (run / "config.yaml").write_text(config)
        done = json.loads((write_run(tmp_path / "runs/2", metric="x") / "summary.json").read_text())
        done |= {"metrics": {f"val/{text}": 0.5}, "device": text}
        (tmp_path / "runs/2/summary.json").write_text(json.dumps(done))
        return run

    return write


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN)
def test_no_terminal_is_given_a_command(marked, attempt, text):
    run = marked(text)
    for words in (
        ("list", "runs", "runs"),
        ("report", "runs"),
        ("show", run),
        ("show", run.parent / "2"),
        ("eval", run),
    ):
        _, printed = attempt(*words)
        assert printable(printed) == printed and "\r" not in printed
    printed = attempt("show", run)[1]
    assert ascii(text)[1:-1] in printed or "cannot be read" in printed or "config.yaml: line" in printed


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN)
def test_no_name_of_a_file_is_a_command(tmp_path, attempt, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / f"run{text}"
    write_run(folder)
    for words in (("list", "runs", "."), ("report", folder), ("show", folder), ("model=mlp", f"folder={folder}")):
        _, printed = attempt(*words)
        assert printable(printed) == printed and "\r" not in printed


@pytest.mark.parametrize("text", MARKUP)
def test_no_report_holds_markup(marked, attempt, tmp_path, text):
    marked(text)
    attempt("report", "runs")
    page, notes = (tmp_path / "runs/report.html").read_text(), (tmp_path / "runs/report.md").read_text()
    assert page.count("<script>") == 1, "its own, and the policy lets no other run"
    assert not re.search(r"<(script[^>]|img src=x)|alert\(1\)</script>|javascript:y\"", page)
    assert "<" not in re.sub(r"\\<", "", notes)
    assert not re.search(r"(?<!\\)\]\((http|javascript)", notes)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_table_holds_a_formula(tmp_path, attempt, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs/0", state="failed", error=text)
    write_run(tmp_path / "runs/1")
    attempt("report", "runs")
    rows = list(csv.reader((tmp_path / "runs/report.csv").read_text().splitlines()))
    assert f"'{text}" in [cell for row in rows for cell in row] or text == "\t=1"
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t"))]


def test_no_column_of_predictions_is_a_formula(tmp_path):
    RunFolder(tmp_path, ("val/loss", "min")).write_predictions({"true": ["a"], "=1+1": ["=2"]})
    assert (tmp_path / "predictions.csv").read_text() == "true,'=1+1\na,'=2\n"


def test_a_number_is_no_formula():
    assert [csv_cell(value) for value in (-1.5, "-1.5", "+2", float("nan"), "x")] == [-1.5, "-1.5", "+2", "", "x"]


@given(st.text())
def test_what_is_printed_prints(text):
    shown = in_one_line(text)
    assert printable(shown) == shown and not set(shown) & set("\n\t\r\x1b")
    assert text not in ("", shown) or shown == text


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_quoted_path_is_one_word(text):
    word = quoted(text)
    assert in_one_line(word) == word
    if not word.startswith("$"):
        assert shlex.split(word) == [text]


@pytest.mark.parametrize("text", [*UNSEEN.values(), "it's \x1b", "a b", "$(x)", "back\\slash \x07", "`x`", "a\nb"])
def test_a_shell_reads_a_quoted_path_as_it_is(text):
    done = subprocess.run(["bash", "-c", f"printf %s {quoted(text)}"], capture_output=True)
    assert done.stdout.decode() == text


def test_a_folder_with_an_equals_sign_is_a_folder(tmp_path, attempt, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a=b", state="interrupted")
    for verb in ("show", "eval", "resume"):
        assert "usage" not in attempt(verb, "a=b")[1]
