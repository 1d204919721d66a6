"""The words after a verb, read with dlrun's manners."""

import argparse
import os
import re
from typing import NoReturn

from dlrun.errors import UserError


def is_override(word: str) -> bool:
    """Whether a word after a verb is `key=value`, and not the path of a folder that is called `a=b`."""
    return re.match(r"[A-Za-z_]\w*(\.\w+)*=", word) is not None and not os.path.exists(word)


class Arguments(argparse.ArgumentParser):
    """Reads flags and words; `--help` prints the usage and `about`, a mistake is one line that ends in the usage."""

    def __init__(self, usage: str, about: str):
        # An abbreviated flag that works today breaks when a longer one is added.
        super().__init__(prog=usage.split()[1], usage=usage, description=about, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """**Raises:** `UserError`, where argparse would end the process."""
        raise UserError(f"{self.prog}: {message}; usage: {self.usage}")
