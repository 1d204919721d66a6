"""The keys of a config section whose sizes the data decide."""

from typing import Any

from dlrun.config import registry
from dlrun.config.spec import FILLED, DataSpec
from dlrun.errors import UserError


def filled(section: dict[str, Any], group: str, spec: DataSpec, data_name: str) -> dict[str, Any]:
    """The keys of a config section with null sizes taken from `spec`.

    A size that the constructor can do without (its default is `None`) may be missing there too.

    **Raises:** `UserError` for a size that is needed and is not there, or is another than that of the data.
    """
    keys = {key: value for key, value in section.items() if key != "name"}
    parameters = registry.of(group).describe(section["name"]).parameters
    for key, value in keys.items():
        if value is None and key in FILLED:
            keys[key] = getattr(spec, key)
            if keys[key] is None and parameters[key].default is not None:
                raise UserError(f"{group}.{key}: data={data_name} does not say it; write {group}.{key}=VALUE")
        elif key == "out_features" and spec.out_features not in (None, value):
            raise UserError(f"{group}.{key}: is {value}, data={data_name} has {spec.out_features}; leave it null")
    return keys
