"""`model=fitting` and `data=fitting` stand for what can be trained together."""

import pytest

from dlrun.config import compose
from dlrun.errors import UserError
from dlrun.sweep import fitting


def names(word):
    return set(word.partition("=")[2].split(","))


def test_without_the_word_nothing_is_changed():
    assert fitting.listed(["model=mlp", "seed=0,1"], []) == (["model=mlp", "seed=0,1"], False)


def test_a_model_that_fits_learns_the_target_from_such_data():
    (models, seed, data), is_fitting = fitting.listed(["seed=0,1", "model=fitting", "data=digits"], [])
    assert is_fitting and (seed, data) == ("seed=0,1", "data=digits")
    found = names(models)
    assert {"cnn", "mlp", "resnet", "gru", "transformer", "mamba"} <= found
    assert not found & {"gcn", "yolo", "unet", "canvas", "siamese", "embedder"}


def test_data_that_fit_are_here():
    (data, model), _ = fitting.listed(["data=fitting", "model=gcn"], [])
    assert model == "model=gcn" and {"karate", "toy4"} <= names(data)
    assert not names(data) & {"cora", "digits", "edges"}


def test_of_several_data_sets_each_gets_the_models_that_fit_it():
    words, _ = fitting.listed(["model=fitting", "data=iris,hours"], [])
    jobs = fitting.only(compose.expand(words, []), [])
    assert ["model=mlp", "data=iris"] in jobs and ["model=mlp", "data=hours"] in jobs
    assert ["model=logistic", "data=hours"] in jobs and ["model=logistic", "data=iris"] not in jobs


def test_what_cannot_be_built_is_left_out_and_named(capsys):
    jobs = [[f"model={name}", "data=hours"] for name in ("mlp", "cnn", "logistic")]
    assert fitting.only(jobs, []) == [jobs[0], jobs[2]]
    assert capsys.readouterr().err == "dlrun: note: left out, as they do not fit: model=cnn data=hours\n"
    with pytest.raises(UserError, match="fitting: none can be built; model=cnn data=hours: "):
        fitting.only(jobs[1:2], [])


def test_a_search_is_of_one_model(refused):
    line = refused("-m", "model=fitting", "data=iris", "sweeper=optuna", "optimizer.lr=interval(0.1,1)")
    assert line.startswith("fitting: is for a grid")
