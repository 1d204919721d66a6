import io
import types

import pytest

from dlrun.terminal import console


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.97487, "0.9749"),
        (0.0012341, "0.001234"),
        (2861.3, "2861"),
        (1.23e-8, "1.23e-08"),
        (0.0, "0.0000"),
        (12, "12"),
        (-5.5, "-5.5000"),
    ],
)
def test_numbers_show_four_digits(value, text):
    assert console.number(value) == text


def test_the_final_table_has_a_column_a_part(capsys):
    console.print_metrics("run [a] of [/b]", {"val/loss": 0.5, "test/loss": 0.25, "test/f1": 1.0})
    lines = [line.replace("│", " ").replace("┃", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert ["run", "[a]", "of", "[/b]"] in lines
    assert ["metric", "val", "test"] in lines
    assert ["loss", "0.5000", "0.2500"] in lines
    assert ["f1", "1.0000"] in lines


def job(number, state, **more):
    values = {"value": None, "seconds": None, "reason": None, "changed": {"model.hidden_sizes": "[4]"}}
    return types.SimpleNamespace(number=number, state=state, **(values | more))


def test_without_a_terminal_each_ended_job_is_one_line(capsys):
    jobs = [job(0, "done"), job(1, "running", value=0.5, seconds=1.0), job(2, "failed", reason="[/x] broke")]
    table = console.SweepTable(jobs)
    jobs[1].state = "done"
    table.update()
    table.update()
    assert capsys.readouterr().out.splitlines() == [
        "job   1 of 3  done 0.5000 in 1.0 s  model.hidden_sizes=[4]",
        "job   2 of 3  failed: [/x] broke  model.hidden_sizes=[4]",
    ]


def test_the_live_table_shows_reasons_as_they_are():
    from rich.console import Console

    out = Console(file=io.StringIO(), width=100)
    out.print(console.SweepTable([job(0, "failed", reason="[/x] broke"), job(1, "waiting")])._table())
    assert "failed: [/x] broke" in out.file.getvalue()
    assert "[4]" in out.file.getvalue()


def test_the_bar_follows_batches_of_the_whole_run(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    shown = console.Console(epochs=3, batches_per_epoch=10)
    shown.progress(epoch=1, batch=4, loss=0.5)
    assert (shown.bar.n, shown.bar.total) == (14, 30)
    shown.close()


def test_a_job_whose_training_diverged_says_so(capsys):
    jobs = [job(0, "running", value=9e9, seconds=1.0, reason="training diverged")]
    table = console.SweepTable(jobs)
    jobs[0].state = "done"
    table.update()
    assert capsys.readouterr().out.startswith("job   0 of 1  done 9e+09 in 1.0 s (training diverged)")
