"""Where dlrun's own config files lie, and the data sets."""

import os
import pathlib


def conf_folder() -> pathlib.Path:
    """The package's own config folder, in a wheel or beside an editable checkout."""
    package = pathlib.Path(__file__).parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def data_root(root: str | None) -> pathlib.Path:
    """The folder of all data sets: `root`, else the environment's `DLRUN_DATA`, else `./data`."""
    return pathlib.Path(root or os.environ.get("DLRUN_DATA") or "data").expanduser()
