"""Hydra's own flags, which print something about a config and stop, and tab completion."""

import os
import sys

from dlrun.cli.help import VERBS

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
    return show(words)
