"""Data sets that must read their files to know what they offer: what they share."""

import functools

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import DataSet, Part


class ReadOnce(DataSet):
    """Files are read and split once, when `spec` or the parts are first asked for."""

    @property
    def spec(self) -> DataSpec:
        return self._spec_and_parts[0]

    def load(self) -> dict[str, Part]:
        return self._spec_and_parts[1]

    @functools.cached_property
    def _spec_and_parts(self) -> tuple[DataSpec, dict[str, Part]]:
        return self._read_and_split()

    def _read_and_split(self) -> tuple[DataSpec, dict[str, Part]]:
        """(What the data set offers, its parts), from its files."""
        raise NotImplementedError
