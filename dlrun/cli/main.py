"""The command line: `dlrun [key=value ...]` trains, `dlrun VERB ...` reads what was trained.

Nothing here imports torch before a config has been checked.
"""

import difflib
import gc
import importlib
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dlrun import __version__
from dlrun.config import places, registry, schema
from dlrun.errors import RunError, UserError

if TYPE_CHECKING:
    from dlrun.config.check import Config

VERBS = {
    "list": "models, data sets, experiments, or the runs in a folder",
    "show": "the layers, shapes, parameters and FLOPs of model=... data=...",
    "eval": "the test metrics of a finished run's best weights",
    "predict": "what a finished run makes of a text, an image or a row",
    "resume": "goes on with an interrupted run or sweep",
    "report": "a table and curves over several runs or a sweep",
    "doctor": "checks versions, devices and data, and trains for a moment",
}

# Hydra's flags that print something about a config and stop, with what may follow them.
SHOWING = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--hydra-help": (),
}
SHORT = {"-m": "--multirun", "-cd": "--config-dir", "-c": "--cfg", "-i": "--info", "-p": "--package"}
FLAGS = ("--multirun", "--config-dir", *SHOWING, "--resolve", "--package", "--version", "--help")

WELCOME = f"""dlrun {__version__}: trains, compares and shows the models of a deep-learning course.

try     dlrun doctor                         is everything in place?
        dlrun model=resnet data=digits       a first image classifier, in seconds, without a download
        dlrun -m model=mlp,cnn seed=0,1      four runs and one report

train   dlrun [key=value ...]                -m: one job for each combination of listed values
verbs   {chr(10).join(f"{' ' * 8 if i else ''}dlrun {verb:<31}{text}" for i, (verb, text) in enumerate(VERBS.items()))}
help    dlrun --help                         all groups and options"""

HELP = """usage: dlrun [-m] [--config-dir DIR] [--cfg job] [key=value ...]
       dlrun VERB ...

examples
  dlrun model=resnet data=mnist                    train a model on a data set
  dlrun data=digits trainer.epochs=20 optimizer=sgd optimizer.lr=0.05
  dlrun model=torchvision model.arch=mobilenet_v2 data=imagefolder data.root=photos
  dlrun experiment=resnet_mnist device=cuda device.precision=bf16
  dlrun -m model=mlp,cnn optimizer.lr=0.1,0.01 seed='range(0,3)' sweep.jobs=2
  dlrun -m sweeper=optuna sweep=lr_search model=mlp sweeper.trials=30
  dlrun report multirun/2026-01-31_12-00-00-ab12   compare what the sweep has trained

flags
  -m, --multirun      one job for each combination of comma-separated values
  --config-dir DIR    more config groups, in your own folder DIR/model/*.yaml and so on
  --cfg job           print the composed config and stop; --info, --hydra-help: Hydra's own flags
  --version, --help

verbs
{verbs}

groups (choose with group=option, change one value with group.key=value)
{groups}

keys of the run: seed, outputs, folder, view; every other key stands in its group: dlrun --cfg job"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 failed, 2 wrong usage, 128 + signal."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        done = _dispatch(words)
        if not isinstance(done, int):
            _import_run()(done, words)
            done = 0
        # A reader that is gone is noticed here, not when Python ends.
        sys.stdout.flush()
        return done
    except (UserError, RunError) as error:
        for line in str(error).splitlines():
            print(f"dlrun: error: {line}", file=sys.stderr)
        if os.environ.get("DLRUN_DEBUG") == "1":
            traceback.print_exc()
        return error.exit_code
    except KeyboardInterrupt as error:
        return 128 + getattr(error, "number", 2)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _import_run() -> Callable[..., Any]:
    """`dlrun.run.run`. What the first import makes stays: looking for garbage in it would cost half a second."""
    is_first = "dlrun.run.run" not in sys.modules
    if is_first:
        gc.disable()
    from dlrun.run.run import run

    if is_first:
        gc.freeze()
        gc.enable()
    return run


def _dispatch(words: list[str]) -> "int | Config":
    """Answers what trains no single run, with its exit code; else gives the checked config of that run."""
    if not words:
        print(WELCOME)
        return 0
    if "-sc" in words or "--shell-completion" in words:
        return _complete(words)
    first, rest = words[0], words[1:]
    if first in VERBS:
        registry.load_plugins()
        return importlib.import_module(f"dlrun.cli.verbs.{first}").main(rest)
    if "--version" in words:
        print(f"dlrun {__version__}")
        return 0
    if "--help" in words or "-h" in words:
        print(_help())
        return 0
    if "=" not in first and first[:1].isalpha():
        _refuse_unknown_verb(first)
    return _read(words)


def _refuse_unknown_verb(word: str) -> None:
    """**Raises:** `UserError` if `word` is nearer to a verb than to an option such as resnet."""
    from dlrun.config import compose

    options = [option for names in compose.groups([]).values() for option in names]
    near = difflib.get_close_matches(word, [*options, *VERBS], 1)
    if near and near[0] in VERBS:
        raise UserError(f"unknown verb {word!r}; did you mean {near[0]}? (verbs: {', '.join(VERBS)})")


def _read(words: list[str]) -> "int | Config":
    from dlrun.config import check, compose

    flags, config_dirs, overrides = _split(words)
    shows = flags & set(SHOWING)
    if flags & {"--resolve", "--package"} and "--cfg" not in shows:
        raise UserError(f"{', '.join(sorted(flags - shows))}: only goes with --cfg job")
    if shows and "--multirun" in flags:
        raise UserError(f"{', '.join(sorted(shows))}: shows one config; leave out -m and the lists of values")
    if "--multirun" in flags:
        from dlrun.sweep import start

        return start.start(overrides, config_dirs, words)
    checked = check.parse(compose.tree(overrides, config_dirs))
    if shows:
        return _hydra(words)
    for word in overrides:
        if word.partition("=")[0].partition(".")[0] == "sweeper":
            raise UserError(f"{word}: is read by a search, which is many runs; add -m")
    return checked


def _split(words: list[str]) -> tuple[set[str], list[str], list[str]]:
    """Flags (in their long form), config folders and overrides of a training command."""
    flags, config_dirs, overrides = set(), [], []
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flag = SHORT.get(name, name)
        if flag not in FLAGS:
            raise UserError(f"unknown flag {name!r}{schema.suggest(name, FLAGS)} (flags: {', '.join(FLAGS)})")
        flags.add(flag)
        if flag == "--config-dir":
            config_dirs.append(value if equals else _follower(name, "FOLDER", remaining))
        elif flag == "--package" and not equals:
            _follower(name, "PACKAGE", remaining)
        elif allowed := SHOWING.get(flag):
            chosen = value if equals else _follower(name, "|".join(allowed), remaining)
            if chosen not in allowed:
                raise UserError(f"{name}: must be one of {', '.join(allowed)}, found {chosen!r}")
    return flags - {"--config-dir"}, config_dirs, overrides


def _follower(flag: str, what: str, remaining: Iterator[str]) -> str:
    word = next(remaining, None)
    if word is None:
        raise UserError(f"{flag}: what follows is missing; write {flag} {what}")
    return word


def _hydra(words: list[str]) -> int:
    """Hydra's own inspection flags (--cfg, --info, --resolve, ...), which train nothing."""
    import hydra

    from dlrun.config import compose

    sys.argv = ["dlrun", *words]
    hydra.main(config_path=str(places.conf_folder()), config_name="config", **compose.VERSION_BASE)(lambda _: None)()
    return 0


def _complete(words: list[str]) -> int:
    """Tab completion: verbs are ours, groups and keys are Hydra's."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    if (
        "query=bash" in words
        and len(typed) <= 2
        and "=" not in line
        and not line.endswith(f"{typed[-1]} " if len(typed) == 2 else "\0")
    ):
        stem = typed[1] if len(typed) == 2 else ""
        for verb in VERBS:
            if verb.startswith(stem):
                print(verb, end=" ")
    if len(typed) > 1 and typed[1] in VERBS:
        os.environ["COMP_LINE"] = line.replace(f" {typed[1]}", "", 1)
        os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    return _hydra(words)


def _help() -> str:
    from dlrun.config import compose

    verbs = "\n".join(f"  {verb:<10}{text}" for verb, text in VERBS.items())
    groups = [
        textwrap.fill(", ".join(options), 100, initial_indent=f"  {group:<11}", subsequent_indent=" " * 13)
        for group, options in compose.groups([]).items()
    ]
    return HELP.format(verbs=verbs, groups="\n".join(groups))
