"""Hydra's own flags, which print something about a config and stop, and tab completion."""

import os
import sys

from dlrun.cli.help import VERBS
from dlrun.examples import EXAMPLES

# Hydra's flags that print something about a config and stop, with what may follow them.
SHOWING = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--hydra-help": (),
}


def show(words: list[str]) -> int:
    """Hydra's own inspection flags (--cfg, --info, --resolve, ...), which train nothing."""
    import hydra

    from dlrun.config import compose, places

    sys.argv = ["dlrun", *words]
    hydra.main(config_path=str(places.conf_folder()), config_name="config", **compose.VERSION_BASE)(lambda _: None)()
    return 0


def complete(words: list[str]) -> int:
    """Tab completion: verbs, examples and their keys are ours, groups and keys are Hydra's."""
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
    if typed[1:2] == ["show"] and "query=bash" in words:
        print(*_of_examples(typed[2:] if line.endswith(" ") else typed[2:-1], "" if line.endswith(" ") else typed[-1]))
    if len(typed) > 1 and typed[1] in VERBS:
        os.environ["COMP_LINE"] = line.replace(f" {typed[1]}", "", 1)
        os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    return show(words)


def _of_examples(words: list[str], stem: str) -> list[str]:
    """What `stem`, typed behind the `words` of `dlrun show`, may become: an example, or a key of the one chosen."""
    chosen = next((word.removeprefix("example=") for word in words if word.startswith("example=")), None)
    if chosen is None:
        found = [f"example={name}" for name in EXAMPLES.names()]
    elif chosen in EXAMPLES:
        found = [f"{key}=" for key in EXAMPLES.describe(chosen).parameters]
    else:
        found = []
    return [word for word in found if word.startswith(stem)]
