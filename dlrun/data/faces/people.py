"""People and their images, split so that nobody is in two parts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from dlrun.config.schema import few
from dlrun.config.spec import PARTS, DataSpec
from dlrun.data.notes import say
from dlrun.errors import UserError

LEAST_PEOPLE = 2  # of a part: one alone is told from nobody
MOST_NAMED = 3  # in a message

Image = TypeVar("Image")


class People(Generic[Image]):
    """Who is in which part, and the number of each person.

    People of parts that are there stay in them; a val and a test part that are not there are split off from the people
    of `train`. One image makes no pair: of `train`, people with a single one go to the test part that is split off, as
    somebody that others are told from; where none is, they are left out. The test part depends on `test_fraction` and
    `seed` alone.

    **Attributes:**

    - `names`: of all people of all parts, in the order of their numbers: that in which they were given, train first.
    - `parts`: the names of the people of each part.
    """

    def __init__(
        self, data: str, images: Mapping[str, Mapping[str, Sequence[Image]]], *, val_fraction: float,
        test_fraction: float, seed: int, min_images: int = 1, kept: Mapping[str, str] | None = None,
    ):  # fmt: skip
        """**Arguments:**

        - `data`: as `data=` takes it, for messages.
        - `images`: of each part that is there, `train` among them, each person's images.
        - `val_fraction`, `test_fraction`: the shares of the people of `train`, who have two images or more, that
          become the val and the test part where these are not there; 0: there is no such part. At least two people.
        - `seed`: chooses the people of each part.
        - `min_images`: people with fewer images are left out.
        - `kept`: the part of each person, as a run has kept it; None: as said above.

        **Raises:** `UserError` for a person in two parts, and for too few people.
        """
        self.data, self._notes = data, []
        images = {part: images[part] for part in PARTS if part in images}
        self._check_apart(images)
        self._images = {name: own for people in images.values() for name, own in people.items()}
        if kept is not None:
            self.parts = {
                part: [name for name in self._images if kept[name] == part] for part in PARTS if part in kept.values()
            }
            self.names = tuple(self._images)
            return
        rare = [name for name, own in self._images.items() if len(own) < min_images]
        if rare:
            self._notes.append(f"{_people(rare)} with fewer than data.min_images={min_images} images left out")
        found = {
            part: [name for name, own in people.items() if len(own) >= min_images] for part, people in images.items()
        }
        fractions = {"test": test_fraction, "val": val_fraction}
        self.parts = self._completed(found, {part: own for part, own in fractions.items() if part not in images}, seed)
        for part, people in self.parts.items():
            if len(people) < LEAST_PEOPLE:
                raise UserError(
                    f"data={data}: {_people(people)} in {part}; at least {LEAST_PEOPLE} are needed, so that there is "
                    "somebody to be told from; add people"
                )
        used = {name for people in self.parts.values() for name in people}
        self.names = tuple(name for name in self._images if name in used)

    def part(self, part: str) -> tuple[list[Image], Tensor]:
        """(The images of a part, person after person; the number of the person of each (N,))."""
        people = set(self.parts[part])
        numbered = [(number, name) for number, name in enumerate(self.names) if name in people]
        images = [image for _, name in numbered for image in self._images[name]]
        return images, torch.tensor([number for number, name in numbered for _ in self._images[name]])

    def tell(self) -> None:
        """Prints who was left out, or put into the test part for want of images."""
        for note in self._notes:
            say(self.data, note)

    def _check_apart(self, images: Mapping[str, Mapping[str, Sequence[Image]]]) -> None:
        counts = Counter(name for people in images.values() for name in people)
        for name, count in counts.items():
            if count > 1:
                both = " and ".join(part for part, people in images.items() if name in people)
                raise UserError(
                    f"data={self.data}: {name} is in {both}; nobody may be in two parts: move all images of a person "
                    "into one of them"
                )

    def _completed(self, found: dict[str, list[str]], fractions: dict[str, float], seed: int) -> dict[str, list[str]]:
        """The people of each part, with those that are split off from `train`."""
        if sum(fractions.values()) >= 1:
            raise UserError(
                f"data={self.data}: data.val_fraction {fractions.get('val', 0):g} and data.test_fraction "
                f"{fractions.get('test', 0):g} leave nobody to train on; their sum must be below 1"
            )
        single = [name for name in found["train"] if len(self._images[name]) == 1]
        several = [name for name in found["train"] if len(self._images[name]) > 1]
        order = torch.randperm(len(several), generator=torch.Generator().manual_seed(seed)).tolist()
        parts = dict(found)
        for part, fraction in fractions.items():
            if fraction > 0:
                num = max(LEAST_PEOPLE, round(fraction * len(several)))
                parts[part], order = [several[place] for place in order[:num]], order[num:]
        parts["train"] = [several[place] for place in order]
        split = [part for part in PARTS if part == "train" or fractions.get(part, 0) > 0]
        if len(parts["train"]) < LEAST_PEOPLE:
            raise UserError(
                f"data={self.data}: {_people(several)} with two or more images are too few for {', '.join(split)}, "
                f"which need at least {LEAST_PEOPLE} each; add people, or set data.val_fraction or data.test_fraction "
                "to 0"
            )
        if single and "test" in split:
            parts["test"] += single
            self._notes.append(f"{_people(single)} with a single image, of which no pair can be made, all in test")
        elif single:
            self._notes.append(f"{_people(single)} with a single image, of which no pair can be made, left out")
        return {part: parts[part] for part in PARTS if part in parts}


def identity_spec(
    names: Sequence[str], *, in_channels: int | None, image_size: tuple[int, int] | None,
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, white: int | None = None,
) -> DataSpec:  # fmt: skip
    """What images (N, C, H, W) of the people `names` offer."""
    return DataSpec(
        kind="image", target="identity", in_channels=in_channels, image_size=image_size, out_features=len(names),
        class_names=tuple(names), mean=mean, std=std, white=white,
    )  # fmt: skip


def _people(names: Sequence[str]) -> str:
    """`3 people (ann, bob, cleo)`."""
    count = "1 person" if len(names) == 1 else f"{len(names)} people"
    return f"{count} ({few(names, MOST_NAMED)})" if names else count
