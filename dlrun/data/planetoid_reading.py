"""The pickled files of Planetoid, read without running what a stranger may have put into them.

A pickle is a program. This reader knows the handful of names that these files use, puts harmless stand-ins in their
place, and refuses every other: NumPy and SciPy are never asked to restore anything.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from dlrun.errors import UserError

DTYPES = {
    f"{kind}{size}" for kind, sizes in {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (4, 8)}.items() for size in sizes
}


class Dtype:
    """Stands in for `numpy.dtype`."""

    def __init__(self, code: str, *_: Any):
        if code not in DTYPES:
            raise pickle.UnpicklingError(f"numbers of type {code!r}")
        self.code = code

    def __setstate__(self, state: tuple) -> None:
        if state[1] not in ("<", "|"):
            raise pickle.UnpicklingError(f"byte order {state[1]!r}")


class Array:
    """Stands in for `numpy.ndarray`: `value` once it is filled."""

    value: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        values = np.frombuffer(data, dtype=np.dtype(dtype.code))
        self.value = values.reshape(shape, order="F" if is_fortran else "C")


class Matrix:
    """Stands in for `scipy.sparse.csr_matrix`: `value` is its fields by name."""

    value: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.value = {name.lstrip("_"): _plain(field) for name, field in state.items()}


def _array(*_: Any) -> Array:
    return Array()


def _dict(*_: Any) -> dict:
    return {}


def _bytes(text: str, encoding: str = "latin1") -> bytes:
    """Stands in for `_codecs.encode`, by which Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding!r}")
    return text.encode("latin1")


KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Dtype,
    ("scipy.sparse.csr", "csr_matrix"): Matrix,
    ("scipy.sparse._csr", "csr_matrix"): Matrix,
    ("collections", "defaultdict"): _dict,
    ("builtins", "list"): list,
    ("_codecs", "encode"): _bytes,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = "builtins" if module == "__builtin__" else module
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} is not among them")
        return KNOWN[module, name]


def read(path: Path) -> Any:
    """An array, the fields of a CSR matrix (`data`, `indices`, `indptr`, `shape`), or a dict of lists.

    **Raises:** `UserError` for a file that is damaged, or asks for anything but numbers and lists.
    """
    try:
        with open(path, "rb") as file:
            return _plain(_Reader(file, encoding="latin1").load())
    except Exception as error:
        # A damaged pickle fails in as many ways as there are instructions.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path}: cannot be read ({reason}); only numbers and lists are taken from a pickle; delete the file and "
            "start again"
        ) from error


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Array | Matrix) else value
