"""The command line: `dlrun [key=value ...]` trains, `dlrun VERB ...` reads what was trained.

Nothing here imports torch before a config has been checked.
"""

import difflib
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dlrun import __version__
from dlrun.cli import hydra_flags, hydra_habits
from dlrun.cli.help import VERBS, WELCOME, help_text
from dlrun.cli.hydra_flags import SHOWING
from dlrun.config import registry, schema
from dlrun.errors import RunError, UserError, bounded
from dlrun.terminal import streams

if TYPE_CHECKING:
    from dlrun.config.check import Config

SHORT = {"-m": "--multirun", "-cd": "--config-dir", "-c": "--cfg", "-i": "--info", "-p": "--package"}
FLAGS = ("--multirun", "--config-dir", *SHOWING, "--resolve", "--package", "--version", "--help")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 failed, 2 wrong usage, 128 + signal.

    A reader that is gone (`| head`) ends nothing. Where what is printed is lost for another reason, the code is 1.
    """
    words = sys.argv[1:] if arguments is None else arguments
    with streams.enduring() as out:
        code = _run(words)
        out.flush()
        if out.lost is not None:
            print(f"dlrun: error: what was to be printed is lost ({out.lost.strerror})", file=sys.stderr)
        return code or int(out.lost is not None)


def _run(words: list[str]) -> int:
    try:
        _check_surroundings(words)
        words = hydra_habits.in_our_words(words)
        code = _answer(words)
        if code is None:
            config = _read(words)
            _import_run()(config, words)
        return code or 0
    except (UserError, RunError) as error:
        for line in str(error).splitlines():
            print(f"dlrun: error: {bounded(line)}", file=sys.stderr)
        if os.environ.get("DLRUN_DEBUG") == "1":
            traceback.print_exc()
        return error.exit_code
    except KeyboardInterrupt as error:
        return 128 + getattr(error, "number", 2)


def _check_surroundings(words: list[str]) -> None:
    """**Raises:** `UserError` for a working directory that is gone, and for words that are no text."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError("the working directory does not exist any more; go to another one") from None
    for word in words:
        if not word.isascii() and any("\ud800" <= letter <= "\udfff" for letter in word):
            raise UserError(f"{os.fsencode(word)!r}: is no UTF-8 text")


def _answer(words: list[str]) -> int | None:
    """Answers what trains no single run, with its exit code; None for what does."""
    if not words:
        print(WELCOME)
        return 0
    if "-sc" in words or "--shell-completion" in words:
        return hydra_flags.complete(words)
    first, rest = words[0], words[1:]
    if first in VERBS:
        registry.load_plugins()
        return importlib.import_module(f"dlrun.cli.verbs.{first}").main(rest)
    if "--version" in words:
        print(f"dlrun {__version__}")
        return 0
    if "--help" in words or "-h" in words:
        print(help_text())
        return 0
    if "=" not in first and first[:1].isalpha():
        _refuse_unknown_verb(first)
    flags, config_dirs, overrides = _split(words)
    shows = flags & set(SHOWING)
    if flags & {"--resolve", "--package"} and "--cfg" not in shows:
        raise UserError(f"{', '.join(sorted(flags - shows))}: only goes with --cfg job")
    if shows and "--multirun" in flags:
        raise UserError(f"{', '.join(sorted(shows))}: shows one config; leave out -m and the lists of values")
    if "--multirun" in flags:
        from dlrun.sweep import start

        return start.start(overrides, config_dirs, words).code
    if shows:
        _read(words)
        return hydra_flags.show(words)
    return None


def _read(words: list[str]) -> "Config":
    """The checked config of the run that `words` stand for."""
    from dlrun.config import check, compose

    _, config_dirs, overrides = _split(words)
    config = check.parse(compose.Composer(config_dirs).tree(overrides))
    for word in overrides:
        if word.partition("=")[0].partition(".")[0] == "sweeper":
            raise UserError(f"{word}: is read by a search, which is many runs; add -m")
    return config


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


def _refuse_unknown_verb(word: str) -> None:
    """**Raises:** `UserError` if `word` is nearer to a verb than to an option such as resnet."""
    from dlrun.config import compose

    options = [option for names in compose.groups([]).values() for option in names]
    near = difflib.get_close_matches(word, [*options, *VERBS], 1)
    if near and near[0] in VERBS:
        raise UserError(f"unknown verb {word!r}; did you mean {near[0]}? (verbs: {', '.join(VERBS)})")


def _split(words: list[str]) -> tuple[set[str], list[str], list[str]]:
    """Flags (in their long form), config folders and overrides of a training command."""
    flags, config_dirs, overrides = set(), [], []
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            overrides.append(word)
            continue
        if name in hydra_habits.FLAGS:
            raise UserError(f"{name}: {hydra_habits.FLAGS[name]}")
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
