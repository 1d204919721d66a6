"""dlrun in the kernel of a notebook: the example runs, and shows what a notebook can show."""

import pathlib
import re
import textwrap

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples/first_steps.ipynb"


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """Nothing of the user's is read or written by the kernel."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    return tmp_path


def client_of(notebook, folder):
    return NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(folder)}})


def outputs(cell, kind):
    """What a cell shows of a kind such as `text/html`."""
    return "".join(output["data"][kind] for output in cell.outputs if kind in output.get("data", {}))


def cell_with(notebook, text):
    (found,) = [cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source]
    return found


def test_the_example_is_stored_without_outputs_and_needs_no_command_line():
    example = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(example)
    code = [cell for cell in example.cells if cell.cell_type == "code"]
    assert 10 <= len(code) <= 16
    for cell in code:
        assert cell.outputs == [] and cell.execution_count is None
        assert not re.search(r"^\s*[!%]|subprocess|os\.system", cell.source, re.M)


def test_the_example_runs_and_shows_its_runs(surroundings):
    example = nbformat.read(EXAMPLE, as_version=4)
    client_of(example, surroundings).execute()
    trained = cell_with(example, "run = dlrun.train")
    assert outputs(trained, "text/html").count("data:image/png;base64,") == 3
    assert "test" in outputs(trained, "text/html") and "mlp" in outputs(trained, "text/html")
    printed = "".join(output.text for output in trained.outputs if output.output_type == "stream")
    assert "epoch 3/3" in printed and "dlrun " not in printed and "batch" not in printed, "no bar of letters"
    # The bar is there while a run trains, and is taken away at its end.
    assert [output for output in trained.outputs if output.output_type == "display_data"]
    assert "<progress" not in outputs(trained, "text/html")
    assert outputs(cell_with(example, 'run.plots["confusion_matrix"]'), "image/png")
    seeds = outputs(cell_with(example, "seeds = dlrun.sweep"), "text/html")
    assert "3 runs (3 done)" in seeds and "±" in seeds and "data:image/png" in seeds
    assert "torch.Size([2, 10])" in outputs(cell_with(example, "untrained ="), "text/plain")


INTERRUPTED = [
    """
    import os, signal, threading, dlrun
    from dlrun.engine.step import Step
    words = ["model=mlp", "model.hidden_sizes=[8]", "data=synthetic", "data.num_train=64", "trainer.batch_size=8"]
    words += ["logger=none", "trainer.epochs=3"]
    original, seen = Step.__call__, []
    def pressed(self, *args, **kwargs):
        seen.append(1)
        if len(seen) == 10:
            os.kill(os.getpid(), signal.SIGINT)  # what the button of a notebook sends
        return original(self, *args, **kwargs)
    Step.__call__ = pressed
    """,
    "runs = [run := dlrun.train(*words, seed=seed) for seed in range(3)]",
    "run.state, len(seen), threading.active_count() > 0",
    "run",
    "run.resume().state, dlrun.train(*words).metrics == run.metrics",
    "dlrun.train('model=mlpp')",
]


def test_the_interrupt_of_a_notebook_leaves_a_run_to_go_on_with(surroundings):
    cells = [nbformat.v4.new_code_cell(textwrap.dedent(source)) for source in INTERRUPTED]
    for cell in (cells[1], cells[-1]):
        cell.metadata["tags"] = ["raises-exception"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    try:
        client_of(notebook, surroundings).execute()
    except CellExecutionError as error:  # with the line of the cell
        pytest.fail(str(error))
    (error,) = [output for output in cells[1].outputs if output.output_type == "error"]
    assert (error.ename, error.evalue) == ("KeyboardInterrupt", "this cell was interrupted")
    assert outputs(cells[2], "text/plain").startswith("('interrupted', 10,")
    assert "interrupted" in outputs(cells[3], "text/html")
    assert outputs(cells[4], "text/plain").endswith("('done', True)")
    (mistake,) = [output for output in cells[5].outputs if output.output_type == "error"]
    assert mistake.ename == "UserError" and mistake.evalue.startswith("model: no option 'mlpp'; did you mean mlp?")
