"""A class for each node of a graph, or for each of many graphs: softmax and cross-entropy, and pictures of graphs."""

from typing import Any

from dlrun.data.spec import DataSpec
from dlrun.schema import ProperFraction
from dlrun.tasks.findings import Findings
from dlrun.tasks.multiclass import Multiclass


class NodeClass(Multiclass):
    """Cross-entropy on logits (B, K) against the classes (B,) of the nodes that a batch asks for."""

    target: str = "node_class"
    watch: str = "accuracy"
    mode: str = "max"

    def __init__(self, spec: DataSpec, *, label_smoothing: ProperFraction = 0.0):
        super().__init__(spec, label_smoothing=label_smoothing)

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Those of classes, and the graph, its nodes coloured by what was predicted."""
        return super().pictures(findings)


class GraphClass(Multiclass):
    """Cross-entropy on logits (B, K) against the classes (B,) of the graphs of a batch."""

    target: str = "graph_class"
    watch: str = "accuracy"
    mode: str = "max"

    def __init__(self, spec: DataSpec, *, label_smoothing: ProperFraction = 0.0):
        super().__init__(spec, label_smoothing=label_smoothing)
