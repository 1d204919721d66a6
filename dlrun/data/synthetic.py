"""Random images with random labels: nothing to learn, everything to run on."""

import torch

from dlrun.data.parts import Part, TensorPart
from dlrun.data.spec import DataSpec
from dlrun.schema import NonNegativeInt, PositiveInt, Seed


class Synthetic:
    """Noise of any size, for smoke tests and timing (notes 8, last listing); fixed by its seed.

    A part is the same whatever the sizes of the others.
    """

    kind: str = "image"
    target: str = "class"
    source: str = "made"

    def __init__(
        self,
        *,
        in_channels: PositiveInt = 1,
        image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 28,
        out_features: PositiveInt = 10,
        num_train: PositiveInt = 160,
        num_val: NonNegativeInt = 64,
        num_test: NonNegativeInt = 160,
        seed: Seed = 0,
    ):
        self.in_channels, self.out_features, self.seed = in_channels, out_features, seed
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.sizes = {"train": num_train, "val": num_val, "test": num_test}

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="image",
            target="class",
            in_channels=self.in_channels,
            image_size=self.image_size,
            out_features=self.out_features,
            class_names=tuple(str(label) for label in range(self.out_features)),
            # Of uniform numbers from 0 to 1.
            mean=(0.5,) * self.in_channels,
            std=(0.289,) * self.in_channels,
        )

    def load(self) -> dict[str, Part]:
        parts = {}
        for position, (name, size) in enumerate(self.sizes.items()):
            generator = torch.Generator().manual_seed((self.seed * 3 + position) % 2**63)
            shape = (size, self.in_channels, *self.image_size)
            images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
            target = torch.randint(0, self.out_features, (size,), generator=generator)
            if size > 0:
                parts[name] = TensorPart((images,), target)
        return parts
