"""What a notebook shows: a bar in place of one of letters. IPython is asked only where it has been imported."""

import sys
import time
from typing import Any

SECONDS_BETWEEN = 0.1


def shell() -> Any:
    """The shell of IPython in which this process answers, or None."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get() if get is not None else None


def is_here() -> bool:
    """Whether this process is the kernel of a notebook."""
    here = shell()
    return here is not None and "IPKernelApp" in here.config


def is_typed() -> bool:
    """Whether a person types here, in a notebook or at a prompt, and goes on with the objects that there are."""
    return hasattr(sys, "ps1")


def cell() -> int | None:
    """The number of the cell that is at work; None outside of IPython."""
    here = shell()
    return None if here is None else here.execution_count


class Bar:
    """How much of `total` is done, as tqdm says it; it needs no widgets, and leaves nothing behind."""

    def __init__(self, total: int):
        from IPython.display import DisplayHandle  # pyright: ignore[reportMissingImports]

        self.total, self.n, self.said = total, 0, ""
        self.started = self.shown = time.monotonic()
        self.handle = DisplayHandle()
        self.handle.display(self._html())

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """What stands behind the bar from the next `update` on."""
        self.said = text

    def update(self, n: int) -> None:
        """`n` more are done."""
        self.n += n
        now = time.monotonic()
        if now - self.shown >= SECONDS_BETWEEN:
            self.shown = now
            self.handle.update(self._html())

    def close(self) -> None:
        """Takes the bar away."""
        self.handle.update(_Html(""))

    def _html(self) -> "_Html":
        seconds = time.monotonic() - self.started
        left = f", {seconds / self.n * (self.total - self.n):.0f} s left" if self.n else ""
        import html

        text = html.escape(f"{self.n:,} of {self.total:,} batches in {seconds:.0f} s{left}  {self.said}")
        return _Html(f'<progress value="{self.n}" max="{max(self.total, 1)}"></progress> <code>{text}</code>')


class _Html:
    """A piece of HTML that shows itself, in a terminal as nothing."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return ""

    def _repr_html_(self) -> str:
        return self.text
