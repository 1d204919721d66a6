"""`dlrun eval RUN [--part test]`: the metrics of a finished run's best weights, measured again."""

from dlrun.cli.arguments import is_override
from dlrun.errors import UserError
from dlrun.store import runs

USAGE = "dlrun eval RUN [--part train|val|test] [device.KEY=VALUE] [data.path=FILE] [data.root=FOLDER]"


def main(words: list[str]) -> int:
    """Prints a table. **Raises:** `UserError` for a folder without usable weights."""
    overrides = [word for word in words if is_override(word)]
    plain = [word for word in words if not is_override(word)]
    wanted = None
    if "--part" in plain:
        place = plain.index("--part")
        wanted = plain[place + 1] if place + 1 < len(plain) else ""
        del plain[place : place + 2]
    if len(plain) != 1:
        raise UserError(f"eval: give one run; usage: {USAGE}")
    run = runs.open_run(plain[0])

    from dlrun.run import stored, trained
    from dlrun.terminal.console import print_metrics

    metrics = trained.measure(stored.config_of(run, overrides), run.path, wanted)
    print_metrics(f"{run.path}, best weights", metrics)
    return 0
