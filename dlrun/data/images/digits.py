"""Handwritten digits that scikit-learn carries: real data without a download."""

import torch

from dlrun.config.schema import NonNegativeInt, PositiveInt, ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.splits import split_off
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import TensorPart


class Digits(DataSet):
    """1797 handwritten digits of 43 writers, 8x8 with 17 grey levels, enlarged to `image_size`.

    A black margin is part of that size, as in MNIST: strokes that touch the border would be
    lost to convolutions without padding. `classes` are the digits to tell apart.

    Source: Alpaydin and Kaynak 1998, test part of UCI's Optical Recognition of Handwritten Digits; scikit-learn.
    """

    kind: str = "image"
    target: str = "class"
    source: str = "ships"

    def __init__(
        self, *, image_size: PositiveInt = 28, margin: NonNegativeInt = 4,
        classes: tuple[NonNegativeInt, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), val_fraction: ProperFraction = 0.1,
        test_fraction: ProperFraction = 0.2, split_seed: Seed = 42,
    ):  # fmt: skip
        """**Arguments:**

        - `image_size`: H and W in pixels, the margin included.
        - `margin`: black pixels on each side.
        - `classes`: the digits to tell apart, at least two; their order is that of the classes.
        - `val_fraction`, `test_fraction`: the shares of all images that become the val and the test part.
        - `split_seed`: chooses the images of each part.
        """
        if 2 * margin >= image_size:
            raise ValueError(f"margin {margin} on both sides leaves nothing of image_size {image_size}")
        if len(set(classes)) != len(classes) or len(classes) < 2 or max(classes) > 9:
            raise ValueError(f"classes must be at least two different digits, found {list(classes)}")
        self.image_size, self.margin, self.classes = image_size, margin, classes
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="image", target="class", in_channels=1, image_size=(self.image_size, self.image_size),
            out_features=len(self.classes), class_names=tuple(map(str, self.classes)), mean=(0.156,), std=(0.278,),
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        images = torch.as_tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) * (255 / 16)
        inner = self.image_size - 2 * self.margin
        images = torch.nn.functional.interpolate(images, (inner, inner), mode="bilinear", antialias=True)
        images = torch.nn.functional.pad(images, [self.margin] * 4)
        is_class = torch.as_tensor(labels)[:, None] == torch.tensor(self.classes)  # (N, classes)
        chosen = is_class.any(dim=1)
        whole = TensorPart((images.round().clamp(0, 255).byte()[chosen],), is_class[chosen].int().argmax(dim=1))
        return split_off(whole, val_fraction=self.val_fraction, test_fraction=self.test_fraction, seed=self.split_seed)
