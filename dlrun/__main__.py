"""`python -m dlrun` is the same as the console script `dlrun`."""

import os
import sys

# `python -m` looks for modules in the working directory first, where torch.py may be a stranger's.
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]

from dlrun.cli.main import main


def start() -> int:
    """One command in a process of its own.

    Where the locale has ASCII alone, Python is started once more in its UTF-8 mode: names of files and classes, and
    what runs write, are UTF-8 everywhere.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return main()


if __name__ == "__main__":
    sys.exit(start())
