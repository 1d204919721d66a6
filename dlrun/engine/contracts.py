"""The contracts between data, models, tasks and the training loop.

Data sets, tasks, metrics, samplers and augmentations are subclasses of what stands here; a model is any
`torch.nn.Module`. A plug-in needs this module and the registry of its kind, nothing else of dlrun.

A model's class may declare (all optional) `accepts`: the kinds of input that it takes, such as `("image",)`, and
`answers`: the kinds of output that it gives, `("values",)` if it does not say: numbers (B, K) an example, a step, a
node or a graph. A data set declares its kind of input (`kind`) and of target (`target`), a task the kind of target that
it `learns` and the kind of output that it `needs`. dlrun/config/pairing.py holds them against each other.

Letters: B examples of a batch, N examples of a part, C channels, H, W pixels.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from dlrun.config.spec import DataSpec
from dlrun.engine import nested
from dlrun.engine.draws import Draws
from dlrun.engine.kept import Kept
from dlrun.engine.nested import Nested

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image


@dataclass(slots=True)
class Batch:
    """B examples, as a model and a task get them.

    **Fields:**

    - `inputs`: what `model(*inputs)` takes.
    - `target`: a tensor (B, ...); or, where examples have different numbers of boxes or points, a list of B tensors; or
      a tuple of such. A mixture of two examples has a soft target: shares (B, K) of the classes.
    - `index` (B,): the positions of the examples in their part.
    - `weight` (B,): what each example counts in the mean loss; None: all count 1.
    """

    inputs: tuple[Tensor, ...]
    target: Nested
    index: Tensor
    weight: Tensor | None = None

    def __len__(self) -> int:
        return self.index.shape[0]

    def to(self, device: torch.device) -> "Batch":
        """The same on `device`; pinned memory is copied while the host goes on."""
        parts = (self.inputs, self.target, self.index, self.weight)
        return Batch(*nested.mapped(parts, lambda value: value.to(device, non_blocking=True)))

    def pin_memory(self) -> "Batch":
        """The same in page-locked memory, for the DataLoader."""
        parts = (self.inputs, self.target, self.index, self.weight)
        return Batch(*nested.mapped(parts, lambda value: value.pin_memory()))


class Map(Protocol):
    """Where an augmentation moves the pixels of each image of a batch; `size` is their (H, W)."""

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def window(self) -> Tensor | None:
        """What of each moved image is seen, x1, y1, x2, y2 (B, 4) in pixels, on the host; None: all of it."""
        ...

    def points(self, points: Sequence[Tensor]) -> list[Tensor]:
        """The new places (n, 2) of the points (n, 2) of each image: x, y in pixels from its upper left corner."""
        ...

    def masks(self, masks: Tensor) -> Tensor:
        """Masks (B, ..., H, W) of any dtype under the same change, by the nearest pixel."""
        ...


class Part:
    """The train, val or test part of a data set: N examples by index, in memory or on disk.

    **Attributes:**

    - `labels`: classes (N,) integer, by which a split keeps the shares and a sampler draws; or values (N, ...) float;
      None: neither.
    - `device`: where `take` puts a batch.
    - `is_one_batch`: whether an answer for one example costs as much as for all (the nodes of one graph): then all
      examples of the part are one batch, in their order.
    """

    is_one_batch: ClassVar[bool] = False

    @property
    def labels(self) -> Tensor | None:
        return None

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def __len__(self) -> int:
        raise NotImplementedError

    def subset(self, index: Tensor) -> "Part":
        """The examples `index` (M,), in that order."""
        raise NotImplementedError

    def take(self, index: Tensor) -> Batch:
        """The examples `index` (B,), which is on the host, as a batch of raw values; called in loader processes too."""
        raise NotImplementedError

    def nbytes(self) -> int:
        """Bytes of all inputs once in memory."""
        raise NotImplementedError

    def to(self, device: torch.device) -> "Part":
        """The same examples, held in the memory of `device`."""
        raise NotImplementedError

    def moved(self, target: Nested, map: Map) -> Nested:
        """What the target of a batch becomes when its images move. The default: it says nothing of places, and stays.

        **Raises:** `ValueError` if it cannot follow.
        """
        return target

    def joined(self, target: Nested, num_images: int) -> Nested:
        """One target an image of those (k * `num_images`) of its pieces: of image i the entries i, i + num_images ...

        **Raises:** `ValueError` where an image has room for one target alone.
        """
        raise ValueError(f"{type(self).__name__}: the targets of several images in one are not one target")


class DataSet:
    """Parts, and what they offer.

    `kind` and `target` are what `DataSpec` has under these names; where a file must be read to know the target, or the
    key `learn` chooses it, all that it can be: `value|class`. A `learn` of None becomes the first that the model
    answers. `source`: `ships`, `made`, `download` or `yours`. `has_val`: false if there never is a val part.
    `stand_in`: a word such as `data=digits`, of like data that are here, for who has none of these. The keyword-only
    arguments of the constructor are the keys of `data` in a config. It reads no file: a run answers where its data are
    gone.

    A data set of the user's own files, which may change, divides them by `data.splits.Pieces`: `kept` is what a run has
    kept of them and `offered` what they offered to it, which is what these files still say whatever they hold now; both
    are set before anything is read. `found` is what there is to keep, once the parts are loaded.
    """

    kind: str = ""
    target: str = ""
    source: str = "yours"
    stand_in: str = ""
    has_val: bool = True
    kept: Kept | None = None
    offered: DataSpec | None = None
    found: Kept | None = None

    @property
    def spec(self) -> DataSpec:
        """What the parts offer."""
        raise NotImplementedError

    def load(self) -> dict[str, Part]:
        """`train` and, where there are, `val` and `test`. **Raises:** `UserError` for data that cannot be used."""
        raise NotImplementedError

    def encode(self, words: list[str], spec: DataSpec) -> tuple[Tensor, ...] | None:
        """Raw inputs (N, ...) from texts, as `dlrun predict` takes them; None: this data set reads no texts.

        **Raises:** `UserError` for a text that it cannot take.
        """
        return None

    def unanswered(self) -> list[str]:
        """What `encode` takes and the data have no answer for: `dlrun predict RUN` alone is about these."""
        return []

    def read_image(self, path: str, spec: DataSpec) -> tuple[Tensor, Tensor] | None:
        """An image file as raw input (C, H, W), and its frame (6,), see `ImageFile`; None: squeezed to `image_size`.

        **Raises:** `RunError` for a file that cannot be decoded.
        """
        return None


class Order:
    """Which examples are in which batch of an epoch: a function of (seed, epoch) alone.

    **Attributes:**

    - `sizes`: the number of examples of each batch; it is the same in each epoch and known before one is drawn.
    - `repeats`: whether an example can come more than once in an epoch.
    - `never`: the classes of which no example is ever drawn.
    """

    sizes: Sequence[int] = ()
    repeats: bool = False
    never: Sequence[int] = ()

    def batches(self, epoch: int | None) -> Sequence[Tensor]:
        """The indices (B,) of each batch, on the host; without an epoch, those of the first."""
        raise NotImplementedError


class Loader:
    """The batches of `part` in `order`, as a model on `device` takes them. An epoch can start at any batch."""

    part: Part
    options: "LoaderOptions"
    order: Order

    @property
    def device(self) -> torch.device:
        return self.options.device

    @property
    def num_batches(self) -> int:
        """Batches of an epoch."""
        return len(self.order.sizes)

    def num_in(self, first: int, last: int) -> int:
        """How many examples the batches `first` up to, and without, `last` of an epoch hold."""
        return sum(self.order.sizes[first:last])

    def batches(self, epoch: int | None = None, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` from position `start` on; without an epoch, the examples as they are."""
        raise NotImplementedError

    def example(self, epoch: int | None = None) -> Batch:
        """What a model gets for the first example alone; with an `epoch`, as training changes it there."""
        raise NotImplementedError

    def exact(self) -> "Loader":
        """The loader to measure with: this one, unless its batches are but samples of what a model needs."""
        return self


class Sampler:
    """How training batches are drawn from the train part; other parts are taken whole, in their order.

    `takes`: `graph` for what cuts batches out of one graph, `labels` for what draws by class, or `any`.
    `num_hops`: how many edges away from the nodes that are asked for a batch of a graph reaches; None: any number.
    """

    takes: ClassVar[str] = "any"
    num_hops: int | None = None

    def loader(self, part: Part, options: "LoaderOptions") -> Loader:
        """The loader of the train part."""
        raise NotImplementedError


@dataclass(frozen=True)
class LoaderOptions:
    """What every loader is made from.

    **Fields:**

    - `prepare`: turns the raw inputs of a batch into what the model takes (scaling, view).
    - `device`: where the model is; `workers`: loader processes, or None for a part in the memory of `device`.
    - `batch_size`, `drop_last`, `shuffle`, `seed`: of the order; `limit`: the most batches of an epoch, or None.
    - `augment`: what changes the raw examples of an epoch of training, or None.
    """

    prepare: "Prepare"
    device: torch.device
    workers: int | None = None
    batch_size: int = 64
    drop_last: bool = False
    shuffle: bool = False
    seed: int = 0
    limit: int | None = None
    augment: "Augment | None" = None


class Prepare(Protocol):
    """From the raw inputs of a batch to those of the model."""

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]: ...


class Augment(Protocol):
    """What a loader asks of an augmentation; dlrun/augment/augmentation.py."""

    def partners(self, epoch: int, index: Tensor, num_examples: int) -> Tensor | None: ...
    def __call__(self, raw: Batch, part: Part, epoch: int, index: Tensor) -> Batch: ...


class Change:
    """A change of images, each by numbers of its own.

    `draw` is called on the host, `apply` on the training device, which therefore is never waited for.

    `num_others`: how many other examples go into each image. `apply` and `map` are then of (1 + num_others) * B images,
    all B first, then another one for each of them, and so on; what `apply` gives are B.
    """

    num_others: ClassVar[int] = 0

    def draw(self, draws: Draws, size: tuple[int, int]) -> Any:
        """What is to be done to each of B images of `size` (H, W); `draws` has a row of random numbers for each."""
        raise NotImplementedError

    def apply(self, images: Tensor, drawn: Any) -> Tensor:
        """Float images (B, C, H, W) in 0..1, changed as `drawn`."""
        raise NotImplementedError

    def map(self, drawn: Any) -> Map | None:
        """Where the pixels move; None: they stay where they are."""
        return None


class Mixture:
    """Two images in one, and how much of each is in it."""

    num_others: ClassVar[int] = 1

    def draw(self, draws: Draws, size: tuple[int, int]) -> Any:
        """As in `Change`."""
        raise NotImplementedError

    def apply(self, images: Tensor, others: Tensor, drawn: Any) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W), and the share (B,) of `images` in each."""
        raise NotImplementedError


class Metric:
    """A figure of a part, from the outputs of all its batches.

    **Attributes:**

    - `better`: for each value that `compute` gives, whether more (`max`) or less (`min`) of it is better. Any of them
      can be watched: `trainer.watch`.
    - `each_epoch`: whether it is recorded after each epoch; else at the end of a run, and where it is watched.
    - `in_training`: whether it is also taken from the outputs of training, batch by batch, while weights change.
    """

    better: ClassVar[Mapping[str, str]] = {}
    each_epoch: ClassVar[bool] = True
    in_training: ClassVar[bool] = True

    def gives(self, output: Any) -> Collection[str]:
        """Which values of `better` there can be of outputs like this one; not whether these examples have them."""
        return self.better

    def update(self, output: Any, batch: Batch, losses: Mapping[str, Tensor]) -> None:
        """Takes in a batch, without waiting for the device."""
        raise NotImplementedError

    def merge(self, other: "Metric") -> None:
        """Takes in what another of its class has taken in, of other examples."""
        raise NotImplementedError

    def compute(self) -> dict[str, float]:
        """The values over all that was taken in; here the host may wait for the device."""
        raise NotImplementedError


@dataclass(frozen=True)
class Findings:
    """What a task draws its pictures from: the evaluated part and the model behind it.

    **Fields:**

    - `outputs`, `target`: of the whole part, an entry an example, on the CPU.
    - `part`: the raw examples, in the same order.
    - `forward`: from raw inputs (M, ...) to the model's outputs (M, ...), on the CPU.
    - `model`: on its device, not training; `loader`: what it got of the part, batch after batch.
    """

    outputs: Nested
    target: Nested
    part: Part
    forward: Callable[[Tensor], Tensor]
    model: nn.Module
    loader: Loader

    def raw(self, index: Tensor) -> Tensor:
        """The first raw input (M, ...) of the examples `index` (M,), on the CPU."""
        return self.part.take(index).inputs[0].cpu()

    @property
    def is_image(self) -> bool:
        """Whether the raw examples can be shown as pictures."""
        raw = self.raw(torch.zeros(1, dtype=torch.int64))
        return raw.dtype == torch.uint8 and raw.ndim == 4

    def features(self) -> Tensor:
        """The raw features (N, F) of all examples."""
        return self.raw(torch.arange(len(self.part))).flatten(1)

    def grid(self, points: int = 200, beyond: float = 0.1) -> Tensor:
        """Raw feature values that cover the part and, on each side, the share `beyond` of its range more.

        (points, 1) for one feature, (points², 2) for two, the second turning fastest.
        """
        features = self.features()
        low, high = features.min(dim=0).values, features.max(dim=0).values
        margin = (high - low).clamp(min=1e-6) * beyond
        axes = [
            torch.linspace(a, b, points) for a, b in zip((low - margin).tolist(), (high + margin).tolist(), strict=True)
        ]
        return torch.cartesian_prod(*axes).reshape(-1, len(axes))


@dataclass(frozen=True)
class Embedded:
    """Examples as points, for a look around among them.

    **Fields:**

    - `vectors` (N, E); `names`: a line for each; `images` (N, C, H, W) uint8: a picture of each.
    """

    vectors: Tensor
    names: Sequence[str]
    images: Tensor


@dataclass(frozen=True)
class ImageFile:
    """An image of a person, and how it became an input of a model.

    **Fields:**

    - `path`: of the file.
    - `frame` (6,): scale x, scale y, left and top margin in pixels of the input, width and height of the upright image
      in its own pixels. A point (x, y) of the image is at (x * scale + margin).
    """

    path: str
    frame: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the upright image."""
        width, height = self.frame[4:].tolist()
        return round(width), round(height)


class Sighting:
    """What a task says of one `ImageFile`, in pixels of that image."""

    def cells(self) -> dict[str, str]:
        """Its row of the table that `dlrun predict` prints, by column."""
        raise NotImplementedError

    def draw(self, picture: "Image") -> "Image":
        """The upright image in RGB, with what is said of it drawn on."""
        raise NotImplementedError


class Task:
    """Loss, metrics, predictions and pictures of one kind of problem.

    **Attributes:**

    - `learns`: the kind of target; `needs`: the kind of output of the model.
    - `is_default`: whether `task=auto` takes this task for its kind of target. A subclass does not inherit it.
    - `watch`: the metric that chooses the best epoch; `mode`: whether the highest (`max`) or the lowest is best.
    - `is_compared`: whether an input says something beside others alone, by `comparisons`.
    - `is_seen`: whether it has `sightings`; `is_scored`: whether these have scores; `formats`: the words
      that `files` takes.

    The keyword-only arguments of the constructor are the keys of `task` in a config.
    """

    learns: str = ""
    needs: str = "values"
    is_default: bool = False
    watch: str = "loss"
    mode: str = "min"
    is_compared: bool = False
    is_seen: bool = False
    is_scored: bool = False
    formats: tuple[str, ...] = ()

    def __init__(self, spec: DataSpec):
        self.spec = spec

    def to(self, device: torch.device) -> None:
        """Moves what the task itself computes with, and no checkpoint holds, to `device`; called before training."""

    def begin(self, model: nn.Module, train: Part) -> list[str]:
        """Lets a new model look at what is to be learned, such as usual sizes of boxes; lines that a person reads."""
        return []

    def targets(self, model: nn.Module, train: Part) -> list[str]:
        """What is taught of an example or two, written out for a person, after `begin`; for tasks that look at images
        with places in them."""
        return []

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """The output of the model, in training and in evaluation."""
        return model(*batch.inputs)

    def losses(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """`loss`, the mean over the batch that is minimised, and any terms of it that are to be recorded too.

        In evaluation it may be empty, where a model then gives no loss.
        """
        raise NotImplementedError

    def metrics(self) -> list[Metric]:
        """New metrics, which have taken in nothing yet."""
        return []

    def settle(self, model: nn.Module, metrics: Mapping[str, float]) -> None:
        """Keeps in `model` what the metrics of the val part have decided, such as a threshold; before it is saved."""

    def final_metrics(self, model: nn.Module) -> list[Metric]:
        """New metrics for a part on which nothing is decided any more."""
        return self.metrics()

    def check(self, output: Any, batch: Batch) -> None:
        """Holds the output of one example against its target. **Raises:** `ValueError` if it is no answer to it."""

    def predict(self, output: Any) -> Any:
        """What the output says, in the terms of the target: probabilities, values."""
        return output

    def answers(self, output: Any) -> dict[str, list[str]]:
        """Columns of texts, one row an example: what `dlrun predict` prints. **Raises:** `ValueError` without words."""
        raise ValueError("this task has no words for an answer")

    def values(self, output: Any) -> dict[str, list[Any]]:
        """The same for a program: columns of numbers and names, one row an example. **Raises:** as `answers`."""
        return dict(self.answers(output))

    def comparisons(self, model: nn.Module, output: Any, known: Any, names: Sequence[str]) -> dict[str, list[str]]:
        """Columns of texts, one row an example of `output`: which of the `known` ones, by their `names`, it is like."""
        raise ValueError("this task compares nothing")

    def sightings(self, output: Any, images: Sequence[ImageFile], least_score: float | None) -> list[Sighting]:
        """What the output says of places in each image; below `least_score` nothing is said, None: the usual one."""
        raise ValueError("this task says nothing of places in images")

    def files(
        self, format: str, seen: Sequence[Sighting], images: Sequence[ImageFile], stems: Sequence[str]
    ) -> dict[str, str]:
        """The text of each file, by name, that holds the sightings in one of `formats`.

        `stems`: for a file of one image what its name begins with.
        """
        raise ValueError(f"this task writes no {format}")

    def drawn(self, images: Tensor, target: Any) -> Tensor:
        """Images (B, C, H, W) uint8 with the places that their targets speak of drawn on them."""
        return images

    def rows(self, output: Any, target: Any) -> dict[str, list[Any]]:
        """The columns of predictions.csv, one row an example of the whole part."""
        return {}

    def examine(self, model: nn.Module) -> dict[str, float]:
        """What the weights themselves say, as metrics of the final part."""
        return {}

    def remarks(self, metrics: Mapping[str, float]) -> list[str]:
        """What a person should know of the final metrics (`test/accuracy`, ...), a line each."""
        return []

    def pictures(self, findings: Findings) -> "Mapping[str, Figure | Tensor]":
        """Figures by name, of the evaluated part; a tensor (C, H, W) in 0..1 is a picture, kept pixel by pixel."""
        return {}

    def embedded(self, findings: Findings) -> Embedded | None:
        """Where the model puts examples of the evaluated part; None: it has no place for them."""
        return None

    def sample(self, model: nn.Module, loader: Loader) -> str | Tensor | None:
        """What the model makes of something after an epoch: a text, or a picture (C, H, W) in 0..1."""
        return None
