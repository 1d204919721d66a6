"""Worked examples: the numbers of the notes, step by step. The names that `dlrun show example=` takes stand here.

An example is a function whose keys all have a default; it says its chapter, one of config/course.py, and gives a
`Lesson`. Where dlrun itself computes the thing, the example calls that very code. It **raises** `UserError`, or the
`ValueError` of that code, for keys that do not go together.
"""

from dlrun.config.registry import Registry

EXAMPLES = Registry(
    "example",
    {
        "backprop": "dlrun.examples.gradients:backprop",
        "broadcasting": "dlrun.examples.broadcasting:broadcasting",
        "optimizers_path": "dlrun.examples.optimizers:optimizers_path",
        "activations": "dlrun.examples.activations:activations",
        "softmax": "dlrun.examples.losses:softmax",
        "cross_entropy": "dlrun.examples.losses:cross_entropy",
        "conv": "dlrun.examples.convolution:conv",
        "padding": "dlrun.examples.convolution:padding",
        "stride": "dlrun.examples.convolution:stride",
        "maxpool": "dlrun.examples.convolution:maxpool",
        "inception_shapes": "dlrun.examples.inception:inception_shapes",
        "rnn_shapes": "dlrun.examples.recurrent:rnn_shapes",
        "gru_cell": "dlrun.examples.recurrent:gru_cell",
        "lstm_cell": "dlrun.examples.recurrent:lstm_cell",
        "positional_encoding": "dlrun.examples.attention:positional_encoding",
        "attention": "dlrun.examples.attention:attention",
        "message_passing": "dlrun.examples.graphs:message_passing",
        "gcn_norm": "dlrun.examples.graphs:gcn_norm",
        "iou": "dlrun.examples.boxes:iou",
        "nms": "dlrun.examples.boxes:nms",
        "transposed_conv": "dlrun.examples.transposed:transposed_conv",
        "gram": "dlrun.examples.gram:gram",
    },
)
