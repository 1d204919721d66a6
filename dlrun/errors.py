"""The two ways a command can end badly; both print as one line `dlrun: error: ...`."""

LONGEST = 300  # characters of a line


class UserError(Exception):
    """The command, config, data or device is wrong: nothing was trained; exit code 2."""

    exit_code = 2


class RunError(Exception):
    """The run started and could not go on: exit code 1. What was saved stays usable."""

    exit_code = 1


def bounded(line: str) -> str:
    """A line that is read at a glance: of a longer one the middle is left out, not the place nor the advice."""
    if len(line) <= LONGEST:
        return line
    return f"{line[: LONGEST // 2]} … {line[3 - LONGEST // 2 :]}"
