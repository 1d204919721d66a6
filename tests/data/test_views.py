import re
import subprocess
import sys
import types

import pytest
import torch

from dlrun.config import pairing
from dlrun.config.spec import DataSpec
from dlrun.data.views import VIEWS, _Normalize, as_kind, preparation
from dlrun.errors import UserError

SPEC = DataSpec(
    kind="image", target="class", in_channels=3, image_size=(4, 5), out_features=10,
    class_names=tuple("0123456789"), mean=(0.1, 0.5, 0.9), std=(0.3, 0.2, 0.5),
)  # fmt: skip


def images(count: int = 7) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def expected(raw: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (SPEC.mean, SPEC.std))
    return (raw.double() / 255 - mean) / std


def test_an_image_model_sees_images_as_they_are():
    assert as_kind(SPEC, ("features", "image")) == (SPEC, None)


def test_a_feature_model_sees_flat_images():
    seen, view = as_kind(SPEC, ("features",))
    assert (seen.kind, seen.in_features, seen.in_channels, seen.image_size) == ("features", 60, None, None)
    assert (seen.target, seen.out_features, seen.class_names) == ("class", 10, SPEC.class_names)
    assert view is not None and view.spec is seen
    (flat,) = preparation(SPEC, view)((images(),))
    assert flat.shape == (7, seen.in_features)
    assert torch.allclose(flat.double(), expected(images()).flatten(1), atol=1e-6)


def test_prepare_scales_and_normalizes_each_channel():
    raw = images()
    ready = preparation(SPEC)
    for _ in range(2):
        (batch,) = ready((raw,))
        assert batch.dtype == torch.float32
        assert torch.allclose(batch.double(), expected(raw), atol=1e-6)
    assert torch.equal(raw, images())


def test_prepare_without_statistics_only_scales():
    (batch,) = preparation(DataSpec(kind="image", target="class"))((images(),))
    assert torch.allclose(batch, images() / 255)


def test_the_constants_follow_the_device_of_the_batch():
    normalize = _Normalize(SPEC.mean, SPEC.std)
    assert normalize(images().to("meta"))[0].device.type == "meta"
    assert normalize.scale.device.type == normalize.shift.device.type == "meta"


def test_prepare_leaves_other_kinds_alone():
    nodes = torch.arange(6).view(2, 3)
    assert preparation(DataSpec(kind="graph", target="node_class"))((nodes,))[0] is nodes


def test_tokens_are_cut_to_the_longest_unless_every_step_has_a_target():
    tokens, lengths = torch.arange(8, dtype=torch.uint8).view(2, 4), torch.tensor([3, 1])
    cut, same = preparation(DataSpec(kind="tokens", target="class"))((tokens, lengths))
    assert cut.dtype == torch.int64 and cut.tolist() == [[0, 1, 2], [4, 5, 6]] and same is lengths
    whole, _ = preparation(DataSpec(kind="tokens", target="step_class", per_step=True))((tokens, lengths))
    assert whole.tolist() == tokens.tolist()
    (alone,) = preparation(DataSpec(kind="tokens", target="class"))((tokens,))
    assert alone.shape == (2, 4)


@pytest.mark.parametrize(("series", "shape"), [("rows", (4, 15)), ("pixels", (20, 3))])
def test_a_sequence_model_reads_an_image_by_rows_or_pixels(series, shape):
    options = types.SimpleNamespace(series=series, permute_seed=None)
    seen, view = as_kind(SPEC, ("tokens", "series"), options=options)
    assert (seen.kind, seen.seq_len, seen.in_features, seen.in_channels) == ("series", *shape, None)
    (read,) = preparation(SPEC, view)((images(),))
    assert read.shape == (7, *shape)
    pixels = expected(images())  # (7, 3, 4, 5)
    step = pixels[:, :, 2].flatten(1) if series == "rows" else pixels[:, :, 2, 0]
    assert torch.allclose(read[:, 2 if series == "rows" else 10].double(), step, atol=1e-6)
    options.permute_seed = 7
    (mixed,) = preparation(SPEC, as_kind(SPEC, ("series",), options=options)[1])((images(),))
    assert not torch.equal(mixed, read)
    assert torch.equal(mixed.sort(dim=1).values, read.sort(dim=1).values)
    assert torch.equal(mixed, preparation(SPEC, as_kind(SPEC, ("series",), options=options)[1])((images(),))[0])


def test_no_view_is_one_line_that_says_what_would_fit():
    assert not pairing.fits("graph", ("image", "features"))
    with pytest.raises(UserError) as caught:
        pairing.check_input("cnn", "karate", "graph")
    assert re.fullmatch(
        r"model=cnn data=karate: model and data do not fit: the model takes image, the data are graph; "
        r"data sets that fit: cifar10, (\w+, )+digits, (\w+, )*\w+ and \d+ more",
        str(caught.value),
    )
    pairing.check_input("mlp", "digits", "image")


def test_fits_agrees_with_as_kind():
    assert {(kind, seen) for kind, views in pairing.SEEN_AS.items() for seen in views} == set(VIEWS)
    for kind in ("image", "features", "graph"):
        for accepts in (("image",), ("features",), ("series",), ("graph", "features")):
            spec = DataSpec(kind=kind, target="class", in_channels=1, image_size=(2, 2))
            if pairing.fits(kind, accepts):
                assert as_kind(spec, accepts)[0].kind in accepts
            else:
                with pytest.raises(StopIteration):
                    as_kind(spec, accepts)


def test_fitting_is_known_without_torch():
    code = "import sys; from dlrun.config import pairing; pairing.check_input('mlp', 'digits', 'image'); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
