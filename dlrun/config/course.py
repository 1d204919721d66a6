"""The chapters of the course in their order, and the recipes that belong to each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chapter:
    """A chapter of the course.

    **Fields:** `title`; `recipes`: names of experiments, the one to begin with first; `commands`: others that show it.
    """

    title: str
    recipes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


CHAPTERS = (
    Chapter("1 linear models", ("weight_search",)),
    Chapter("2 gradient descent", ("gradient_descent",)),
    Chapter("3 backpropagation", ("gradient_descent",)),
    Chapter(
        "4 linear regression",
        ("linear_regression",),
        ("dlrun -m experiment=linear_regression optimizer=sgd,adam,adamax,adagrad,adadelta,asgd,rmsprop,rprop",),
    ),
    Chapter("5 logistic regression", ("logistic_regression",)),
    Chapter("6 hidden layers", ("diabetes_classifier",)),
    Chapter("7 data sets", ("diabetes_regression",), ("dlrun model=mlp data=csv data.path=FILE data.target=COLUMN",)),
    Chapter("8 classes", ("softmax_mnist", "one_vs_rest", "synthetic")),
    Chapter("9 convolution", ("cnn_mnist",), ("dlrun show model=cnn data=digits",)),
    Chapter("10 Inception and residual networks", ("googlenet_mnist", "resnet_mnist")),
    Chapter("11 recurrent networks", ("rnncell_hello", "rnn_hello", "embedding_hello")),
    Chapter("GRU", ("gru_names", "rnn_names", "gru_adding")),
    Chapter("LSTM", ("lstm_names",)),
    Chapter("TCN", ("tcn_adding", "tcn_copy_memory", "sequence_mnist")),
    Chapter("Transformer", ("transformer_names",)),
    Chapter("Mamba-1", ("mamba", "char_lm")),
    Chapter("Mamba-2", ("mamba2", "sequence_models")),
    Chapter(
        "GNN 1 kinds of graph networks",
        (
            *("chebnet_cora", "graphsage_cora", "gat_cora", "mpnn_motifs", "gnn_recurrent_cora", "ggnn_cora"),
            *("jknet_cora", "deepgcn_cora", "samplers", "pooling", "set2set_motifs", "diffpool_motifs"),
            *("sagpool_motifs", "gin_motifs"),
        ),
    ),
    Chapter("GNN 2 pictures of graphs", (), ("dlrun show data=karate", "dlrun show data=toy4")),
    Chapter("GNN 3 message passing", ("message_passing",)),
    Chapter("GNN 4 graph convolution", ("gcn_karate", "gcn_cora")),
    Chapter("filters and edges", ("edge_detection",)),
    Chapter("MobileNet", ("mobilenet", "mobilenet_mnist")),
    Chapter("EfficientNet", ("efficientnet",)),
    Chapter("transfer", ("transfer_source", "transfer")),
    Chapter("augmentation", ("augmentation",), ("dlrun show augment=cutmix data=digits",)),
    Chapter("YOLO", ("localization", "keypoints", "sliding_window", "yolo_grid", "yolo", "blood_cells")),
    Chapter("R-CNN", ("rcnn", "fast_rcnn", "faster_rcnn", "mask_rcnn")),
    Chapter("U-Net", ("unet", "unet_membrane")),
    Chapter("faces", ("siamese", "triplet", "margin_zero", "unseen_digits")),
    Chapter("style transfer", ("style_transfer",)),
)

TITLES = [chapter.title for chapter in CHAPTERS]


def place_of(recipe: str) -> int | None:
    """The first chapter that a recipe stands in, as its place in `CHAPTERS`; None: in none."""
    return next((place for place, chapter in enumerate(CHAPTERS) if recipe in chapter.recipes), None)
