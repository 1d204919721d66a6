"""Tasks: loss, metrics, predictions and pictures of one kind of problem. The names that `task=` takes stand here."""

from dlrun.config.registry import Registry

TASKS = Registry(
    "task",
    {
        "multiclass": "dlrun.tasks.multiclass:Multiclass",
        "one_vs_rest": "dlrun.tasks.multiclass:OneVsRest",
        "binary": "dlrun.tasks.binary:Binary",
        "regression": "dlrun.tasks.regression:Regression",
        "image_regression": "dlrun.tasks.image_regression:ImageRegression",
        "style_transfer": "dlrun.tasks.style_transfer:StyleTransfer",
        "localization": "dlrun.tasks.localization:Localization",
        "detection": "dlrun.tasks.detection:Detection",
        "instance_segmentation": "dlrun.tasks.instances:InstanceSegmentation",
        "key_points": "dlrun.tasks.key_points:KeyPoints",
        "segmentation": "dlrun.tasks.segmentation:SemanticSegmentation",
        "triplet": "dlrun.tasks.triplet:Triplet",
        "siamese": "dlrun.tasks.siamese:Siamese",
        "step_class": "dlrun.tasks.steps:StepClass",
        "next_token": "dlrun.tasks.steps:NextToken",
        "node_class": "dlrun.tasks.graphs:NodeClass",
        "graph_class": "dlrun.tasks.graphs:GraphClass",
    },
)
