"""Which sampler cuts batches out of a graph, and whether it fits the data and the model."""

from typing import Any

from dlrun import build
from dlrun.config import Config
from dlrun.data.spec import DataSpec
from dlrun.errors import UserError
from dlrun.registry import SAMPLERS


def choose(config: Config, spec: DataSpec) -> Any | None:
    """What cuts batches out of the one graph of the data; None for data of another kind.

    **Raises:** `UserError` for data that are no nodes of one graph, and for fewer hops than the model has layers.
    """
    name = config.sampler["name"]
    if spec.level != "node":
        if name == "full":
            return None
        raise UserError(
            f"sampler={name}: takes nodes of one graph apart, and data={config.data['name']} has none; use sampler=full"
        )
    with build.blaming(f"sampler={name}"):
        made = SAMPLERS.get(name)(**{key: value for key, value in config.sampler.items() if key != "name"})
    hops, layers = getattr(made, "num_hops", None), config.model.get("num_layers", config.model.get("num_steps"))
    if hops is not None and layers is not None and hops < layers:
        raise UserError(f"sampler={name}: samples {hops} hops, and the {layers} layers of the model need as many")
    return made
