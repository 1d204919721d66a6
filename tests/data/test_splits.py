"""Parts that are split off: what belongs together stays together, and a run finds its samples again."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dlrun.data.boxes.masks import MaskFolder
from dlrun.data.images.imagefolder import ImageFolder
from dlrun.data.splits import group_names, lines_of
from dlrun.engine.contracts import DataSet
from dlrun.engine.kept import Kept
from dlrun.errors import UserError


def divided(lines, kept=None, **options):
    """(The parts of the samples, a line each; what is kept of them)."""
    data = DataSet()
    data.kept = kept
    (text,), pieces = lines_of(data, "mine", ["".join(f"{line}\n" for line in lines).encode()])
    options = {"val_fraction": 0.2, "test_fraction": 0.2, "seed": 1} | options
    used = text.decode().splitlines()
    parts = pieces.divide(None, **options)
    return {part: [used[place] for place in own] for part, own in parts.items()}, data.found


@given(st.lists(st.integers(0, 9), min_size=40, max_size=80), st.integers(0, 1000))
def test_a_group_is_in_one_part_and_every_sample_in_one(members, seed):
    members = [*range(10), *members]
    groups = [f"clip {number}" for number in members]
    parts, _ = divided(range(len(members)), seed=seed, groups=groups)
    seen = {name: list(map(int, own)) for name, own in parts.items()}
    assert sorted(index for own in seen.values() for index in own) == list(range(len(members)))
    of_part = [{groups[index] for index in own} for own in seen.values()]
    assert sum(map(len, of_part)) == 10 and set().union(*of_part) == set(groups)
    assert [len(own) for own in of_part] == [6, 2, 2]


@given(st.data())
def test_samples_keep_their_part_and_their_order_wherever_they_come_to_stand(data):
    lines = data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=10, max_size=30))
    parts, kept = divided(lines)
    new = data.draw(st.lists(st.sampled_from(["a", "new", ""]), max_size=10))
    moved = data.draw(st.permutations(lines + [line for line in new if line not in lines]))
    assert divided(moved, kept)[0] == parts
    assert divided(lines + new, kept)[0] == parts


@pytest.mark.parametrize("num", [1, 4])
def test_of_equal_samples_as_many_are_left_as_there_are(num):
    parts, kept = divided(["a"] * 10 + [f"b{number}" for number in range(10)])
    left, _ = divided(["a"] * (10 - num) + [f"b{number}" for number in range(10)], kept)
    assert sum(map(len, left.values())) == 20 - num
    assert all(set(left[part]) <= set(parts[part]) for part in parts)


def test_changed_missing_and_new_samples_are_counted_in_one_line(capsys):
    lines = [f"row {number}" for number in range(20)]
    parts, kept = divided(lines)
    assert capsys.readouterr().err == ""
    changed = [*lines[:3], "other", *lines[4:-1]]
    changed[0] = "row 1 again"
    left, _ = divided(changed, kept)
    assert left == {part: [line for line in own if line in changed] for part, own in parts.items()}
    divided([*lines, "new", "", "row 1"], kept)
    assert capsys.readouterr().err.splitlines() == [
        "dlrun: note: data=mine: of the run's 20 samples 2 changed and 1 missing (left out), 0 new (in no part)",
        "dlrun: note: data=mine: of the run's 20 samples 0 changed and 0 missing (left out), 2 new (in no part)",
    ]


def test_other_data_are_refused_in_one_line():
    lines = [f"row {number}" for number in range(20)]
    parts, kept = divided(lines)
    reason = (
        r"data=mine: samples of the run are gone or changed \((12 of 12 in train, 4 of 4 in val, )?%d of 4 in test\)"
    )
    with pytest.raises(UserError, match=reason % 4):
        divided([f"other {number}" for number in range(20)], kept)
    with pytest.raises(UserError, match=reason % 3):
        divided([line for line in lines if line not in parts["test"][1:]], kept)
    divided([line for line in lines if line not in parts["test"][2:]], kept)


@pytest.mark.parametrize(
    "change", [{"digests": torch.zeros(3)}, {"parts": torch.full((2,), 7, dtype=torch.uint8)}, {"more": 1}]
)
def test_a_record_that_is_none_is_refused(change):
    numbers = torch.zeros(2, dtype=torch.int64)
    good = {"digests": numbers, "names": numbers, "parts": torch.zeros(2, dtype=torch.uint8)}
    assert len(Kept.from_tree(good).fingerprint) == 16
    with pytest.raises(ValueError):
        Kept.from_tree(good | change)


def test_names_up_to_the_last_place_of_a_text():
    paths = ["a/clip_3_0001.jpg", "clip_3_0002.jpg", "b/clip_4_0001.png", "single.jpg"]
    assert group_names(paths, "_") == ["clip_3", "clip_3", "clip_4", "single"]
    assert group_names(paths, None) is None
    with pytest.raises(UserError, match=r"data\.group_by: by '_' all 2 images are of one group, 'clip_3'"):
        group_names(paths[:2], "_")


def test_frames_of_a_film_do_not_meet_across_parts(tmp_path):
    for clip in range(10):
        for frame in range(3):
            for folder in (f"classes/{'ab'[clip % 2]}", "masked/images", "masked/masks"):
                (tmp_path / folder).mkdir(parents=True, exist_ok=True)
                mode, colour = ("L", 255 * (frame % 2)) if folder.endswith("masks") else ("RGB", (clip, frame, 0))
                Image.new(mode, (4, 4), colour).save(tmp_path / folder / f"clip{clip}_{frame}.png")
    by_class = ImageFolder(root=str(tmp_path / "classes"), group_by="_", val_fraction=0.2, test_fraction=0.2).load()
    clips = [{path.split("clip")[-1][0] for path in part.paths} for part in by_class.values()]
    assert [len(own) for own in clips] == [6, 2, 2] and len(set().union(*clips)) == 10
    masked = MaskFolder(root=str(tmp_path / "masked"), group_by="_", val_fraction=0.2, test_fraction=0.2).load()
    clips = [set(part.inputs[0][:, 0, 0, 0].tolist()) for part in masked.values()]
    assert [len(own) for own in clips] == [6, 2, 2] and len(set().union(*clips)) == 10
