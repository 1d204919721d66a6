"""A class for each pixel (notes, U-Net: semantic segmentation)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.schema import NonNegativeFloat
from dlrun.config.spec import DataSpec
from dlrun.data.boxes.mask_part import NOT_COUNTED
from dlrun.engine.contracts import Batch, Findings, ImageFile, Metric, Sighting, Task
from dlrun.engine.metrics import Sums
from dlrun.tasks import places

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN_CLASSES = 8  # columns of an answer
RANKS = ("most", "then", "and then")  # of more classes
SHOWN_IMAGES = 6


@dataclass(frozen=True)
class FoundClasses(Sighting):
    """The classes (H', W') uint8 of the pixels of the input that one image became, and the row of the table."""

    image: ImageFile
    classes: Tensor
    class_names: Sequence[str]
    row: dict[str, str]

    def cells(self) -> dict[str, str]:
        return self.row

    def draw(self, picture: "Image") -> "Image":
        from dlrun.plots import drawn

        return drawn.classified(picture, places.classes_in_image(self.classes, self.image), self.class_names)


class Segmented(NamedTuple):
    """What is left of the logits (B, K, H, W) of an evaluation: for 21 classes a part in 84 of their memory.

    **Fields:**

    - `classes` (B, H, W) uint8: the likeliest class of each pixel.
    - `terms` (B, T): the terms of the loss of each image.
    """

    classes: Tensor
    terms: Tensor


class SemanticSegmentation(Task):
    """Cross-entropy, and perhaps soft Dice, on logits (B, K, H, W) against classes (B, H, W), 255 not counted.

    Metrics are of all pixels of a part together, so that no batch size changes them: `mean_iou`, the mean over all
    classes; `dice`, the mean over all but the first, the background; `pixel_accuracy`; `iou_<class>` and
    `dice_<class>`. A class that neither the truth nor the prediction has anywhere is left out of the means, and its own
    value is 1: nothing of it was missed. So is a mean of no class at all.

    The loss of an image is a mean over its counted pixels, 0 if there are none, and that of a batch the mean over its
    images.
    """

    learns: str = "mask"
    needs: str = "mask"
    is_default: bool = True
    watch: str = "mean_iou"
    mode: str = "max"
    is_seen: bool = True

    def __init__(self, spec: DataSpec, *, dice_weight: NonNegativeFloat = 0.0):
        """**Arguments:**

        - `dice_weight`: of the soft Dice term that is added to the cross-entropy: 1 - the mean over the classes of
          2 |P T| / (|P| + |T|), with sums of probabilities P and of truth T over an image, each plus one pixel.
          Source: Milletari et al., "V-Net", 2016.
        """
        super().__init__(spec)
        self.dice_weight = dice_weight
        self.num_classes = spec.out_features or 0
        self.class_names = spec.class_names or tuple(str(k) for k in range(self.num_classes))

    def forward(self, model: nn.Module, batch: Batch) -> Tensor | Segmented:
        """The logits; in evaluation what is left of them, where there is a mask of their size."""
        logits = model(*batch.inputs)
        if model.training or not self._fits(logits, batch.target):
            return logits
        return Segmented(classes_of(logits), self._terms(logits, batch.target))

    def losses(self, output: Tensor | Segmented, batch: Batch) -> dict[str, Tensor]:
        """The loss and, with `dice_weight`, its two terms."""
        terms = output.terms if isinstance(output, Segmented) else self._terms(output, batch.target)
        cross_entropy, *others = terms.mean(dim=0).unbind()
        if not others:
            return {"loss": cross_entropy}
        loss = cross_entropy + self.dice_weight * others[0]
        return {"loss": loss, "cross_entropy": cross_entropy, "dice_loss": others[0]}

    def metrics(self) -> list[Metric]:
        return [Overlap(self.num_classes), ClassOverlap(self.class_names)]

    def check(self, output: Tensor | Segmented, batch: Batch) -> None:
        """**Raises:** `ValueError` with both shapes unless the output has K logits for each pixel of the mask."""
        if isinstance(output, Tensor) and not self._fits(output, batch.target):
            raise ValueError(
                f"answers with {tuple(output.shape[1:])} an image, the mask is {tuple(batch.target.shape[1:])} of "
                f"{self.num_classes} classes; a segmentation needs (classes, height, width) of the same size"
            )

    def predict(self, output: Tensor) -> Tensor:
        """Probabilities (B, K, H, W)."""
        return output.float().softmax(dim=1)

    def answers(self, output: Tensor | Segmented) -> dict[str, list[str]]:
        """The share of the pixels that each class has; of many classes those with most."""
        shares = F.one_hot(classes_of(output).flatten(1).long(), self.num_classes).float().mean(dim=1)  # (B, K)
        if self.num_classes <= SHOWN_CLASSES:
            named = zip(self.class_names, shares.T.tolist(), strict=True)
            return {name: [f"{share:.1%}" for share in column] for name, column in named}
        values, classes = shares.sort(dim=1, descending=True, stable=True)
        columns = list(zip(values.T.tolist(), classes.T.tolist(), strict=True))[: len(RANKS)]
        texts = [[self._share(*pair) for pair in zip(*column, strict=True)] for column in columns]
        return dict(zip(RANKS, texts, strict=True))

    def sightings(
        self, output: Tensor | Segmented, images: Sequence[ImageFile], least_score: float | None
    ) -> list[Sighting]:
        """The class of each pixel of each image."""
        columns, classes = self.answers(output), classes_of(output).cpu()
        rows = [{name: cells[number] for name, cells in columns.items()} for number in range(len(images))]
        return [FoundClasses(image, own, self.class_names, row) for image, own, row in zip(
            images, classes, rows, strict=True
        )]  # fmt: skip

    def drawn(self, images: Tensor, target: Tensor) -> Tensor:
        from torchvision.utils import draw_segmentation_masks

        classes = torch.arange(1, len(self.class_names))[:, None, None]
        pairs = zip(places.coloured(images), target, strict=True)
        return torch.stack([draw_segmentation_masks(image, mask == classes, alpha=0.5) for image, mask in pairs])

    def rows(self, output: Segmented, target: Tensor) -> dict[str, list[Any]]:
        """Pixel accuracy and mean IoU of each image by itself."""
        scores = self._scores(output, target)
        return {name: [score[name] for score in scores] for name in ("pixel_accuracy", "mean_iou")}

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Image, mask, answer and errors, the worst images first, and the IoU of each class."""
        from dlrun.plots import masks

        output, target = findings.outputs, findings.target
        matrix = sum(
            confusion(own[None], true[None], self.num_classes) for own, true in zip(output.classes, target, strict=True)
        )
        assert isinstance(matrix, Tensor), "a part has examples"
        iou, dice, occurs = overlaps(matrix)
        figures = {
            "class_overlap": masks.class_overlap(iou.numpy(), dice.numpy(), occurs.numpy(), self.class_names),
        }
        if findings.is_image:
            scores = [score["mean_iou"] for score in self._scores(output, target)]
            worst = torch.tensor(scores).argsort(stable=True)[:SHOWN_IMAGES]
            pixels = findings.raw(worst).float() / 255
            captions = [f"image {int(k)}: mean IoU {scores[int(k)]:.1%}" for k in worst]
            figures["masks"] = masks.masks_grid(
                pixels, target[worst], output.classes[worst], self.class_names, captions, NOT_COUNTED
            )
        return figures

    def _share(self, share: float, k: int) -> str:
        return f"{self.class_names[k]} {share:.1%}" if share else ""

    def _fits(self, output: Tensor, target: Any) -> bool:
        """Whether there are K logits for each pixel of a mask."""
        if not isinstance(target, Tensor):
            return False
        return tuple(output.shape) == (target.shape[0], self.num_classes, *target.shape[1:])

    def _terms(self, logits: Tensor, target: Tensor) -> Tensor:
        """The terms (B, T) of the loss of each image: the cross-entropy and, if it counts, the soft Dice loss."""
        logits, true = logits.float(), target.long()
        is_counted = true != NOT_COUNTED
        # One pixel a row: of whole images torch's loss is not deterministic on CUDA.
        rows = logits.movedim(1, -1).flatten(0, 2)  # (B * H * W, K)
        errors = F.cross_entropy(rows, true.flatten(), ignore_index=NOT_COUNTED, reduction="none")
        num_counted = is_counted.flatten(1).sum(dim=1)  # (B,)
        terms = [errors.view(len(logits), -1).sum(dim=1) / num_counted.clamp(min=1)]
        if self.dice_weight:
            counted = is_counted[:, None]
            guess = logits.softmax(dim=1) * counted
            wanted = F.one_hot(true.where(is_counted, 0), self.num_classes).movedim(-1, 1) * counted
            both, either = ((guess * wanted).flatten(2).sum(2), (guess + wanted).flatten(2).sum(2))  # (B, K)
            terms.append(1 - ((2 * both + 1) / (either + 1)).mean(dim=1))
        return torch.stack(terms, dim=1)

    def _scores(self, output: Segmented, target: Tensor) -> list[dict[str, float]]:
        """The metrics of each image by itself."""
        pairs = zip(output.classes, target, strict=True)
        return [means(confusion(own[None], true[None], self.num_classes)) for own, true in pairs]


class Overlap(Sums):
    """The overlap of truth and prediction over the classes that occur, and the share of pixels that are right."""

    better: ClassVar[Mapping[str, str]] = {"mean_iou": "max", "dice": "max", "pixel_accuracy": "max"}

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes

    def sums(self, output: Any, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"pixels": confusion(classes_of(output), batch.target, self.num_classes)}

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        return means(totals["pixels"])


class ClassOverlap(Overlap):
    """IoU and Dice of each class by itself: `iou_<class>`, `dice_<class>`."""

    each_epoch: ClassVar[bool] = False
    in_training: ClassVar[bool] = False

    def __init__(self, class_names: tuple[str, ...]):
        super().__init__(len(class_names))
        self.names = ["_".join(name.replace("/", " ").split()) for name in class_names]
        # Which values there are depends on the data, not on the class.
        vars(self)["better"] = {f"{kind}_{name}": "max" for kind in ("iou", "dice") for name in self.names}

    def value(self, totals: Mapping[str, Any], examples: int) -> dict[str, float]:
        iou, dice, _ = overlaps(totals["pixels"])
        return dict(zip(self.better, [*iou.tolist(), *dice.tolist()], strict=True))


def classes_of(output: Tensor | Segmented) -> Tensor:
    """The likeliest class (B, H, W) uint8 of each pixel."""
    if isinstance(output, Segmented):
        return output.classes
    return output.detach().argmax(dim=1).to(torch.uint8)


def confusion(guess: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Counts (K, K) of pixels by their classes (B, H, W) uint8: row the true class, column the predicted one."""
    # What is not counted goes to a cell of its own: to leave it out the host would have to wait for the device.
    pairs = target.to(torch.int32) * num_classes + guess
    pairs = pairs.masked_fill_(target == NOT_COUNTED, num_classes**2).flatten()
    counts = torch.zeros(num_classes**2 + 1, dtype=torch.int64, device=pairs.device)
    counts.index_add_(0, pairs, torch.ones((), dtype=torch.int64, device=pairs.device).expand(len(pairs)))
    return counts[:-1].view(num_classes, num_classes)


def overlaps(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(IoU, Dice, whether it occurs in truth or prediction) of each class (K,), from counts (K, K) of pixels."""
    matrix = matrix.double()
    hits, sizes = matrix.diagonal(), matrix.sum(dim=0) + matrix.sum(dim=1)
    occurs = sizes > 0
    dice = torch.where(occurs, 2 * hits / sizes.clamp(min=1), 1.0)
    iou = torch.where(occurs, hits / (sizes - hits).clamp(min=1), 1.0)
    return iou, dice, occurs


def means(matrix: Tensor) -> dict[str, float]:
    """The means over the classes that occur, from counts (K, K) of pixels; 1 where there is nothing to be missed."""
    iou, dice, occurs = overlaps(matrix)
    total = int(matrix.sum())
    return {
        "mean_iou": _mean(iou[occurs]),
        "dice": _mean(dice[1:][occurs[1:]]),
        "pixel_accuracy": int(matrix.diagonal().sum()) / total if total else 1.0,
    }


def _mean(values: Tensor) -> float:
    return values.mean().item() if len(values) else 1.0
