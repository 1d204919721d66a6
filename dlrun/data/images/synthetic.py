"""Random images with random labels: nothing to learn, everything to run on."""

import torch

from dlrun.config.schema import NonNegativeInt, PositiveInt, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.generated import Generated
from dlrun.engine.parts import TensorPart


class Synthetic(Generated):
    """Noise of any size, for smoke tests and timing (notes 8, last listing); fixed by its seed."""

    kind: str = "image"
    target: str = "class"

    def __init__(
        self, *, in_channels: PositiveInt = 1, image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 28,
        out_features: PositiveInt = 10, num_train: PositiveInt = 160, num_val: NonNegativeInt = 64,
        num_test: NonNegativeInt = 160, seed: Seed = 0,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C of the images (N, C, H, W).
        - `image_size`: H and W in pixels; one number if they are equal.
        - `out_features`: the number of classes.
        - `num_train`, `num_val`, `num_test`: the number of images of each part; 0: there is no such part.
        - `seed`: from which images and classes are drawn.
        """
        super().__init__(num_train=num_train, num_val=num_val, num_test=num_test, seed=seed)
        self.in_channels, self.out_features = in_channels, out_features
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size

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

    def generate(self, size: int, seed: int) -> TensorPart:
        generator = torch.Generator().manual_seed(seed % 2**63)
        shape = (size, self.in_channels, *self.image_size)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return TensorPart((images,), torch.randint(0, self.out_features, (size,), generator=generator))
