"""Drawn faces: as many people and pictures of each as one likes, without a download."""

import itertools
from typing import Annotated, Literal

import torch

from dlrun.config.schema import Fraction, NonNegativeFloat, NonNegativeInt, PositiveInt, Range, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.faces.people import LEAST_PEOPLE, identity_spec
from dlrun.data.faces.portraits import draw_faces, draw_people, draw_views
from dlrun.data.generated import Generated
from dlrun.engine.contracts import Part
from dlrun.engine.parts import TensorPart

PIECE = 32  # pictures drawn at once: what fits into the caches of a processor
GREY = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # shares of red, green and blue, as everywhere
# Of the pictures to train on with the default keys.
STATISTICS = {1: ((0.43,), (0.15,)), 3: ((0.47, 0.42, 0.385), (0.17, 0.15, 0.15))}


class DrawnFaces(Generated):
    """Drawn faces of people made up by a seed, each in many poses, moods and lights.

    Shapes, proportions and colours make the person: head, skin, hair, eyes, brows, nose, mouth, ears, beard, a mole.
    Pictures of one person differ in what does not: how the head is turned, tilted and placed, the expression, the
    light, glasses, background, clothes and noise. Nobody is in two parts, and the people of each part are the same
    whatever the numbers of people of the others.
    """

    kind: str = "image"
    target: str = "identity"

    def __init__(
        self, *, num_train_people: PositiveInt = 60, num_val_people: NonNegativeInt = 10,
        num_test_people: NonNegativeInt = 10, num_images: Annotated[int, Range(low=2)] = 20,
        image_size: PositiveInt = 64, in_channels: Literal[1, 3] = 3, pose: Fraction = 0.7, expression: Fraction = 0.7,
        light: Fraction = 0.5, background: Fraction = 0.5, glasses: Fraction = 0.3, noise: NonNegativeFloat = 8.0,
        seed: Seed = 0,
    ):  # fmt: skip
        """**Arguments:**

        - `num_train_people`, `num_val_people`, `num_test_people`: the number of people of each part, at least two; 0
          people: there is no such part.
        - `num_images`: pictures of each person.
        - `image_size`: H and W in pixels.
        - `in_channels`: 3 for RGB, 1 for grey.
        - `pose`: how far a head is turned (at 1 by up to 37 degrees), tilted, shifted and scaled; at 0 not at all.
        - `expression`: how far mouth, brows and eyes move; at 0 not at all.
        - `light`: how much the direction, brightness, contrast and tint of the light differ; at 0 not at all.
        - `background`: how much background and clothes differ; at 0 not at all.
        - `glasses`: the share of the pictures with glasses, of a shape that is drawn anew for each.
        - `noise`: the standard deviation of what is added to each pixel, in grey levels of 0..255.
        - `seed`: from which people and pictures are drawn.

        **Raises:** `ValueError` for a part of one person.
        """
        super().__init__(num_train=num_train_people, num_val=num_val_people, num_test=num_test_people, seed=seed)
        for name, size in self.sizes.items():
            if 0 < size < LEAST_PEOPLE:
                raise ValueError(f"num_{name}_people must be at least {LEAST_PEOPLE}, found {size}")
        self.num_images, self.image_size, self.in_channels = num_images, image_size, in_channels
        self.strengths = {
            "pose": pose, "expression": expression, "light": light, "background": background, "glasses": glasses,
        }  # fmt: skip
        self.noise = noise

    @property
    def spec(self) -> DataSpec:
        names = [f"person {number}" for number in range(sum(self.sizes.values()))]
        mean, std = STATISTICS[self.in_channels]
        size = (self.image_size, self.image_size)
        return identity_spec(names, in_channels=self.in_channels, image_size=size, mean=mean, std=std)

    def load(self) -> dict[str, Part]:
        """The parts, in memory, person after person; their numbers go on from part to part."""
        first = dict(zip(self.sizes, itertools.accumulate(self.sizes.values(), initial=0), strict=False))
        drawn = {name: part.take(torch.arange(len(part))) for name, part in super().load().items()}
        return {name: TensorPart(whole.inputs, whole.target + first[name]) for name, whole in drawn.items()}

    def generate(self, size: int, seed: int) -> TensorPart:
        """All pictures of `size` people."""
        generator = torch.Generator().manual_seed(seed % 2**63)
        person = torch.arange(size).repeat_interleave(self.num_images)
        people = draw_people(size, generator)
        views = draw_views(len(person), generator, **self.strengths)
        pieces = []
        for index in torch.arange(len(person)).split(PIECE):
            own = {name: value[person[index]] for name, value in people.items()}
            view = {name: value[index] for name, value in views.items()}
            images = 255 * draw_faces(own, view, self.image_size)
            if self.in_channels == 1:
                images = (images * GREY).sum(dim=1, keepdim=True)
            images += self.noise * torch.randn(images.shape, generator=generator)
            pieces.append(images.round().clamp(0, 255).byte())
        return TensorPart((torch.cat(pieces),), person)
