"""The words after a verb, read with dlrun's manners."""

import argparse
from typing import NoReturn

from dlrun.errors import UserError


class Arguments(argparse.ArgumentParser):
    """Reads flags and words; `--help` prints the usage and `about`, a mistake is one line that ends in the usage."""

    def __init__(self, usage: str, about: str):
        # An abbreviated flag that works today breaks when a longer one is added.
        super().__init__(prog=usage.split()[1], usage=usage, description=about, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """**Raises:** `UserError`, where argparse would end the process."""
        raise UserError(f"{self.prog}: {message}; usage: {self.usage}")
