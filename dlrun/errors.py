"""The two ways a command can end badly; both print as one line `dlrun: error: ...`."""


class UserError(Exception):
    """The command, config, data or device is wrong: nothing was trained; exit code 2."""

    exit_code = 2


class RunError(Exception):
    """The run started and could not go on: exit code 1. What was saved stays usable."""

    exit_code = 1
