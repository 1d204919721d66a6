"""The words of a run that takes a fraction of a second."""

TINY = [
    "data=synthetic",
    "data.num_train=96",
    "data.num_val=32",
    "data.num_test=32",
    "model=mlp",
    "model.hidden_sizes=[16]",
    "trainer.epochs=3",
]
