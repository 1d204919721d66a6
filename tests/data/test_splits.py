"""Parts that are split off: what belongs together stays together."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dlrun.data.boxes.masks import MaskFolder
from dlrun.data.images.imagefolder import ImageFolder
from dlrun.data.splits import completed, group_names
from dlrun.engine.parts import TensorPart
from dlrun.errors import UserError


@given(st.lists(st.integers(0, 9), min_size=40, max_size=80), st.integers(0, 1000))
def test_a_group_is_in_one_part_and_every_sample_in_one(members, seed):
    members = [*range(10), *members]
    part = TensorPart((torch.arange(len(members)),), torch.zeros(len(members)))
    groups = [f"clip {number}" for number in members]
    parts = completed({"train": part}, val_fraction=0.2, test_fraction=0.2, seed=seed, groups=groups)
    seen = {name: own.inputs[0].tolist() for name, own in parts.items()}
    assert sorted(index for own in seen.values() for index in own) == list(range(len(members)))
    of_part = [{groups[index] for index in own} for own in seen.values()]
    assert sum(map(len, of_part)) == 10 and set().union(*of_part) == set(groups)
    assert [len(own) for own in of_part] == [6, 2, 2]


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
