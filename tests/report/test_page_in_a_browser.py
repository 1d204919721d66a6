"""The page in a browser that runs its script: without one these tests are skipped."""

import re
import shutil
import subprocess

import pytest
from PIL import Image
from stored_runs import write_run

from dlrun.report import page, report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no chromium or chrome on this machine")

QUIET = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions", "--no-first-run"]


def opened(path, home, place=""):
    """What a browser makes of a page, as HTML."""
    words = [BROWSER, *QUIET, f"--user-data-dir={home / 'browser'}", "--dump-dom", f"{path.as_uri()}{place}"]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def column(dom, section, place):
    """The texts of a column of the table in a section."""
    table = dom.partition(f'id="{section}"')[2].partition("</section>")[0]
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line) for line in table.split("</tr>") if "<td" in line]
    return [re.sub(r"<.*?>", "", row[place]) for row in rows]


def test_a_table_is_sorted_by_numbers_with_the_missing_last_and_says_so(tmp_path):
    rows = [["10", "0.5 ± 0.1"], ["9", "1e-3"], ["b", ""], ["8", "undefined"], ["7", "1,200"], ["6", "-3 *"]]
    words = [["run 10"], ["run 9"], ["Run 1"]]
    sections = [("Runs", page.html_table(["name", "a: value"], rows)), ("By word", page.html_table(["w"], words))]
    (tmp_path / "page.html").write_text(page.html_page("t", sections))
    up = opened(tmp_path / "page.html", tmp_path, "#table=runs&sort=a%3A+value&order=ascending")
    assert column(up, "runs", 1) == ["-3 *", "1e-3", "0.5 ± 0.1", "1,200", "", "undefined"]
    assert column(up, "runs", 0)[-2:] == ["b", "8"], "in their old order"
    assert 'aria-sort="ascending"><button type="button">a: value</button>' in up
    assert up.count("<button") == 3, "each head is reached by the keyboard"
    both = opened(tmp_path / "page.html", tmp_path, "#table=by-word&sort=w&order=descending")
    assert column(both, "by-word", 0) == ["run 10", "run 9", "Run 1"]
    assert column(both, "runs", 0) == [row[0] for row in rows]


def test_a_report_opens_whole_and_runs_nothing_that_a_run_has_written(tmp_path):
    text = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
    for number in range(3):
        words = [f"optimizer.lr={number + 1}"]
        run = write_run(tmp_path / f"a #1?/{number}", *words, state="failed" if number == 2 else "done", error=text)
        (run / "plots").mkdir()
        Image.new("RGB", (30, 20)).save(run / "plots/roc.png")
    (tmp_path / "a #1?/0/overrides.json").write_text(f'["{text.replace(chr(34), chr(92) + chr(34))}"]')
    report.report([str(tmp_path / "a #1?")])
    dom = opened(tmp_path / "a #1?/report.html", tmp_path, "#table=runs&sort=optimizer.lr&order=descending")
    assert "<title>3 runs (2 done, 1 failed), highest val/accuracy first</title>" in dom
    assert column(dom, "runs", 2) == ["3.0", "2.0", "1.0"]
    assert dom.count(">copy</button>") == 3 and dom.count("<script>") == 1 and "<img src" not in dom
