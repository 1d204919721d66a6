"""The classes of any labelled images as people: what was learned of some classes is measured on others."""

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor

from dlrun.config import pairing
from dlrun.config.schema import FilePath, few, suggest
from dlrun.config.spec import PARTS, DataSpec
from dlrun.data import DATA
from dlrun.data.faces.orientations import ORIENTATIONS, Oriented
from dlrun.data.faces.people import LEAST_PEOPLE, identity_spec
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import FilePart, TensorPart
from dlrun.errors import UserError


class Identities(DataSet):
    """Images of another data set with its classes as identities: some to train on, others for val and test.

    By default a network learns to tell the digits 0 to 4 apart, and is then asked about pairs of 5 and 6, and in the
    end of 7, 8 and 9. The val part has classes of its own, since a threshold that was chosen on classes of the training
    is too good for new ones; with `val_classes=[]` the digits 0 to 6 are trained on, and there is no val part.

    All images of a class are taken, whichever part of `source` they are from.
    """

    kind: str = "image"
    target: str = "identity"
    source: str = "ships"

    def __init__(
        self, *, source: str = "digits", root: FilePath | None = None,
        train_classes: tuple[int | str, ...] | None = None,
        val_classes: tuple[int | str, ...] = (5, 6), test_classes: tuple[int | str, ...] = (7, 8, 9),
        orientations: Literal[1, 4, 8] = 1,
    ):  # fmt: skip
        """**Arguments:**

        - `source`: the name of a data set of images by class, which is used with its default keys.
        - `root`: the folder of its files, where it has any; None: its default.
        - `train_classes`: a number, counted from 0, or a name for each class to train on; None: all others.
        - `val_classes`, `test_classes`: those of the val and the test part; of none there is no such part.
        - `orientations`: of each class to train on: 4: also turned by quarters, 8: and mirrored, each as a class of its
          own, for square images. Of few classes many are made, and what tells them apart is shape.

        **Raises:** `UserError` for a source that has no images by class, a class that it does not have or that is in
        two parts, for a part of a single class, and for several orientations of images that are not square.
        """
        self.images = _images_by_class(source, root)
        self.data_source, self.orientations = source, ORIENTATIONS[:orientations]
        self.chosen = {"train": train_classes, "val": val_classes, "test": test_classes}

    @functools.cached_property
    def _classes(self) -> "_Classes":
        """**Raises:** `UserError` as said of the constructor."""
        self.images.kept, self.images.offered = self.kept, self.offered
        offered, source = self.images.spec, self.data_source
        known = offered.class_names or tuple(map(str, range(offered.out_features or 0)))
        classes = {
            part: [_number(each, known, f"data.{part}_classes: data={source}") for each in own]
            for part, own in self.chosen.items()
            if own is not None
        }
        taken = [number for own in classes.values() for number in own]
        twice = [known[number] for number, count in Counter(taken).items() if count > 1]
        if twice:
            raise UserError(
                f"data=identities: class {twice[0]} is named twice in data.train_classes, data.val_classes and "
                "data.test_classes; no class may be in two parts"
            )
        others = [number for number in range(len(known)) if number not in taken]
        classes = {part: classes.get(part, others) for part in PARTS if part == "train" or classes[part]}
        for part, own in classes.items():
            if len(own) < LEAST_PEOPLE:
                raise UserError(
                    f"data.{part}_classes: at least {LEAST_PEOPLE} classes are needed, so that there is one to be told "
                    f"from, found {few(known[number] for number in own)}; the classes of data={source}: {few(known)}"
                )
        height, width = offered.image_size or (1, 1)
        if height != width and len(self.orientations) > 1:
            raise UserError(
                f"data.orientations: images of {height}x{width} are not square and cannot be turned by quarters; use 1"
            )
        plain = [known[number] for own in classes.values() for number in own]
        turned = [known[number] + turn for turn in self.orientations[1:] for number in classes["train"]]
        return _Classes(classes, (*plain, *turned), len(known))

    @property
    def spec(self) -> DataSpec:
        names, offered = self._classes.names, self.images.spec
        return identity_spec(
            names, in_channels=offered.in_channels, image_size=offered.image_size, mean=offered.mean,
            std=offered.std, white=offered.white,
        )  # fmt: skip

    def load(self) -> dict[str, Part]:
        """The parts, in memory or as files, as the source has them.

        **Raises:** `UserError` for a class without images.
        """
        classes, names, num_known = self._classes
        numbers = torch.tensor([number for own in classes.values() for number in own])
        num_train = len(classes["train"])
        identity = torch.full((num_known,), -1)
        identity[numbers] = torch.arange(len(numbers))
        whole = _joined(list(self.images.load().values()), identity)
        self.found = self.images.found
        labels = whole.labels
        assert labels is not None, "an identity for each image"
        absent = sorted(set(range(len(numbers))) - set(labels.tolist()))
        if absent:
            raise UserError(f"data=identities: there is no image of class {few(names[place] for place in absent)}")
        parts = {
            part: whole.subset(torch.isin(labels, identity[torch.tensor(own)]).nonzero().flatten())
            for part, own in classes.items()
        }
        if len(self.orientations) > 1:
            more = torch.arange(len(names) - len(numbers)).view(-1, num_train) + len(numbers)
            parts["train"] = Oriented(parts["train"], torch.cat([torch.arange(num_train)[None], more]))
        return parts

    def read_image(self, path: str, spec: DataSpec) -> tuple[Tensor, Tensor] | None:
        return self.images.read_image(path, spec)


class _Classes(NamedTuple):
    """The classes of the source in each part, the name of each identity, how many classes the source has."""

    classes: dict[str, list[int]]
    names: tuple[str, ...]
    num_known: int


def _images_by_class(source: str, root: str | None) -> DataSet:
    """The data set `source`. **Raises:** `UserError` if its examples are no images by class, or it has no `root`."""
    if source not in DATA or not _is_by_class(source):
        fitting = [name for name in DATA.names() if _is_by_class(name)]
        near = "" if source in DATA else suggest(source, fitting)
        raise UserError(f"data.source: {source!r} is no data set of images by class{near} (those are {few(fitting)})")
    if root is not None and "root" not in DATA.describe(source).parameters:
        raise UserError(f"data.root: data={source} reads no files, found {root}; leave it out")
    return DATA.get(source)(**({} if root is None else {"root": root}))


def _is_by_class(name: str) -> bool:
    return DATA.describe(name).attributes.get("kind") == "image" and pairing.targets(name) == ("class",)


def _number(given: int | str, known: Sequence[str], where: str) -> int:
    """The number of a class that is given by number or name. **Raises:** `UserError` if there is none such."""
    if isinstance(given, str) and given in known:
        return known.index(given)
    if isinstance(given, int) and 0 <= given < len(known):
        return given
    near = suggest(given, known) if isinstance(given, str) else ""
    raise UserError(
        f"{where} has no class {given!r}{near}; give a name or a number from 0 to {len(known) - 1} (its classes: "
        f"{few(known)})"
    )


def _joined(parts: list[Part], identity: Tensor) -> Part:
    """All images of `parts` in one, those of class k with the label `identity[k]`; files stay files."""
    files = [part for part in parts if isinstance(part, FilePart)]
    if len(files) == len(parts):
        labels = torch.cat([part.labels for part in files if part.labels is not None])
        paths = [path for part in files for path in part.paths]
        return FilePart(paths, identity[labels], files[0].decode, files[0].sample_bytes)
    wholes = [part.take(torch.arange(len(part))) for part in parts]
    images = torch.cat([whole.inputs[0] for whole in wholes])
    return TensorPart((images,), identity[torch.cat([cast(Tensor, whole.target) for whole in wholes])])
