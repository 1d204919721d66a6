"""`python -m dlrun` is the same as the console script `dlrun`."""

import sys

from dlrun.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
