"""Are two pictures of the same? What siamese and triplet networks share: distances, pairs, thresholds (notes, faces).

The distance of two embeddings is squared and Euclidean, of vectors of length 1 in 0..4; that of a logistic unit is the
sum of the differences. A task has one, in training, for the threshold and in all metrics alike.

Letters: B, N examples of a batch and of a part, E numbers of an embedding.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch, Embedded, Findings, Metric, Task
from dlrun.engine.metrics import Gathered

MOST_PICTURES = 2000  # of a part in all pairs; of more as many are drawn, always the same
MOST_SIDE = 64  # pixels a side of an image that is compared as it is
COLLAPSED = 0.01  # mean distance of different ones, of 4 at most
RANKED = 5  # people that a picture is compared with in a table
SHOWN_PAIRS, SHOWN_QUERIES, SHOWN_NEAREST = 8, 6, 6
ROWS = 64  # of a table of distances that are computed at once
ROUNDS = 10  # in which each picture looks for its person among others

COMPARED = ("roc_auc", "recall_at_1", "one_shot")  # with raw pixels and an untrained network
Distance: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def squared(one: Tensor, other: Tensor) -> Tensor:
    """Squared Euclidean distances (n, m) of embeddings (n, E) and (m, E).

    From the differences, not from the products: of equal ones it is 0, and so is its gradient.
    """
    return (one[:, None] - other[None]).square().sum(dim=2)


def manhattan(one: Tensor, other: Tensor) -> Tensor:
    """Sums of the differences (n, m) of embeddings (n, E) and (m, E)."""
    return (one[:, None] - other[None]).abs().sum(dim=2)


def pairs(target: Tensor) -> tuple[Tensor, Tensor]:
    """(Which two examples are of the same (B, B), which of these are two examples)."""
    is_same = target[:, None] == target[None]
    return is_same, is_same & ~torch.eye(len(target), dtype=torch.bool, device=target.device)


class Taught(NamedTuple):
    """What a batch of training gives: embeddings (B, E), and the bias of a unit for pairs, if there is one."""

    embedding: Tensor
    bias: Tensor | None = None


class Verification(Task):
    """Embeddings (B, E) are close if two pictures are of the same, and far apart if not; a subclass gives the loss."""

    learns: str = "identity"
    needs: str = "embedding"
    watch: str = "roc_auc"
    mode: str = "max"
    is_compared: bool = True

    def __init__(self, spec: DataSpec, ways: int):
        super().__init__(spec)
        self.ways = ways
        self.distance: Distance = squared
        self.class_names = spec.class_names or tuple(str(k) for k in range(spec.out_features or 0))

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Embeddings; in training as `Taught`, of which there is a loss: the batches of other parts have no pairs."""
        embedding = model(*batch.inputs)
        return Taught(embedding) if model.training else embedding

    def check(self, output: Any, batch: Batch) -> None:
        """**Raises:** `ValueError` if there is not one embedding an example, of length 1 where squares are compared."""
        if output.ndim != 2 or len(output) != len(batch):
            raise ValueError(f"gives {tuple(output.shape)}; an embedding is a vector (E,) for each example")
        length = output.norm(dim=1)
        if self.distance is squared and not torch.allclose(length, torch.ones_like(length), atol=1e-3):
            raise ValueError(f"gives embeddings of length {length[0].item():.3g}; they must be of length 1")

    def metrics(self) -> list[Metric]:
        return [Pairs(self.distance, None), Neighbours(self.distance, self.ways)]

    def settle(self, model: nn.Module, metrics: Mapping[str, float]) -> None:
        """The threshold that was best for the people of val."""
        if "threshold" in metrics:
            model.get_buffer("threshold").fill_(metrics["threshold"])

    def final_metrics(self, model: nn.Module) -> list[Metric]:
        threshold = model.get_buffer("threshold").item()
        chosen = threshold if threshold >= 0 else None
        return [
            Pairs(self.distance, chosen),
            Neighbours(self.distance, self.ways),
            RawPixels(self.ways),
            Untrained(model, self.distance, self.ways),
        ]

    def remarks(self, metrics: Mapping[str, float]) -> list[str]:
        """Whether all pictures have become one point."""
        spread = next((value for name, value in metrics.items() if name.endswith("/spread")), 1.0)
        if spread > COLLAPSED:
            return []
        return [
            f"collapsed: different ones are {spread:.1g} apart, all pictures are one point. A margin above 0 forbids "
            "that; mining=semi_hard or a lower rate keeps hard triplets from leading there"
        ]

    def comparisons(
        self, model: nn.Module, output: Tensor, known: Tensor, names: Sequence[str]
    ) -> dict[str, list[str]]:  # fmt: skip
        """The nearest known ones, each by its nearest picture, and whether the first of them is the same.

        Several known pictures of one name are one person, so that somebody is enrolled without training.
        """
        people = list(dict.fromkeys(names))
        member = torch.tensor([people.index(name) for name in names])
        distance = in_rows(self.distance, output.float().cpu(), known.float().cpu())  # (n, m)
        nearest = torch.stack([distance[:, member == k].amin(dim=1) for k in range(len(people))], dim=1)
        best = nearest.topk(min(RANKED, len(people)), dim=1, largest=False)
        threshold = model.get_buffer("threshold").item()
        columns: dict[str, list[str]] = {"same": [
            "not known" if threshold < 0 else f"{'yes' if value <= threshold else 'no'} (up to {threshold:.3f})"
            for value in best.values[:, 0].tolist()
        ]}  # fmt: skip
        for rank in range(best.values.shape[1]):
            pairs_ = zip(best.indices[:, rank].tolist(), best.values[:, rank].tolist(), strict=True)
            columns["nearest" if rank == 0 else f"{rank + 1}."] = [f"{people[k]} {value:.3f}" for k, value in pairs_]
        return columns

    def rows(self, output: Tensor, target: Tensor) -> dict[str, list[Any]]:
        """Who is seen, who is nearest to it, and how near."""
        distance = in_rows(self.distance, output, output).fill_diagonal_(torch.inf)
        nearest = distance.min(dim=1)
        names = [self.class_names[k] for k in target.tolist()]
        return {
            "true": names,
            "nearest": [names[k] for k in nearest.indices.tolist()],
            "distance": nearest.values.tolist(),
        }

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Distances of pairs, the hardest of them, triplets, what is nearest to some, and a map of all."""
        from dlrun.plots import verification as figures

        output, target = some(findings.outputs.float(), findings.target)
        index = chosen_of(len(findings.target))
        distance = in_rows(self.distance, output, output)
        row, column = torch.triu_indices(len(target), len(target), offset=1)
        is_same = target[row] == target[column]
        apart = distance[row, column]
        found: dict[str, Any] = {}
        if is_same.any() and not is_same.all():
            threshold = findings.model.get_buffer("threshold").item()
            found["distances"] = figures.distance_histogram(
                apart[is_same].numpy(), apart[~is_same].numpy(), threshold if threshold >= 0 else None,
                area(apart[is_same], apart[~is_same]),
            )  # fmt: skip

        def images(places: Tensor) -> Any:
            return findings.raw(index[places]).float().numpy() / 255

        def hardest(chosen: Tensor, farthest: bool) -> tuple[Any, Any, list[str]]:
            places = chosen.nonzero().flatten()
            places = places[apart[places].argsort(descending=farthest, stable=True)][:SHOWN_PAIRS]
            return images(row[places]), images(column[places]), [f"{value:.2f}" for value in apart[places].tolist()]

        if "distances" in found:
            found["hardest_pairs"] = figures.pairs_grid([
                ("the same,\nfar apart", *hardest(is_same, True)), ("different,\nbut near", *hardest(~is_same, False)),
            ])  # fmt: skip
            found["triplets"] = self._triplets(distance, target, images)
        others = distance.clone().fill_diagonal_(torch.inf)
        looked = torch.linspace(0, len(target) - 1, min(SHOWN_QUERIES, len(target))).long()
        near = others[looked].topk(min(SHOWN_NEAREST, len(target) - 1), largest=False)
        names = [self.class_names[k] for k in target.tolist()]
        texts = [
            [names[k], *(f"{value:.2f}" for value in own)]
            for k, own in zip(looked.tolist(), near.values.tolist(), strict=True)
        ]
        is_right = target[near.indices] == target[looked, None]
        found["nearest"] = figures.nearest(
            images(looked), [images(own) for own in near.indices], is_right.numpy(), texts
        )
        centred = output - output.mean(dim=0)
        _, strength, axes = torch.linalg.svd(centred, full_matrices=False)
        share = (strength[:2].square().sum() / strength.square().sum().clamp(min=1e-12)).item()
        found["embedding"] = figures.embedding_map(
            (centred @ axes[:2].T).numpy(), target.numpy(), self.class_names, share
        )
        return found

    def embedded(self, findings: Findings) -> Embedded:
        index = chosen_of(len(findings.target))
        names = [self.class_names[k] for k in findings.target[index].tolist()]
        return Embedded(findings.outputs[index].float(), names, findings.raw(index))

    def _triplets(self, distance: Tensor, target: Tensor, images: Callable[[Tensor], Any]) -> Any:
        """Anchors with their farthest positive, and the nearest negative that is farther still."""
        from dlrun.plots import verification as figures

        is_same, is_pair = pairs(target)
        anchors = is_pair.any(dim=1).nonzero().flatten()
        anchors = anchors[:: max(1, len(anchors) // SHOWN_PAIRS)][:SHOWN_PAIRS]
        positive = distance.masked_fill(~is_pair, -1)[anchors].max(dim=1)
        beyond = distance[anchors].masked_fill(is_same[anchors], torch.inf)
        farther = beyond.masked_fill(beyond <= positive.values[:, None], torch.inf)
        negative = torch.where(farther.isfinite().any(dim=1, keepdim=True), farther, beyond).min(dim=1)
        texts = [[f"{value:.2f}" for value in own.values.tolist()] for own in (positive, negative)]
        names = [self.class_names[k] for k in target[anchors].tolist()]
        return figures.triplets([images(anchors), images(positive.indices), images(negative.indices)], [names, *texts])


class Pairs(Gathered):
    """All pairs of a part, by their distance.

    - `roc_auc`: the probability that a pair of the same is nearer than a pair of different ones.
    - `pair_accuracy`: the mean of the shares of same pairs within the threshold and of different ones beyond it;
      `false_accept`, `false_reject`: the shares that are wrong.
    - `threshold`: the distance up to which two are called the same: the one that was given, never one chosen for this
      part, or else the one with the highest accuracy here.
    - `spread`: the mean distance of different ones; near 0, all pictures are one point.

    Of a part without a pair of the same, or without different ones, there is but the spread.
    """

    better: ClassVar[Mapping[str, str]] = {
        "roc_auc": "max", "pair_accuracy": "max", "false_accept": "min", "false_reject": "min", "spread": "max",
    }  # fmt: skip

    def __init__(self, distance: Distance, threshold: float | None):
        super().__init__()
        self.distance, self.threshold = distance, threshold

    def value(self, output: Tensor, target: Tensor) -> dict[str, float]:
        output, target = some(output, target)
        row, column = torch.triu_indices(len(target), len(target), offset=1)
        distance = in_rows(self.distance, output, output)[row, column]
        is_same = target[row] == target[column]
        same, different = distance[is_same], distance[~is_same]
        found = {"spread": different.mean().item()} if len(different) else {}
        if not len(same) or not len(different):
            return found
        threshold = best_threshold(same, different) if self.threshold is None else self.threshold
        reject, accept = (same > threshold).double().mean().item(), (different <= threshold).double().mean().item()
        return {
            "roc_auc": area(same, different), "pair_accuracy": 1 - (reject + accept) / 2, "false_accept": accept,
            "false_reject": reject, "threshold": threshold, **found,
        }  # fmt: skip


class Neighbours(Gathered):
    """Who is nearest.

    - `recall_at_1`: the share of pictures whose nearest other one is of the same.
    - `one_shot`: the share found among `ways` people of whom one picture each is known, the right one among them.

    Pictures of people with a single one are looked among, but look for nobody.
    """

    better: ClassVar[Mapping[str, str]] = {"recall_at_1": "max", "one_shot": "max"}

    def __init__(self, distance: Distance, ways: int):
        super().__init__()
        self.distance, self.ways = distance, ways

    def value(self, output: Tensor, target: Tensor) -> dict[str, float]:
        output, target = some(output, target)
        distance = in_rows(self.distance, output, output).fill_diagonal_(torch.inf)
        is_same = target[:, None] == target[None]
        looks = is_same.sum(dim=1) > 1
        if not looks.any() or len(target.unique()) < 2:
            return {}
        found = {"recall_at_1": (target[distance.argmin(dim=1)] == target)[looks].double().mean().item()}
        return found | {"one_shot": self._one_shot(distance[looks], is_same[looks], target)}

    def _one_shot(self, distance: Tensor, is_same: Tensor, target: Tensor) -> float:
        """Each picture looks `ROUNDS` times, the same ones for the same part."""
        chance = torch.Generator().manual_seed(0)
        people, member = target.unique(return_inverse=True)
        counts = member.bincount()
        first = counts.cumsum(dim=0) - counts  # of each person, in an order by people
        right = []
        for _ in range(ROUNDS):
            # In any order of the pictures, the one that is known of each person, and another for whom that one looks.
            order = torch.randperm(len(target), generator=chance)
            order = order[member[order].argsort(stable=True)]
            known, other = order[first], order[torch.minimum(first + 1, first + counts - 1)]
            is_itself = distance[:, known].isinf()  # (n, people)
            near = torch.where(is_itself, distance[:, other], distance[:, known])
            is_own = is_same[:, known]
            drawn = torch.rand(near.shape, generator=chance).masked_fill(is_own, 2)
            asked = drawn.topk(min(self.ways, len(people)), dim=1).indices  # its own person is always among them
            best = near.gather(1, asked).argmin(dim=1, keepdim=True)
            right.append(is_own.gather(1, asked).gather(1, best))
        return torch.cat(right).double().mean().item()


class RawPixels(Gathered):
    """What the pixels say without any network: `pixels_roc_auc`, `pixels_recall_at_1`, `pixels_one_shot`.

    A learner must be better than that. Images of more than 64 pixels a side are made smaller first.
    """

    better: ClassVar[Mapping[str, str]] = {f"pixels_{name}": "max" for name in COMPARED}

    def __init__(self, ways: int):
        super().__init__()
        self.ways = ways

    def update(self, output: Any, batch: Batch, losses: Mapping[str, Tensor]) -> None:
        images = batch.inputs[0].float()
        if max(images.shape[-2:]) > MOST_SIDE:
            images = F.interpolate(images, (MOST_SIDE, MOST_SIDE), mode="area")
        self.batches.append((images.flatten(1), batch.target, batch.index))

    def value(self, output: Tensor, target: Tensor) -> dict[str, float]:
        # Of each picture its light and contrast are taken out, as somebody would who compares pixels.
        standard = F.normalize(output - output.mean(dim=1, keepdim=True), dim=1)
        return _compared("pixels", standard, target, squared, self.ways)


class Untrained(Gathered):
    """What the same network says before it has learned: `untrained_roc_auc`, and so on as `RawPixels`.

    Of a network with weights that no `reset_parameters` draws anew there is none: it would not be untrained.
    """

    better: ClassVar[Mapping[str, str]] = {f"untrained_{name}": "max" for name in COMPARED}

    def __init__(self, model: nn.Module, distance: Distance, ways: int):
        super().__init__()
        self.model, self.distance, self.ways = copy.deepcopy(model).eval(), distance, ways
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            self.is_whole = all(_drawn_anew(module) for module in self.model.modules())

    def update(self, output: Any, batch: Batch, losses: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            self.batches.append((self.model(*batch.inputs), batch.target, batch.index))

    def value(self, output: Tensor, target: Tensor) -> dict[str, float]:
        return _compared("untrained", output, target, self.distance, self.ways) if self.is_whole else {}


def _drawn_anew(module: nn.Module) -> bool:
    """Draws the weights of a module, without those of its parts; False if it has some and no way to."""
    reset: Any = getattr(module, "reset_parameters", None)
    if reset is not None:
        reset()
    return reset is not None or next(module.parameters(recurse=False), None) is None


def _compared(name: str, output: Tensor, target: Tensor, distance: Distance, ways: int) -> dict[str, float]:
    found = Pairs(distance, None).value(output, target) | Neighbours(distance, ways).value(output, target)
    return {f"{name}_{key}": found[key] for key in COMPARED if key in found}


def in_rows(distance: Distance, one: Tensor, other: Tensor) -> Tensor:
    """The distances (n, m), some rows at a time: all differences at once take gigabytes."""
    return torch.cat([distance(rows, other) for rows in one.split(ROWS)])


def some(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """At most `MOST_PICTURES` of the examples, always the same ones."""
    chosen = chosen_of(len(target))
    return output[chosen], target[chosen]


def chosen_of(num: int) -> Tensor:
    """Which of `num` examples these are."""
    if num <= MOST_PICTURES:
        return torch.arange(num)
    return torch.randperm(num, generator=torch.Generator().manual_seed(0))[:MOST_PICTURES].sort().values


def area(same: Tensor, different: Tensor) -> float:
    """The probability that one of `same` (n,) is below one of `different` (m,); of equal ones it is a half."""
    order = different.sort().values
    below, up_to = torch.searchsorted(order, same), torch.searchsorted(order, same, right=True)
    return 1 - ((below + up_to).double().mean() / 2 / len(different)).item()


def best_threshold(same: Tensor, different: Tensor) -> float:
    """The distance with the highest mean of the two shares, halfway to the next larger one."""
    values = torch.cat([same, different]).unique()
    accepted = torch.searchsorted(same.sort().values, values, right=True) / len(same)
    wrongly = torch.searchsorted(different.sort().values, values, right=True) / len(different)
    best = int((accepted - wrongly).argmax())
    return ((values[best] + values[min(best + 1, len(values) - 1)]) / 2).item()
