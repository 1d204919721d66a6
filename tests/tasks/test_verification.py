"""Pairs, thresholds and neighbours against scikit-learn and brute force; triplets against all triplets."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch
from dlrun.models.embedder import Embedder
from dlrun.tasks.siamese import Siamese
from dlrun.tasks.triplet import Triplet, mined
from dlrun.tasks.verification import (
    Neighbours,
    Pairs,
    Taught,
    Untrained,
    area,
    best_threshold,
    manhattan,
    pairs,
    squared,
)

SPEC = DataSpec("image", "identity", in_channels=1, image_size=(16, 16), out_features=6)


def people(seed, num=5, pictures=4, noise=0.7, size=8):
    """Embeddings of length 1 (N, E) and who each is of (N,)."""
    chance = torch.Generator().manual_seed(seed)
    centre = torch.randn(num, 1, size, generator=chance)
    own = centre + noise * torch.randn(num, pictures, size, generator=chance)
    return F.normalize(own.flatten(0, 1), dim=1), torch.arange(num).repeat_interleave(pictures)


def batch_of(target):
    return Batch((torch.zeros(len(target), 1, 16, 16),), target, torch.arange(len(target)))


@given(st.integers(0, 2**31), st.floats(0.1, 3))
def test_the_area_and_the_threshold_are_those_of_a_search_over_all(seed, noise):
    output, target = people(seed, noise=noise)
    found = Pairs(squared, None).value(output, target)
    row, column = np.triu_indices(len(target), 1)
    distance = squared(output, output)[row, column].double().numpy()
    is_same = (target[row] == target[column]).numpy()
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(is_same, -distance), abs=1e-9)

    # No other threshold is better, and the rates are those at it.
    def balanced(limit):
        return ((distance <= limit)[is_same].mean() + (distance > limit)[~is_same].mean()) / 2

    assert found["pair_accuracy"] == pytest.approx(balanced(found["threshold"]), abs=1e-9)
    assert found["pair_accuracy"] >= max(balanced(limit) for limit in distance) - 1e-9
    assert found["false_accept"] == pytest.approx((distance <= found["threshold"])[~is_same].mean())
    frozen = Pairs(squared, 0.5).value(output, target)
    assert frozen["threshold"] == 0.5 and frozen["false_reject"] == pytest.approx((distance > 0.5)[is_same].mean())


def test_equal_distances_count_a_half():
    assert area(torch.tensor([1.0]), torch.tensor([1.0])) == 0.5
    assert area(torch.tensor([0.0, 2.0]), torch.tensor([1.0])) == 0.5
    assert best_threshold(torch.tensor([0.1, 0.2]), torch.tensor([0.4, 0.9])) == pytest.approx(0.3)


def test_neighbours_by_hand():
    output = F.normalize(torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1], [-1, 0]]), dim=1)
    target = torch.tensor([0, 0, 1, 1, 2])
    assert Neighbours(squared, 3).value(output, target) == {"recall_at_1": 1.0, "one_shot": 1.0}
    swapped = torch.tensor([0, 1, 0, 1, 2])
    assert Neighbours(squared, 2).value(output, swapped)["recall_at_1"] == 0.0
    # The same part gives the same figure; with all people looked among it is no easier than with two.
    output, target = people(1, num=8, noise=1.5)
    two, all_ = (Neighbours(squared, ways).value(output, target)["one_shot"] for ways in (2, 8))
    assert Neighbours(squared, 2).value(output, target)["one_shot"] == two > all_ > 1 / 8


def test_many_people_are_looked_among_in_a_moment():
    """Of 2,000 pictures of a thousand people no table of all looks is drawn: that took minutes."""
    output, target = people(0, num=1000, pictures=2, noise=0.3, size=16)
    found = Neighbours(squared, 5).value(output, target)
    assert 0.9 < found["one_shot"] <= 1


def test_a_network_that_cannot_be_drawn_anew_has_no_figure_before_training():
    output, target = people(0)
    batch = Batch((torch.rand(20, 1, 16, 16),), target, torch.arange(20))
    plain = Embedder(in_channels=1, image_size=16, channels=(4,))
    learned = Embedder(in_channels=1, image_size=16, channels=(4,))
    with torch.no_grad():
        for parameter in learned.parameters():
            parameter.add_(1)
    figures = []
    for model in (plain, learned):
        metric = Untrained(model, squared, 5)
        metric.update(output, batch, {})
        figures.append(metric.compute())
    # Whatever was learned: the weights are drawn anew, by a seed of their own.
    assert figures[0] == figures[1] and figures[0].keys() == Untrained.better.keys()
    plain.extra = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(3))])
    metric = Untrained(plain, squared, 5)
    metric.update(output, batch, {})
    assert metric.compute() == {}


def test_one_shot_of_chance_is_one_in_so_many():
    chance = torch.Generator().manual_seed(0)
    output = F.normalize(torch.randn(400, 32, generator=chance), dim=1)
    found = Neighbours(squared, 5).value(output, torch.arange(400) % 20)
    assert found["one_shot"] == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("target", [[0, 0, 0], [0, 1, 2], [0]])
def test_where_there_are_no_pairs_there_is_no_figure(target):
    output, target = people(0, num=3, pictures=1)[0][: len(target)], torch.tensor(target)
    assert not {"roc_auc", "pair_accuracy"} & Pairs(squared, None).value(output, target).keys()
    assert Neighbours(squared, 5).value(output, target) == {}


def by_search(distance, target, mining, margin):
    """The loss over all triplets that a rule allows, one by one."""
    losses = []
    num = len(target)
    for a, p in itertools.permutations(range(num), 2):
        if target[a] != target[p]:
            continue
        apart = [distance[a, n].item() for n in range(num) if target[n] != target[a]]
        near = distance[a, p].item()
        if mining == "hard":
            if near < max(distance[a, q].item() for q in range(num) if q != a and target[q] == target[a]):
                continue
            chosen = min(apart)
        else:
            beyond = [value for value in apart if value > near]
            chosen = min(beyond) if beyond else max(apart)
        losses.append(max(near - chosen + margin, 0))
    active = [value for value in losses if value > 0]
    return sum(active) / max(len(active), 1), len(active) / len(losses)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from(["hard", "semi_hard"]), st.floats(0.0, 1.0), st.floats(0.2, 2))
def test_mining_is_a_search_over_all_triplets(seed, mining, margin, noise):
    output, target = people(seed, num=4, pictures=3, noise=noise)
    found = Triplet(SPEC, mining=mining, margin=margin).losses(Taught(output), batch_of(target))
    loss, active = by_search(squared(output, output), target, mining, margin)
    assert found["loss"].item() == pytest.approx(loss, abs=1e-5)
    assert found["active"].item() == pytest.approx(active, abs=1e-6)


def test_random_negatives_are_of_others_and_any_of_them():
    output, target = people(0)
    distance, (is_same, is_pair) = squared(output, output), pairs(target)
    torch.manual_seed(0)
    drawn = torch.stack([mined(distance, is_same, is_pair, "random")[1] for _ in range(200)])
    for a, p in ((0, 1), (7, 5)):
        values = {round(value, 5) for value in drawn[:, a, p].tolist()}
        assert values == {round(value, 5) for value in distance[a][target != target[a]].tolist()}


@pytest.mark.parametrize("mining", ["random", "hard", "semi_hard"])
@pytest.mark.parametrize("target", [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 1, 2]])
def test_duplicates_and_batches_without_triplets_have_finite_gradients(mining, target):
    raw = torch.ones(4, 8, requires_grad=True)
    found = Triplet(SPEC, mining=mining).losses(Taught(F.normalize(raw, dim=1)), batch_of(torch.tensor(target)))
    found["loss"].backward()
    assert raw.grad.isfinite().all() and all(value.isfinite() for value in found.values())
    if len(set(target)) in (1, 4):
        assert found["loss"] == 0 and found["active"] == 0


def test_none_active_gives_no_loss():
    output = F.normalize(torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]]), dim=1)
    found = Triplet(SPEC).losses(Taught(output), batch_of(torch.tensor([0, 0, 1, 1])))
    assert found["loss"] == 0 and found["active"] == 0 and found["apart"] == 4


def test_the_contrastive_loss_by_hand():
    output = torch.tensor([[1.0, 0], [0.8, 0.6], [0, 1]])
    found = Siamese(SPEC, margin=1.5).losses(Taught(output), batch_of(torch.tensor([0, 0, 1])))
    assert found["same"].item() == pytest.approx(0.4)
    wanted = ((1.5 - 2**0.5) ** 2 + (1.5 - 0.8**0.5) ** 2) / 2
    assert found["different"].item() == pytest.approx(wanted, abs=1e-5)
    assert found["loss"].item() == pytest.approx((0.4 + wanted) / 2, abs=1e-5)
    raw = torch.ones(3, 4, requires_grad=True)
    Siamese(SPEC).losses(Taught(F.normalize(raw, dim=1)), batch_of(torch.arange(3)))["loss"].backward()
    assert raw.grad.isfinite().all()


def test_a_logistic_unit_says_whether_two_are_the_same():
    torch.manual_seed(0)
    model, task = Embedder(in_channels=1, image_size=16, channels=(4,), pair_unit=True), Siamese(SPEC, loss="logistic")
    batch = batch_of(torch.tensor([0, 0, 1, 1]))
    batch.inputs = (torch.rand(4, 1, 16, 16),)
    found = task.losses(task.forward(model.train(), batch), batch)
    found["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    embedding = model.unit(model(*batch.inputs))
    logit = model.unit.bias - manhattan(embedding, embedding)
    same = F.binary_cross_entropy_with_logits(logit[[0, 1, 2, 3], [1, 0, 3, 2]], torch.ones(4))
    assert found["same"].item() == pytest.approx(same.item(), abs=1e-6)
    assert task.metrics()[0].distance is manhattan
    with pytest.raises(ValueError, match=r"set model\.pair_unit=true"):
        task.forward(Embedder(in_channels=1, image_size=16, channels=(4,)), batch)


def test_both_branches_share_one_set_of_weights():
    """A change of the weights by one branch is one of the other: there is but one encoder."""
    torch.manual_seed(0)
    model = Embedder(in_channels=1, image_size=16, channels=(4, 8)).eval()
    one, other = torch.rand(2, 1, 1, 16, 16)
    both = model(torch.cat([one, other]))
    torch.testing.assert_close(torch.cat([model(one), model(other)]), both)
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2))
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == len(set(names)) and not any("branch" in name for name in names)


def test_the_threshold_comes_from_val_and_stays():
    model, task = Embedder(in_channels=1, image_size=16, channels=(4,)), Triplet(SPEC)
    assert task.final_metrics(model)[0].threshold is None
    task.settle(model, {"threshold": 0.7, "roc_auc": 0.9})
    assert task.final_metrics(model)[0].threshold == pytest.approx(0.7)
    other = Embedder(in_channels=1, image_size=16, channels=(4,))
    other.load_state_dict(model.state_dict())
    assert other.threshold.item() == pytest.approx(0.7)


def test_what_is_no_embedding_is_refused():
    batch = batch_of(torch.arange(2))
    Triplet(SPEC).check(F.normalize(torch.ones(2, 4), dim=1), batch)
    for wrong, says in (
        (torch.ones(2, 4), "of length 2"),
        (torch.ones(2, 4, 4), "is a vector"),
        (torch.ones(1, 4), "for each"),
    ):
        with pytest.raises(ValueError, match=says):
            Triplet(SPEC).check(wrong, batch)
