"""Whoever is in which part: nobody is in two."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.data.faces.people import People, identity_spec
from dlrun.errors import UserError


def images_of(counts, prefix="p"):
    """For each count a person with so many images, each with a name of its own."""
    return {f"{prefix}{k}": [f"{prefix}{k}/{n}" for n in range(count)] for k, count in enumerate(counts)}


def split(counts, val_fraction=0.2, test_fraction=0.25, seed=0, **more):
    images = {"train": images_of(counts)}
    return People("faces", images, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed, **more)


COUNTS = st.lists(st.integers(1, 5), min_size=0, max_size=30)
FRACTIONS = st.sampled_from([0.0, 0.05, 0.2, 0.3, 0.49])


@settings(max_examples=200, deadline=None)
@given(counts=COUNTS, val=FRACTIONS, test=FRACTIONS, seed=st.integers(0, 2**63 - 1), least=st.integers(1, 3))
def test_nobody_is_in_two_parts(counts, val, test, seed, least):
    try:
        people = split(counts, val, test, seed, min_images=least)
    except UserError as error:
        several = sum(count >= max(2, least) for count in counts)
        wanted = [max(2, round(fraction * several)) for fraction in (val, test) if fraction > 0]
        assert several - sum(wanted) < 2 and "\n" not in str(error)
        return
    assert list(people.parts) == [
        "train", *(["val"] if val else []), *(["test"] if test else [])
    ]  # fmt: skip
    everybody = [name for own in people.parts.values() for name in own]
    assert len(set(everybody)) == len(everybody) and sorted(everybody) == sorted(people.names)
    assert all(len(own) >= 2 for own in people.parts.values())
    counted = {f"p{k}": count for k, count in enumerate(counts)}
    for part, own in people.parts.items():
        assert part == "test" or all(counted[name] > 1 for name in own)
        items, identities = people.part(part)
        assert [item.split("/")[0] for item in items] == [people.names[number] for number in identities.tolist()]
        assert sorted(items) == sorted(f"{name}/{n}" for name in own for n in range(counted[name]))
    left_out = counted.keys() - set(everybody)
    assert all(counted[name] < least or (counted[name] == 1 and not test) for name in left_out)


def test_the_test_part_depends_on_its_own_fraction_and_the_seed_alone():
    parts = split([3] * 40).parts
    assert {name: len(own) for name, own in parts.items()} == {"train": 22, "val": 8, "test": 10}
    assert split([3] * 40, val_fraction=0.4).parts["test"] == parts["test"]
    assert split([3] * 40).parts == parts != split([3] * 40, seed=1).parts


def test_people_with_one_image_are_tested_on_and_named(capsys):
    counts = [2] * 8 + [1] * 5
    people = split(counts)
    assert set(people.parts["test"]) >= {f"p{k}" for k in range(8, 13)} and len(people.parts["test"]) == 2 + 5
    assert capsys.readouterr().err == ""
    people.tell()
    assert capsys.readouterr().err == (
        "dlrun: note: data=faces: 5 people (p8, p9, p10 and 2 more) with a single image, of which no pair can be made, "
        "all in test\n"
    )
    people = split(counts, test_fraction=0.0)
    people.tell()
    assert "of which no pair can be made, left out" in capsys.readouterr().err
    assert people.names == tuple(f"p{k}" for k in range(8))
    people = split(counts, min_images=2)
    people.tell()
    assert capsys.readouterr().err == (
        "dlrun: note: data=faces: 5 people (p8, p9, p10 and 2 more) with fewer than data.min_images=2 images left out\n"
    )
    assert len(people.parts["test"]) == 2


def test_parts_that_are_there_are_kept(capsys):
    images = {"train": images_of([2, 1, 2, 2, 2]), "test": images_of([1, 1, 4], "t")}
    people = People("faces", images, val_fraction=0.3, test_fraction=0.9, seed=0)
    assert people.parts["test"] == ["t0", "t1", "t2"] and len(people.parts["val"]) == 2
    people.tell()
    assert "1 person (p1) with a single image, of which no pair can be made, left out" in capsys.readouterr().err
    assert people.names == ("p0", "p2", "p3", "p4", "t0", "t1", "t2")


REFUSED = {
    "nobody": ([], {}, "0 people with two or more images are too few for train, val, test, which need at least 2 each"),
    "two": ([3, 3], {}, r"2 people \(p0, p1\) with two or more images are too few for train, val, test"),
    "one": ([3], {"val_fraction": 0, "test_fraction": 0}, r"1 person \(p0\) with two or more images are too few for t"),
    "single images": ([1] * 20, {}, "0 people with two or more images"),
    "too few images": ([3] * 20, {"min_images": 4}, "0 people with two or more images"),
    "too much": ([3] * 20, {"val_fraction": 0.5, "test_fraction": 0.5}, "0.5 and data.test_fraction 0.5 leave nobody"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_too_few_people_are_refused(name):
    counts, keys, says = REFUSED[name]
    with pytest.raises(UserError, match=f"^data=faces: .*{says}") as caught:
        split(counts, **keys)
    assert "\n" not in str(caught.value)


def test_two_people_are_enough_to_train_on():
    assert split([3, 3], val_fraction=0, test_fraction=0).names == ("p0", "p1")


def test_a_person_in_two_parts_is_refused():
    images = {"train": images_of([2, 2, 2]), "val": images_of([2]), "test": images_of([2, 2], "t")}
    with pytest.raises(UserError, match=r"^data=faces: p0 is in train and val; nobody may be in two parts"):
        People("faces", images, val_fraction=0.1, test_fraction=0.1, seed=0)
    images["val"] = images_of([2], "v")
    with pytest.raises(UserError, match=r"1 person \(v0\) in val; at least 2 are needed"):
        People("faces", images, val_fraction=0.1, test_fraction=0.1, seed=0)


def test_what_is_offered():
    spec = identity_spec(["ann", "bob"], in_channels=1, image_size=(4, 6), mean=(0.5,), std=(0.2,))
    assert (spec.kind, spec.target, spec.out_features, spec.class_names) == ("image", "identity", 2, ("ann", "bob"))
    assert (spec.in_channels, spec.image_size, spec.mean, spec.std) == (1, (4, 6), (0.5,), (0.2,))
