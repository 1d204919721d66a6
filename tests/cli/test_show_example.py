"""`dlrun show example=`: the steps in print, the picture beside other pictures, one line for what is wrong."""

import pytest

from dlrun.cli import main
from dlrun.examples import EXAMPLES


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shown(capsys, *words):
    assert main.main(["show", *words]) == 0
    return capsys.readouterr().out


def test_steps_formulas_tables_and_the_picture(capsys, tmp_path):
    lines = shown(capsys, "example=padding").splitlines()
    assert lines[0] == "example padding (notes, 9 convolution)"
    assert "         91  168  224  215  127" in lines
    assert "    floor((n + 2 p - f) / s) + 1:  floor((5 + 2 * 1 - 3) / 1) + 1 = 5" in lines
    assert "picture outputs/example-padding.png" in lines
    assert lines[-1] == "again   dlrun show example=padding"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "outputs/example-padding.png"]
    assert (tmp_path / "outputs/example-padding.png").read_bytes().startswith(b"\x89PNG")


def test_keys_are_changed_and_printed_with_what_they_mean(capsys, tmp_path):
    out = shown(
        capsys, "stride=2", "example=conv", "image=[[1,2,3],[4,5,6],[7,8,9]]", "outputs=my pictures", "padding=1"
    )
    assert "padding=1" in out and "p, rows and columns of zeros around the image" in out
    assert "stride=2" in out
    assert "picture my pictures/example-conv.png" in out
    assert out.endswith(
        "again   dlrun show stride=2 example=conv 'image=[[1,2,3],[4,5,6],[7,8,9]]' 'outputs=my pictures' padding=1\n"
    )


@pytest.mark.parametrize("name", EXAMPLES.names())
def test_every_example_is_read_at_a_glance(capsys, name):
    out = shown(capsys, f"example={name}")
    assert max(map(len, out.splitlines())) <= 150
    assert len(out.splitlines()) < 150
    assert " nan" not in out and "tensor(" not in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["example=cnov"], "unknown example 'cnov'; did you mean conv?"),
        (["example="], "unknown example ''"),
        (
            ["example=conv", "stirde=2"],
            "stirde: unknown key; did you mean stride? (keys of example=conv: padding, stride,",
        ),
        (["example=conv", "stride=0"], "stride: must be an integer of at least 1 and at most 12, found 0"),
        (["example=conv", "stride=two"], "stride: must be an integer"),
        (["example=conv", "stride=1,2"], "lists several values"),
        (["example=conv", "~stride"], "needs each of its keys"),
        (["example=conv", "kernel=sobel"], "did you mean sobel_y?"),
        (["example=conv", "image=[[1,2],[3]]"], "image: must be rows of the same length"),
        (["example=conv", "image=[[1,2],[3,4]]"], "does not fit into an image of 2 x 2"),
        (["example=conv", "outputs=[]"], "outputs: must name a folder"),
        (["example=broadcasting", "first=[2]", "second=[3]"], "2 and 3, which are not equal"),
        (["example=optimizers_path", "optimizers=[sgdd]"], "did you mean sgd?"),
        (["example=activations", "names=[sigmod]"], "did you mean sigmoid?"),
        (["example=message_passing", "edges=[[0,9]]"], "node 9 is not there; x has nodes 0 to 3"),
        (["example=nms", "boxes=[[5,5,1,1]]", "scores=[0.5]"], "x1 below x2"),
        (["example=transposed_conv", "output_padding=2"], "below the stride"),
        (["example=attention", "num_heads=3"], "must be a multiple of num_heads, found 4 and 3"),
        (["example=cross_entropy", "target=[0,1,2,3]"], "classes from 0 to 2"),
    ],
)
def test_what_is_wrong_is_one_line(refused, words, says):
    assert says in refused("show", *words)


def test_an_outputs_folder_that_cannot_be_written_is_one_line(refused, tmp_path):
    (tmp_path / "outputs").write_text("")
    assert "is not a folder" in refused("show", "example=iou")


def test_two_mistakes_are_two_lines(capsys):
    assert main.main(["show", "example=conv", "stride=0", "paddin=1"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("words", [["list", "examples"], ["show", "example"]])
def test_examples_are_listed_by_chapter(capsys, words):
    assert main.main(words) == 0
    out = capsys.readouterr().out
    assert out.index("3 backpropagation") < out.index("9 convolution") < out.index("GNN 3") < out.index("U-Net")
    assert all(f"\n{name} " in out for name in EXAMPLES.names())


@pytest.mark.parametrize(
    ("line", "offers", "not_offered"),
    [
        ("dlrun show ", {"example=conv", "example=lstm_cell", "model="}, {"stride="}),
        ("dlrun show example=st", {"example=stride"}, {"example=conv"}),
        ("dlrun show example=conv st", {"stride="}, {"example=stride", "padding="}),
        ("dlrun show example=conv ", {"stride=", "padding=", "image="}, {"example=stride"}),
        ("dlrun example=", set(), {"example=conv"}),
    ],
)
def test_tab_completes_examples_and_their_keys(cli, line, offers, not_offered):
    done = cli("-sc", "query=bash", env={"COMP_LINE": line, "COMP_POINT": str(len(line))}, check=0)
    found = set(done.stdout.split())
    assert offers <= found and not found & not_offered
