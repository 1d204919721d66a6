"""From words and files to one tree, as Hydra would build it; files of the user's own; the jobs of a sweep."""

import pathlib
import string
import subprocess
import sys

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from plugged_in import plugged_in

from dlrun.config import catalogue, check, compose, yaml_file
from dlrun.errors import UserError


def write(folder, files):
    """Writes `files` below `folder`; the flag's value."""
    for name, content in files.items():
        path = pathlib.Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)
    return [str(folder)]


# ---- the same as Hydra


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["model=mlp", "model.hidden_sizes=[1,2]", "model.dropout=0.5"],
        ["trainer=smoke", "trainer.epochs=3", "trainer.epochs=4", "seed=7"],
        ["optimizer=sgd", "optimizer.lr=1e-3", "optimizer.momentum=${optimizer.lr}"],
        ["trainer={epochs:3,patience:2}", "folder='a b'", "outputs=x/y", "model.channels.0=3"],
        ["experiment=synthetic", "model=resnet", "data.image_size=[3,4]"],
    ],
    ids=" ".join,
)
def test_the_tree_is_the_one_that_hydra_composes(words):
    with initialize_config_dir(str(catalogue.conf_folder()), **compose.VERSION_BASE):
        expected = OmegaConf.to_container(hydra_compose("config", words), resolve=True)
    assert compose.tree(words, []) == expected


def test_one_composer_gives_each_job_a_tree_of_its_own():
    composer = compose.Composer([])
    assert composer.tree(["seed=1", "model.channels.0=5"])["model"]["channels"] == [5, 20]
    assert composer.tree(["seed=2"])["model"]["channels"] == [10, 20]
    assert composer.tree(["model=mlp"]) == compose.tree(["model=mlp"], [])


def test_the_later_word_wins():
    assert compose.tree(["model=mlp", "model=cnn", "seed=1", "+seed=2", "++seed=3"], [])["seed"] == 3
    assert compose.tree(["model=mlp", "model=cnn"], [])["model"]["name"] == "cnn"
    assert compose.tree(["experiment=synthetic", "experiment=null"], []) == compose.tree([], [])


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("outputs='a b, c=d'", "a b, c=d"),
        ('outputs="Bücher"', "Bücher"),
        ("outputs=a/b-c.d", "a/b-c.d"),
        ("outputs=1e-3", 0.001),
        ("outputs=null", None),
        ("outputs=no", "no"),
    ],
)
def test_a_value_is_read_as_hydra_reads_it(word, value):
    assert compose.tree([word], [])["outputs"] == value


@given(st.text(string.printable + "äöü中文"))
def test_a_hint_about_quotes_is_a_word_that_works(value):
    try:
        compose.parse([f"outputs={value}"])
    except UserError as error:
        _, found, hint = str(error).rpartition("needs quotes inside quotes: ")
        if found and "\\" not in value and "'" not in value:
            word = hint.strip("'")
            assert compose.parse([word])[0].value() == value


# ---- a folder of the user's own


def test_options_and_groups_of_a_folder_stand_beside_the_package_s(tmp_path):
    folder = write(tmp_path / "my conf", {
        "model/wide.yaml": "defaults:\n  - resnet\n  - _self_\nchannels: [64, 128]\n",
        "experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /model: wide\nseed: 5\n",
    })  # fmt: skip
    tree = compose.tree(["experiment=mine", "trainer.epochs=2"], folder)
    assert tree["seed"] == 5
    assert tree["model"]["name"] == "resnet"
    assert check.parse(tree).model["channels"] == (64, 128)
    assert "wide" in compose.groups(folder)["model"]
    assert "wide" not in compose.groups([])["model"]


def test_a_folder_with_quotes_and_commas_in_its_name(tmp_path):
    folder = write(tmp_path / 'it\'s "a", [b] \\', {"trainer/mine.yaml": "defaults: [default, _self_]\nepochs: 7\n"})
    assert compose.tree(["trainer=mine"], folder)["trainer"]["epochs"] == 7


BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
BROKEN = {
    "broken": ("a: [1, 2\nb: 3\n", "line "),
    "tab": ("a:\n\tb: 1\n", "line 2: found character"),
    "twice": ("seed: 1\nseed: 2\n", "line 2: found duplicate key seed"),
    "python": ("x: !!python/object/apply:os.system [echo]\n", "line 1: could not determine a constructor"),
    "latin": ("name: Bücher\n".encode("latin-1"), "byte 7 is not UTF-8; save the file as UTF-8"),
    "binary": (b"\x00\x01\x02", "not allowed"),
    "bomb": (BOMB, "stands for more than 2000 values"),
    "merges": (MERGES, "stands for more than 2000 values"),
    "loop": ("a: &a [*a]\n", "stands for more than 2000 values"),
    "list": ("- seed: 1\n", "holds no `key: value` lines"),
    "words": ("just words\n", "holds no `key: value` lines"),
    "deep": ("a: " + "[" * 900 + "]" * 900, "nest"),
    "deeper": ("a: " + "[" * 5000 + "]" * 5000, "nest"),
    "large": ("# " + "x" * 1_000_000, "is larger than 1 MB"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_config_is_named(tmp_path, name):
    content, reason = BROKEN[name]
    folder = write(tmp_path, {f"model/{name}.yaml": content})
    with pytest.raises(UserError) as caught:
        compose.tree([f"model={name}"], folder)
    assert str(caught.value).startswith(f"{tmp_path}/model/{name}.yaml: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "model.name: must be one of "),
        ("name: mlp\n_target_: os.system\n", "model._target_: a config names registered things"),
        ("name: mlp\nhidden_sizes: [{_target_: os.system}]\n", "model.hidden_sizes[0]._target_: a config names"),
        ("name: mlp\nhiden_sizes: [1]\n", "model.hiden_sizes: unknown key; did you mean hidden_sizes?"),
        ("name: nothing\n", "model.name: unknown model 'nothing'"),
        ("name: ${seed}\n", "model.name: must be one of "),
        ("name: ${model.name}\n", "config: model.name: Recursive interpolation detected"),
        ("name: ???\n", "config: model.name: Missing mandatory value"),
        ("defaults: [nowhere]\nname: mlp\n", "config:"),
        ("defaults: [mine]\nname: mlp\n", "config:"),
    ],
)
def test_a_file_with_a_mistake_is_one_line(tmp_path, content, line):
    folder = write(tmp_path, {"model/mine.yaml": content})
    with pytest.raises(UserError) as caught:
        check.parse(compose.tree(["model=mine"], folder))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_file_that_would_hide_behind_the_package_s_is_refused(tmp_path):
    folder = write(tmp_path, {"trainer/default.yaml": "epochs: 3\n"})
    with pytest.raises(
        UserError, match=r"trainer/default.yaml: dlrun has a trainer=default of its own; rename this file"
    ):
        compose.tree([], folder)


def test_files_of_a_reasonable_size_may_use_aliases(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &a [1, 2, 3]\nb: [*a, *a]\n")
    yaml_file.check(path)


# ---- a plug-in without a file


def test_another_option_than_the_recipe_s_leaves_out_what_it_does_not_have(capsys):
    config = compose.tree(["experiment=yolo", "augment=mosaic"], [])
    assert config["augment"] == {"name": "mosaic", "mirror": 0.5, "scale": 0.5, "probability": 1.0}
    assert capsys.readouterr().err == (
        "dlrun: note: experiment=yolo sets augment.padding, augment.rotation, augment.shear, augment.warp, "
        "augment.border, which augment=mosaic does not have: left out\n"
    )
    assert compose.tree(["experiment=yolo", "augment=none"], [])["augment"] == {"name": "none"}
    capsys.readouterr()
    assert compose.tree(["experiment=yolo", "optimizer=sgd"], [])["optimizer"]["lr"] == 0.003
    assert compose.tree(["experiment=yolo", "augment=geometric"], [])["augment"]["padding"] == 4
    assert capsys.readouterr().err == ""
    # A key that is given on the command line is a mistake as before.
    assert "padding" in compose.tree(["experiment=yolo", "augment=mosaic", "augment.padding=3"], [])["augment"]


def test_a_plug_in_is_an_option_with_the_keys_of_its_signature(tmp_path):
    with plugged_in(tmp_path / "plug_in.py"):
        tree = compose.tree(["model=mine", "model.width=64", "data=table"], [])
        assert tree["model"]["width"] == 64
        assert tree["model"]["in_features"] is None
        assert check.parse(tree).data["num_train"] == 32
        with pytest.raises(UserError, match=r"model.widht: unknown key; did you mean width\?"):
            check.parse(compose.tree(["model=mine", "model.widht=64"], []))
        assert "mine" in compose.groups([])["model"]


def test_a_file_for_a_plug_in_goes_before_its_signature(tmp_path):
    folder = write(tmp_path / "conf", {"model/mine.yaml": "name: mine\nwidth: 3\n", "model/slim.yaml": "name: mine\n"})
    with plugged_in(tmp_path / "plug_in.py"):
        assert check.parse(compose.tree(["model=mine"], folder)).model["width"] == 3
        assert check.parse(compose.tree(["model=slim"], folder)).model["width"] == 8


# ---- the jobs of a sweep


def test_an_option_may_be_named_together_with_its_keys():
    word = "model={name:gin,readout:max}"
    assert compose.tree([word], []) == compose.tree(["model=gin", "model.readout=max"], [])
    assert compose.tree(["model={name:sagpool}", "model.ratio=0.5"], [])["model"]["ratio"] == 0.5
    assert compose.expand([f"{word},{{name:sagpool}}"], []) == [[word], ["model={name:sagpool}"]]
    with pytest.raises(UserError, match=r"model: no option 'gni'; did you mean gin\?"):
        compose.tree(["model={name:gni}"], [])


def test_jobs_are_all_combinations_the_last_key_turning_fastest():
    jobs = compose.expand(["model=mlp,cnn", "trainer.epochs=3", "seed=range(0,2)"], [])
    assert jobs == [
        [f"model={model}", "trainer.epochs=3", f"seed={seed}"] for model in ("mlp", "cnn") for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("optimizer.lr=choice(0.1,0.01)", ["0.1", "0.01"]),
        ("outputs='a,b','c d'", ["'a,b'", "'c d'"]),
        ("model.channels=[1,2],[3,4]", ["[1,2]", "[3,4]"]),
        ("device=glob(c*)", ["cpu", "cuda"]),
        ("trainer.patience=null,3", ["null", "3"]),
        ("model=cnn", ["cnn"]),
    ],
)
def test_the_values_of_one_key(word, values):
    key = word.split("=")[0]
    assert compose.expand([word], []) == [[f"{key}={value}"] for value in values]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["optimizer.lr=interval(0.1,1)"], "optimizer.lr=interval(0.1,1): has no end of values; list them"),
        (["seed=range(0,1000000000)"], "sweep: these are more than 10000 jobs"),
        (["seed=range(0,9999)", "trainer.epochs=1,2"], "sweep: these are more than 10000 jobs"),
        (["model=glob(x*)"], "model=glob(x*): stands for no value at all"),
        (["seed=glob(*)"], "seed=glob(*): stands for no value at all"),
        (["seed=range(3,0)"], "seed=range(3,0): stands for no value at all"),
        (["seed="], ""),
    ],
)
def test_values_that_cannot_be_listed_are_refused(words, line):
    if not line:
        assert compose.expand(words, []) == [words]
        return
    with pytest.raises(UserError) as caught:
        compose.expand(words, [])
    assert str(caught.value).startswith(line)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.sampled_from(["seed=0,1", "model=mlp,cnn,resnet", "trainer.epochs=1", "optimizer.lr=0.1,0.2"]), unique=True
    )
)
def test_as_many_jobs_as_the_product_of_the_lists(words):
    jobs = compose.expand(words, [])
    expected = 1
    for word in words:
        expected *= word.count(",") + 1
    assert len(jobs) == expected
    assert len({tuple(job) for job in jobs}) == expected


def test_composing_imports_no_torch(tmp_path):
    code = "import sys; from dlrun.config import compose; compose.tree([], []); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
