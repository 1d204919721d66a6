"""Any image network in place of a small body: whole, or its maps of features alone."""

import torch
from torch import Tensor, nn

from dlrun.config import registry
from dlrun.config.networks import image_network

LEAST_CELLS = 8  # along a side of the map, so that neighbours are not all in one cell


class Backbone(nn.Module):
    """The maps of another model of dlrun, or of torchvision: of each size of map the last one.

    The deepest is the last with at least 8 rows and columns, or else the largest; what comes after it is left out.
    """

    def __init__(self, name: str, in_channels: int, image_size: tuple[int, int]):
        """**Arguments:**

        - `name`: of a model of images, with its defaults, such as `resnet`; or of one of torchvision, such as
          `resnet18`.
        - `in_channels`: C, channels of the images.
        - `image_size`: (H, W) of the images in pixels.

        **Raises:** `ValueError` if there is no such network, or none of its maps can be found.
        """
        super().__init__()
        from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

        net = network(name, in_channels, image_size, 1).eval()
        try:
            _, steps = get_graph_node_names(net)
            with torch.no_grad():
                values = create_feature_extractor(net, steps)(torch.zeros(1, in_channels, *image_size))
        except Exception as error:  # whatever a network does that cannot be followed step by step
            raise ValueError(f"backbone {name}: no maps can be taken from it ({str(error).splitlines()[0]})") from error
        found = {
            step: value.shape[1:] for step, value in values.items() if isinstance(value, Tensor) and value.ndim == 4
        }
        # Of each size the last one; those of the images themselves and of one place are no maps.
        maps = {(h, w): (step, c) for step, (c, h, w) in found.items() if (h, w) != image_size and min(h, w) > 1}
        if not maps:
            raise ValueError(f"backbone {name}: it makes no map of images of {image_size[0]}x{image_size[1]}")
        large = [size for size in maps if min(size) >= LEAST_CELLS] or [max(maps)]
        self.sizes = sorted((size for size in maps if size >= min(large)), reverse=True)
        self.channels = [maps[size][1] for size in self.sizes]
        chosen = {maps[size][0]: str(place) for place, size in enumerate(self.sizes)}
        self.net = create_feature_extractor(net.train(), return_nodes=chosen)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps (B, C', H', W') of images (B, C, H, W), the largest first."""
        return list(self.net(images).values())


def network(name: str, in_channels: int, image_size: int | tuple[int, int], out_features: int) -> nn.Module:
    """The model of images `name`, of dlrun with its defaults or of torchvision, from images to `out_features` numbers.

    **Raises:** `ValueError` if there is none of that name.
    """
    try:
        make = image_network(name)
    except ValueError as error:
        raise ValueError(f"backbone {error}") from error
    models = registry.of("model")
    if name in models and "answers" in models.describe(name).attributes:
        raise ValueError(f"backbone {name}: is no model from images to numbers")
    return make(in_channels=in_channels, image_size=image_size, out_features=out_features)
