"""Networks of images by one name, whoever has written them."""

from collections.abc import Callable
from typing import Any

from dlrun.config import registry
from dlrun.config.schema import suggest

SIZES = {"in_channels", "image_size", "out_features"}


def image_network(name: str) -> Callable[..., Any]:
    """What makes the network `name` of `in_channels`, `image_size` and `out_features`.

    It is a model of dlrun, with its defaults for the rest, or a classifier of torchvision.

    **Raises:** `ValueError`, beginning with the name, if there is none such or it does not take these sizes.
    """
    models = registry.of("model")
    if name in models:
        if not models.describe(name).parameters.keys() >= SIZES:
            raise ValueError(f"{name}: is no model from images to numbers")
        return models.get(name)
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ValueError(
            f"{name}: no such network{suggest(name, [*known, *models.names()])}; it is a model of images of dlrun, "
            "such as resnet, or of torchvision, such as vgg19"
        )
    return lambda **sizes: models.get("torchvision")(arch=name, **sizes).net
