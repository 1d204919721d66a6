"""dlrun in Python and in notebooks.

    run = dlrun.train("model=resnet", "data=digits", trainer={"epochs": 3})
    run.metrics, run.history, run.plots, run.model, run.predict(images)
    run = dlrun.load("outputs/resnet-digits/2026-01-31_12-00-00-ab12")

Words are those of the command line; a keyword is the same word in Python: `seed=1`,
`optimizer={"name": "sgd", "lr": 0.1}`, `model=MyNet` for a class of your own.
Mistakes are `dlrun.errors.UserError`, a run that cannot go on is a `RunError`.

Runs of one process take turns, also those of several threads: each has the random generators and the switches of torch
for itself, so that it gives the same numbers as alone, and leaves them as they were.
"""

import dataclasses
import functools
import html
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dlrun import disk
from dlrun.config import check, compose, registry
from dlrun.errors import RunError, UserError, bounded
from dlrun.report import comparison, page
from dlrun.report import report as reports
from dlrun.store import runs, sweep_record
from dlrun.terminal import notebook
from dlrun.terminal.console import metrics_table, number

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor, nn

    from dlrun.engine.interrupt import Interrupted
    from dlrun.run.answers import TrainedModel
    from dlrun.run.trained import Trained
    from dlrun.sweep.jobs import Ended

    Inputs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | np.ndarray | Tensor | pd.DataFrame

Folder = str | os.PathLike[str]

P = ParamSpec("P")
T = TypeVar("T")

MOST_PICTURES = 3  # that a run shows by itself
CURVES = "learning_curves"


def _as_printed(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: a mistake is told in the lines that the command prints, which are read at a glance."""

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (UserError, RunError) as error:
            error.args = ("\n".join(map(bounded, str(error).splitlines())),)
            raise

    return told


@_as_printed
def train(*words: str, config_dir: Folder | None = None, **keys: Any) -> "Run":
    """Trains one run and gives it, as `dlrun WORDS` does on the command line.

    `config_dir` is a folder with config groups of your own (`--config-dir`).

    In a notebook, an interrupt ends the run at its next step and gives it as it then is: `run.state` is `interrupted`,
    `run.resume()` goes on. In a program it raises `KeyboardInterrupt`; its `path` is the folder of the run.

    **Raises:** `UserError` before anything is written; `RunError` if training cannot go on.
    """
    _refuse_stopped_cell()
    config, told = _config(words, keys, config_dir)

    from dlrun.engine.interrupt import Interrupted
    from dlrun.run.run import run

    # The working directory may change before the run ends.
    folder = None if config.folder is None else os.path.abspath(config.folder)
    config = dataclasses.replace(config, outputs=os.path.abspath(config.outputs), folder=folder)
    try:
        return Run(run(config, told, from_python=True).path)
    except Interrupted as error:
        return Run(_interrupted(error))


@_as_printed
def sweep(*words: str, config_dir: Folder | None = None, **keys: Any) -> "Sweep":
    """Trains a run for each combination of the values that are listed, as `dlrun -m WORDS`: a process each.

    A list holds the values of a key (`seed=[0, 1, 2]`), a tuple is one value (`model={"hidden_sizes": (64, 32)}`).
    A search is `sweeper="optuna"`. An interrupt is answered as by `train`.

    **Raises:** `UserError` before anything is written if a job's config is wrong.
    """
    _refuse_stopped_cell()
    told = [*_each_a_word(words), *_as_words(keys, lists_values=True)]
    dirs = [] if config_dir is None else [os.fspath(config_dir)]

    from dlrun.sweep import start

    return _ended(start.start(told, dirs, ["--multirun", *(f"--config-dir={d}" for d in dirs), *told]))


@_as_printed
def load(folder: Folder, **registered: Any) -> "Run | Sweep":
    """The run or the sweep in `folder`.

    `model=MyNet` (or `data=`, `task=`, ...) gives it the class that it was trained with, where that stands in no file
    that `DLRUN_PLUGINS` names.

    **Raises:** `UserError` if there is none.
    """
    path = pathlib.Path(folder).expanduser()
    if sweep_record.is_sweep(path):
        return Sweep(path)
    stored = runs.open_run(path)
    for group, thing in registered.items():
        if group not in registry.TABLES:
            raise UserError(f"{group}: is no group; a class is given for {', '.join(registry.TABLES)}")
        section = stored.config.get(group)
        name = section.get("name") if isinstance(section, dict) else None
        if not isinstance(name, str):
            raise UserError(f"{path}: its config names no {group}")
        registry.of(group).register(name)(thing)
    return Run(path)


@_as_printed
def load_model(folder: Folder, **registered: Any) -> "TrainedModel":
    """The best weights of the run in `folder`, ready to call: raw inputs in, outputs of the model out.

    `registered` as in `load`.
    """
    found = load(folder, **registered)
    if not isinstance(found, Run):
        raise UserError(f"{found.path}: is a sweep; load the model of one run, such as {found.best.path}")
    return found.trained_model()


@_as_printed
def build(model: Any, *words: str, **keys: Any) -> "nn.Module":
    """A new model, as a run begins with it: its sizes from the data, its weights from the seed; nothing is trained.

    `dlrun.build("resnet", data="cifar10", seed=1)`. Data are read only where their sizes cannot be known otherwise.

    **Raises:** `UserError` if model and data do not fit.
    """
    config, _ = _config(words, {"model": model} | keys, None)

    from dlrun.engine.state import seed_everything
    from dlrun.run import assemble

    with assemble.on_device(config) as device:
        spec, _ = assemble.view(config, assemble.data(config).spec)
        seed_everything(config.seed)
        return assemble.model(config, spec).to(device)


@_as_printed
def compare(*found: "Run | Comparison | Folder", metric: str | None = None) -> "Comparison":
    """Runs and sweeps, or folders of them, side by side, best first by `metric`, or by what they watched."""
    if not found:
        raise UserError("compare: give it runs, sweeps or folders")
    folders = [path for each in found for path in (each.folders if isinstance(each, Comparison) else [each])]
    return Comparison(folders, metric)


class Run:
    """A run on disk. What is read of it is what stands in its folder now.

    **Attributes:**

    - `path`: its folder, absolute.
    """

    def __init__(self, path: Folder):
        self.path = pathlib.Path(path).expanduser().absolute()
        runs.open_run(self.path)

    @property
    def state(self) -> str:
        """`running`, `done`, `interrupted`, `failed`, `pruned` or `killed`."""
        return self._row.state

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics, `part/name`, or the latest of a run that has not come to its end; nan: undefined."""
        return self._row.metrics

    @property
    def value(self) -> float | None:
        """The metric that the run watches, of its best weights."""
        return runs.open_run(self.path).value

    @property
    def history(self) -> "pd.DataFrame":
        """A row an epoch: `epoch`, `step`, `lr`, `train/loss`, `val/accuracy` and so on."""
        import pandas as pd

        frame = pd.DataFrame(self._row.history)
        return frame.astype({name: int for name in ("epoch", "step") if name in frame})

    @property
    def config(self) -> dict[str, Any]:
        """The whole config, as config.yaml keeps it."""
        return runs.open_run(self.path).config

    @property
    def plots(self) -> "Plots":
        """The pictures by name; `run.plots["confusion_matrix"]` shows itself in a notebook."""
        return Plots(self.path)

    @property
    def model(self) -> "nn.Module":
        """The model with the best weights, in eval mode; what it takes stands in `trained_model`."""
        return self._trained.model

    def trained_model(self) -> "TrainedModel":
        """The model together with what is done to its inputs, and the names of its classes."""
        from dlrun.run.answers import TrainedModel

        return TrainedModel(self._trained)

    @_as_printed
    def predict(self, inputs: "Inputs", *, score: float | None = None) -> "pd.DataFrame":
        """What the best weights say of new inputs, a row each.

        `inputs`: an array of raw inputs, one or many: images (N, C, H, W), (N, H, W, C) or (N, H, W) with values in
        0..255, or in 0..1 if they are floats, features (N, F), series (N, T, F); paths of images or folders of them; a
        DataFrame or the path of a CSV file with the columns that the run was trained on; texts.

        `score`: of runs that find places in images, the least score that is listed.

        **Raises:** `UserError` for what the run cannot take.
        """
        from dlrun.run import answers

        return answers.frame(self._trained, inputs, score)

    @_as_printed
    def write(self, prompt: str, length: int = 200, *, temperature: float = 0.8, seed: int = 0) -> str:
        """How a model of text goes on after `prompt`, `length` characters.

        **Raises:** `UserError` for a run that has not learned to write.
        """
        from dlrun.run import answers

        return answers.written(self._trained, prompt, length, temperature, seed)

    @_as_printed
    def evaluate(self, part: str | None = None, **keys: Any) -> dict[str, float]:
        """The metrics of the best weights on `part` (`train`, `val`, `test`; usually the last), measured again.

        `keys` as in `train`: `data={"path": ...}`, `device={"name": "cpu"}`.
        """
        from dlrun.run import stored, trained

        return trained.measure(stored.config_of(runs.open_run(self.path), _as_words(keys)), self.path, part)

    @_as_printed
    def resume(self, **keys: Any) -> "Run":
        """Goes on with a run that was interrupted, or with `trainer={"epochs": N}` beyond its end; gives itself."""
        _refuse_stopped_cell()

        from dlrun.engine.interrupt import Interrupted
        from dlrun.run.resume import resume_run

        try:
            resume_run(self.path, _as_words(keys), from_python=True)
        except Interrupted as error:
            _interrupted(error)
        finally:
            self.__dict__.pop("_trained", None)  # its weights are others now
        return self

    @property
    def _row(self) -> comparison.Row:
        (row,) = comparison.collect([self.path])
        if row.state == comparison.UNREADABLE:
            raise UserError(str(row.reason))
        return row

    @functools.cached_property
    def _trained(self) -> "Trained":
        from dlrun.run import stored, trained

        config = stored.config_of(runs.open_run(self.path), on_cpu=True)
        return trained.load(config, self.path, with_data=False)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        value = self.value
        told = "" if value is None else f", {self._row.watch} {number(value)}"
        return f"<Run {self.path}: {self.state}{told}>"

    def _repr_html_(self) -> str:
        row = self._row
        names = " ".join(f"{group}={row.keys.get(group)}" for group in ("model", "data", "seed"))
        epochs = f"{row.epochs} epoch{'s' if row.epochs != 1 else ''}"
        facts = [row.ended + (f": {row.reason}" if row.reason else ""), epochs, str(self.path)]
        parts = [f"<b>{html.escape(names)}</b><br>{html.escape(' · '.join(facts))}"]
        if row.metrics:
            columns, cells = metrics_table(row.metrics)
            parts.append(page.html_table(columns, cells, columns[1:]))
        plots = self.plots
        if CURVES not in plots and row.history:
            from dlrun.plots import curves
            from dlrun.plots.figure import png_bytes

            parts.append(page.html_picture(png_bytes(curves.learning_curves(row.history)), CURVES))
        shown = sorted(plots, key=lambda name: name != CURVES)
        parts += [plots[name]._repr_html_() for name in shown[:MOST_PICTURES]]
        if rest := shown[MOST_PICTURES:]:
            parts.append(f"more in <code>run.plots</code>: {html.escape(', '.join(rest))}")
        return "\n".join(f"<div>{part}</div>" for part in parts)


class Comparison:
    """Runs side by side, best first.

    **Attributes:**

    - `folders`: where they lie; `metric`: what they are compared by, None: what they watched.
    """

    def __init__(self, folders: Sequence[Folder], metric: str | None = None):
        self.folders = [pathlib.Path(folder).expanduser().absolute() for folder in folders]
        self.metric = metric

    @property
    def runs(self) -> "list[Run]":
        """The runs that can be read, best first."""
        rows = self._tables.rows
        return [Run(row.path) for row in rows if (row.path / "config.yaml").exists()]

    @property
    def best(self) -> Run:
        """The best run that came to its end. **Raises:** `UserError` if there is none."""
        done = [run for run in self.runs if run.state == "done"]
        if not done:
            raise UserError(f"{self.folders[0]}: no run has come to its end")
        return done[0]

    @property
    def table(self) -> "pd.DataFrame":
        """A row a run: the keys in which they differ, all metrics, best epoch, epochs, seconds, state."""
        import pandas as pd

        columns, rows = self._tables.records()
        return pd.DataFrame(rows, columns=columns)

    @property
    def over_seeds(self) -> "pd.DataFrame":
        """A row a setting: mean, sample standard deviation and n of the metric over its seeds."""
        import pandas as pd

        found, tables = [], self._tables
        for group in tables.groups:
            keys = {key: group.keys.get(key) for key in tables.keys if key != "seed"}
            values = group.values(tables.metric)
            found.append(keys | {"mean": group.mean(tables.metric), "std": group.std(tables.metric), "n": len(values)})
        return pd.DataFrame(found)

    @property
    def _tables(self) -> reports.Compared:
        return reports.compare([str(folder) for folder in self.folders], self.metric)

    def __len__(self) -> int:
        return len(self._tables.rows)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._tables.title}>"

    def _repr_html_(self) -> str:
        tables = self._tables
        parts = [f"<b>{html.escape(tables.title)}</b>", *(body for _, body in tables.sections())]
        parts += [page.html_picture(png, name) for name, png in tables.pictures()[0].items() if png]
        return "\n".join(f"<div>{part}</div>" for part in parts)


class Sweep(Comparison):
    """A sweep on disk: its runs side by side.

    **Attributes:**

    - `path`: its folder, absolute.
    """

    def __init__(self, path: Folder):
        super().__init__([path])
        self.path = self.folders[0]
        sweep_record.read(self.path)

    @property
    def state(self) -> str:
        """`done`, `failed` if a job has, `running`, or `interrupted` where something is left that nobody runs."""
        states = {job.state for job in sweep_record.read(self.path).jobs}
        if "running" in states and any(run.state == "running" for run in self.runs):
            return "running"
        if states & {"waiting", "running", "interrupted"}:
            return "interrupted"
        return "failed" if "failed" in states else "done"

    @_as_printed
    def resume(self, **keys: Any) -> "Sweep":
        """Runs what is missing; of a search `sweeper={"trials": N}` asks for more. Gives the sweep."""
        _refuse_stopped_cell()

        from dlrun.sweep import start

        return _ended(start.resume(self.path, _as_words(keys)))

    def __fspath__(self) -> str:
        return str(self.path)


class Picture:
    """A PNG file that shows itself in a notebook."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"<Picture {self.path}>"

    def _repr_png_(self) -> bytes:
        return disk.content(self.path)

    def _repr_html_(self) -> str:
        return page.html_picture(disk.content(self.path), self.path.stem)


class Plots(Mapping[str, Picture]):
    """The pictures of a run by name, the most telling first; all of them show themselves in a notebook."""

    def __init__(self, path: pathlib.Path):
        self._found = {name: Picture(file) for name, file in runs.plots(path).items()}

    def __getitem__(self, name: str) -> Picture:
        if name not in self._found:
            raise KeyError(f"{name}; there are {', '.join(self._found) or 'no pictures'}")
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<Plots {', '.join(self._found) or 'none'}>"

    def _repr_html_(self) -> str:
        return "\n".join(picture._repr_html_() for picture in self._found.values())


# The cell of a notebook in which somebody has interrupted dlrun: nothing else starts in it.
_stopped_cell: int | None = None


def _interrupted(error: "Interrupted") -> pathlib.Path:
    """The folder of the run that was interrupted, for a person at a prompt; a program gets the interrupt."""
    global _stopped_cell  # noqa: PLW0603 - a process has one cell at work
    if error.path is None or not notebook.is_typed():
        raise error
    _stopped_cell = notebook.cell()
    return error.path


def _refuse_stopped_cell() -> None:
    """**Raises:** `KeyboardInterrupt` where a loop would go on behind an interrupt."""
    if _stopped_cell is not None and _stopped_cell == notebook.cell():
        raise KeyboardInterrupt("this cell was interrupted")


def _ended(ended: "Ended") -> Sweep:
    if ended.code > 128:
        from dlrun.engine.interrupt import Interrupted

        error = Interrupted(ended.code - 128)
        error.path = ended.home.absolute()
        return Sweep(_interrupted(error))
    return Sweep(ended.home)


def _config(words: Sequence[str], keys: Mapping[str, Any], config_dir: Folder | None) -> tuple[check.Config, list[str]]:
    """The checked config of one run, and the words that stand for it."""
    dirs = [] if config_dir is None else [os.fspath(config_dir)]
    told = [*_each_a_word(words), *_as_words(keys)]
    return check.parse(compose.Composer(dirs).tree(told)), [*(f"--config-dir={d}" for d in dirs), *told]


def _each_a_word(words: Sequence[str]) -> Sequence[str]:
    """**Raises:** `UserError` for what is no word, and for a line of several."""
    for word in words:
        if not isinstance(word, str):
            raise UserError(f"{word!r}: a word is a text such as 'model=mlp'; other values are given by keywords")
        if len(parts := re.split(r"\s+(?=[\w./]+=)", word.strip())) > 1:
            raise UserError(f"{word!r}: give each word by itself: {', '.join(map(repr, parts))}")
    return words


def _as_words(keys: Mapping[str, Any], lists_values: bool = False) -> list[str]:
    """Words of the command line; with `lists_values` a list holds the values that a sweep tries."""
    return [word for key, value in keys.items() for word in _words(key, value, lists_values)]


def _words(key: str, value: Any, lists_values: bool) -> list[str]:
    if isinstance(value, Mapping):
        return [
            word for k, v in value.items() for word in _words(key if k == "name" else f"{key}.{k}", v, lists_values)
        ]
    if lists_values and isinstance(value, list):
        if not value:
            raise UserError(f"{key}: lists no value to try")
        tried = [_words(key, each, False) for each in value]
        if any(len(words) > 1 for words in tried):
            raise UserError(f"{key}: lists settings of several keys; give each key a list of its own")
        return [f"{key}={','.join(word.partition('=')[2] for (word,) in tried)}"]
    return [compose.word(key, _plain(key, value))]


def _plain(key: str, value: Any) -> Any:
    """`value` as a config holds it; a class or function is registered, and stands there by its name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(key, each) for each in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of NumPy or torch
        return value.item()
    if key in registry.TABLES and callable(value) and getattr(value, "__name__", "").isidentifier():
        registry.of(key).register(value.__name__)(value)
        return value.__name__
    hint = "; give a name, or a class" if key in registry.TABLES else ""
    raise UserError(f"{key}: {type(value).__name__!r} is no value of a config{hint}")
