"""`dlrun resume FOLDER [key=value ...]`: goes on with an interrupted run or sweep."""

import pathlib

from dlrun.cli.arguments import is_override
from dlrun.errors import UserError
from dlrun.store import sweep_record

USAGE = (
    "dlrun resume FOLDER [trainer.epochs=N] [device.KEY=VALUE] [data.path=FILE] [data.root=FOLDER] "
    "(of a search: [sweeper.trials=N])"
)


def main(words: list[str]) -> int:
    """Returns the exit code of the run or sweep."""
    if not words or is_override(words[0]):
        raise UserError(f"resume: which folder? usage: {USAGE}")
    path, overrides = pathlib.Path(words[0]), words[1:]
    if sweep_record.is_sweep(path):
        from dlrun.sweep import start

        return start.resume(path, overrides).code
    from dlrun.run.resume import resume_run

    resume_run(path, overrides)
    return 0
