"""Kernels that were made by hand to find edges, 3x3, as they are slid over an image (cross-correlation).

`x` is the derivative along a row: it finds vertical edges and is positive where the right side is brighter. `vertical`
and `horizontal` are the notes' own, positive where the left or the upper side is brighter.

Sobel and Feldman 1968; Prewitt 1970; Scharr, "Optimal Operators in Digital Image Processing", 2000.
"""

Rows = tuple[tuple[float, ...], ...]


def _turned(kernel: Rows) -> Rows:
    return tuple(zip(*kernel, strict=True))


_VERTICAL: Rows = ((1, 0, -1), (1, 0, -1), (1, 0, -1))
_SOBEL: Rows = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
_PREWITT: Rows = ((-1, 0, 1), (-1, 0, 1), (-1, 0, 1))
_SCHARR: Rows = ((-3, 0, 3), (-10, 0, 10), (-3, 0, 3))

# The names of schema.Kernel.
KERNELS: dict[str, Rows] = {
    "vertical": _VERTICAL,
    "horizontal": _turned(_VERTICAL),
    "sobel_x": _SOBEL,
    "sobel_y": _turned(_SOBEL),
    "prewitt_x": _PREWITT,
    "prewitt_y": _turned(_PREWITT),
    "scharr_x": _SCHARR,
    "scharr_y": _turned(_SCHARR),
    "laplacian": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
}
