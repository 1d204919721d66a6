"""How many attacks are tried, and how long one may take."""

import contextlib
import os
import signal

# As many of each kind in place of a few.
MANY = int(os.environ.get("DLRUN_ATTACKS", "0"))
SECONDS = 60  # in which a command must have answered, also on a busy machine


def some(attacks, few):
    """`few` of `attacks`, evenly, or as many as DLRUN_ATTACKS says."""
    attacks, wanted = list(attacks), max(few, MANY)
    return attacks if wanted >= len(attacks) else [attacks[place * len(attacks) // wanted] for place in range(wanted)]


@contextlib.contextmanager
def in_time():
    """**Raises:** `TimeoutError` in a block that waits for something that does not come."""

    def ring(number, frame):
        raise TimeoutError(f"no answer in {SECONDS} s")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
