"""Handwritten digits that scikit-learn carries: real data without a download."""

import torch

from dlrun.data.parts import Part, TensorPart
from dlrun.data.spec import DataSpec
from dlrun.data.splits import split_off
from dlrun.schema import PositiveInt, ProperFraction, Seed


class Digits:
    """1797 handwritten digits of 43 writers, 8x8 with 17 grey levels, enlarged to `image_size`.

    Source: Alpaydin and Kaynak 1998, test part of UCI's Optical Recognition of Handwritten Digits; scikit-learn.
    """

    kind: str = "image"
    target: str = "class"
    source: str = "ships"

    def __init__(
        self,
        *,
        image_size: PositiveInt = 28,
        val_fraction: ProperFraction = 0.1,
        test_fraction: ProperFraction = 0.2,
        split_seed: Seed = 42,
    ):
        self.image_size = image_size
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind="image",
            target="class",
            in_channels=1,
            image_size=(self.image_size, self.image_size),
            out_features=10,
            class_names=tuple("0123456789"),
            mean=(0.305,),
            std=(0.325,),
        )

    def load(self) -> dict[str, Part]:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        images = torch.as_tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) * (255 / 16)
        size = (self.image_size, self.image_size)
        images = torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True)
        whole = TensorPart((images.round().clamp(0, 255).byte(),), torch.as_tensor(labels, dtype=torch.int64))
        return split_off(whole, val_fraction=self.val_fraction, test_fraction=self.test_fraction, seed=self.split_seed)
