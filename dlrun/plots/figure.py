"""What all figures share: their look, the grid of axes, and the PNG.

Figures are made without pyplot: no window, no global state, safe in any thread. matplotlib is
imported when the first figure is drawn.
"""

import functools
import io
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

_TURN = threading.RLock()

# Okabe and Ito 2008: told apart with any kind of colour vision. Its yellow is too pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
RIGHT, WRONG = "#0072B2", "#D55E00"
MUTED = "#666666"

# Class names may be in any script; the first of these that has a character draws it.
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "PingFang SC", "WenQuanYi Micro Hei")

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": f"cycler('color', {list(COLORS)})",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "figure.dpi": 120,
    "figure.titlesize": 12,
    "font.size": 10,
    "grid.color": "#E4E4E4",
    "legend.fontsize": 9,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "text.parse_math": False,  # a class may be called US$
}


def styled(draw: "Callable[P, Figure]") -> "Callable[P, Figure]":
    """Decorator: draws in dlrun's style and leaves matplotlib's global settings alone."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> "Figure":
        import matplotlib
        from matplotlib.font_manager import fontManager

        installed = set(fontManager.get_font_names())
        # The settings are those of the process: of two threads the later would put back what the first had set.
        with _TURN, matplotlib.rc_context({**STYLE, "font.family": [font for font in FONTS if font in installed]}):
            return draw(*args, **kwargs)

    return drawn


def new_figure(
    rows: int = 1, columns: int = 1, *, width: float, height: float, title: str = "",
    places: dict[str, float] | None = None,
) -> "tuple[Figure, list[Axes]]":  # fmt: skip
    """A figure of `width` x `height` inches and its `rows` x `columns` axes, row by row.

    `places`: where the axes are, as matplotlib's GridSpec says it; None: found so that nothing lies on another, which
    takes longer than all the drawing where there are many.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    if places:
        figure.set_layout_engine("none")
    if title:
        figure.suptitle(title)
    return figure, list(figure.subplots(rows, columns, squeeze=False, gridspec_kw=places).flat)


def png_bytes(figure: "Figure") -> bytes:
    """The figure as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A character that no font has shows as a box; a line a character on the console says no more.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # What `savefig` gives, but laid out and drawn once, not twice.
        FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def shorten(text: str, length: int) -> str:
    """`text` in at most `length` characters; what is cut out of its middle shows as one dot-dot-dot."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[head - length + 1 :]}"
